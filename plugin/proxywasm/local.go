package proxywasm

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/extproc/extproc/plugin"
)

// localResponse is what a guest answers in place of the upstream.
type localResponse struct {
	headers plugin.Headers
	body    []byte
}

// noGRPCStatus is above the codes of gRPC. The SDKs say -1 for no status.
const noGRPCStatus = 17

func sendLocalResponse(c *call) Status {
	s := c.cx.stream
	if s == nil {
		return OK // as in Envoy, there is just nothing to answer
	}
	if s.local == nil && !s.answered {
		s.local = s.newLocal(int(c.u32(0)), c.bytes(2), c.args[3].pairs, c.u32(4))
		s.details = strings.Join(strings.Fields(string(c.bytes(1))), "_")
		s.notify()
	}
	return OK
}

// newLocal puts a local response together as Envoy does: for a gRPC request the
// status and the body become fields.
func (s *stream) newLocal(code int, body []byte, fields plugin.Headers, grpcStatus uint32) *localResponse {
	l := &localResponse{headers: plugin.Headers{{Name: ":status", Value: strconv.AppendInt(nil, int64(code), 10)}}}
	for _, f := range fields {
		l.headers = append(l.headers, plugin.Field{Name: f.Name, Value: slices.Clone(f.Value)})
	}
	if s.isGRPC() {
		l.grpc(code, body, grpcStatus)
		return l
	}
	l.remove("content-length")
	if len(body) == 0 {
		l.remove("content-type")
		return l
	}
	l.body = slices.Clone(body)
	l.headers = append(l.headers, plugin.Field{Name: "content-length", Value: strconv.AppendInt(nil, int64(len(body)), 10)})
	if _, ok := l.headers.Get("content-type"); !ok {
		l.headers = append(l.headers, plugin.Field{Name: "content-type", Value: []byte("text/plain")})
	}
	return l
}

func (l *localResponse) grpc(code int, body []byte, status uint32) {
	l.remove("content-length")
	l.remove("content-type")
	l.headers[0].Value = []byte("200")
	l.headers = append(l.headers, plugin.Field{Name: "content-type", Value: []byte("application/grpc")})
	if _, ok := l.headers.Get("grpc-status"); !ok {
		if status >= noGRPCStatus {
			status = grpcStatusOf(code)
		}
		l.headers = append(l.headers, plugin.Field{Name: "grpc-status", Value: strconv.AppendUint(nil, uint64(status), 10)})
	}
	if len(body) > 0 {
		l.headers = append(l.headers, plugin.Field{Name: "grpc-message", Value: grpcMessage(body)})
	}
}

func (l *localResponse) remove(name string) {
	l.headers = slices.DeleteFunc(l.headers, func(f plugin.Field) bool { return f.Name == name })
}

// isGRPC says whether the request is one of gRPC.
func (s *stream) isGRPC() bool {
	kind, _ := s.ex.Request.Original.Get("content-type")
	rest, ok := bytes.CutPrefix(kind, []byte("application/grpc"))
	return ok && (len(rest) == 0 || rest[0] == '+' || rest[0] == ';')
}

// grpcStatusOf is the gRPC status for an HTTP status (gRPC over HTTP/2, "HTTP to
// gRPC Status Code Mapping").
func grpcStatusOf(code int) uint32 {
	switch code {
	case http.StatusBadRequest:
		return 13 // INTERNAL
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusNotFound:
		return 12 // UNIMPLEMENTED
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 14 // UNAVAILABLE
	}
	return 2 // UNKNOWN
}

// grpcMessage is a text as the field grpc-message takes it: with all but
// printable ASCII, and the percent sign, encoded (gRPC over HTTP/2, "Responses").
func grpcMessage(text []byte) []byte {
	var b []byte
	for _, c := range text {
		if c < ' ' || c > '~' || c == '%' {
			b = fmt.Appendf(b, "%%%02X", c)
			continue
		}
		b = append(b, c)
	}
	return b
}

// answer puts a local response in the place of the upstream's. As in Envoy it
// passes through the guest's response callbacks if the guest has not yet seen a
// response, and goes out as it is if the guest has and still holds it back.
func (s *stream) answer() error {
	l := s.local
	s.local = nil
	request, response := &s.halves[plugin.Request], &s.halves[plugin.Response]
	if response.ended {
		return nil
	}
	if response.released {
		return s.failure("send_local_response after the response has begun")
	}
	request.abort()
	if m := request.msg; m.Released && m.Plan == plugin.Replaced && !response.msg.Arrived {
		m.Out.Ended = true // nobody is to have it
	}
	again := response.seen
	*response = half{Direction: plugin.Response, msg: response.msg, in: &s.body, local: true}
	s.body = plugin.Body{Ended: true}
	if method, _ := s.ex.Request.Original.Get(":method"); string(method) != http.MethodHead {
		s.body.Push(l.body)
	}
	response.headers.set(l.headers)
	response.headers.own = true
	response.msg.Local.Details = s.details
	if again {
		s.answered = true
		response.seen, response.last = true, s.body.Len() == 0
		s.release(response)
		if chunk := s.body.Pop(); chunk != nil {
			response.msg.Out.Push(chunk)
			response.msg.Out.Ended, response.ended = true, true
		}
	}
	return nil
}

// tooLarge answers for a body that the guest wants to have whole and that is
// larger than the host keeps.
func (s *stream) tooLarge(h *half) error {
	h.held, h.chunk, h.buffering, h.exposed = nil, nil, false, false
	code, text := http.StatusRequestEntityTooLarge, "Payload Too Large"
	if h.Direction == plugin.Response {
		code, text = http.StatusInternalServerError, "Internal Server Error"
	}
	s.local = s.newLocal(code, []byte(text), nil, noGRPCStatus)
	return nil
}
