package host

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/extproc/extproc/plugin"
)

// prefix is the length of what precedes each message: whether it is compressed,
// and its length.
const prefix = 5

func frameOf(message []byte) []byte {
	frame := make([]byte, prefix, prefix+len(message))
	binary.BigEndian.PutUint32(frame[1:], uint32(len(message)))
	return append(frame, message...)
}

// outgoing is the messages that wait to be sent, and as an io.ReadCloser the
// request's body.
type outgoing struct {
	owner  *Callouts
	mu     sync.Mutex
	cond   sync.Cond
	queue  plugin.Body
	closed bool
}

func (o *outgoing) init(owner *Callouts) {
	o.owner = owner
	o.cond.L = &o.mu
}

// maxWaiting is how many bytes may wait for a peer that doesn't take them,
// beside one message.
const maxWaiting = 4 << 20

// push queues a frame.
func (o *outgoing) push(frame []byte, end bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queue.Ended {
		return ErrClosed
	}
	if len(frame) > 0 {
		if o.queue.Len() > maxWaiting {
			return ErrFull
		}
		if o.owner.bytes.Add(int64(len(frame))) > o.owner.limits.Bytes {
			o.owner.bytes.Add(-int64(len(frame)))
			return ErrFull
		}
		o.queue.Push(frame)
	}
	o.queue.Ended = end
	o.cond.Broadcast()
	return nil
}

// Read implements io.Reader for net/http.
func (o *outgoing) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.queue.Len() == 0 && !o.queue.Ended {
		o.cond.Wait()
	}
	if o.closed {
		return 0, context.Canceled // the peer is not to take it for the guest's end
	}
	n := copy(p, o.queue.Take(len(p)))
	o.owner.bytes.Add(-int64(n))
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close ends a Read that is under way: nothing more will be sent. net/http
// doesn't end it itself when the context is cancelled.
func (o *outgoing) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owner.bytes.Add(-int64(o.queue.Len()))
	o.queue.Discard()
	o.queue.Ended, o.closed = true, true
	o.cond.Broadcast()
	return nil
}

// run makes the call, to its end.
func (g *grpcCall) run(transport *http.Transport, req *http.Request) {
	connect := g.deadline(timeouts(Timeouts{}, g.cluster).Connect, "connection-timeout")
	resp, err := g.roundTrip(transport, req, connect, &deadline{})
	if err != nil {
		g.finish(nil, g.broken(err, grpcUnavailable))
		return
	}
	defer resp.Body.Close()
	headers, err := responseHeaders(resp)
	if err != nil {
		g.finish(nil, GRPCStatus{grpcResourceExhausted, err.Error()})
		return
	}
	_, stated := headers.Get("grpc-status")
	if stated && resp.ContentLength == 0 { // "Trailers-Only"
		g.finish(headers, statusOf(headers))
		return
	}
	g.began = true
	g.fire(func() { g.events.OnInitialMetadata(headers) })
	if resp.StatusCode != http.StatusOK {
		g.finish(nil, GRPCStatus{codeOfHTTP(resp.StatusCode), "HTTP status " + strconv.Itoa(resp.StatusCode)})
		return
	}
	if status := g.messages(resp.Body); status.Code != grpcOK {
		g.finish(nil, status)
		return
	}
	trailers, err := responseTrailers(resp)
	if err != nil {
		g.finish(nil, GRPCStatus{grpcResourceExhausted, err.Error()})
		return
	}
	g.finish(trailers, statusOf(trailers))
}

// messages hands on each message until the body ends.
func (g *grpcCall) messages(body io.Reader) GRPCStatus {
	var head [prefix]byte
	for {
		switch _, err := io.ReadFull(body, head[:]); {
		case err == io.EOF:
			return GRPCStatus{}
		case err != nil:
			return g.broken(err, grpcInternal)
		}
		length := int64(binary.BigEndian.Uint32(head[1:]))
		switch {
		case head[0] != 0:
			return GRPCStatus{grpcInternal, "a compressed message, although none was asked for"}
		case length > g.owner.limits.Message:
			return GRPCStatus{grpcResourceExhausted, fmt.Sprintf("a message of %d bytes, at most %d are accepted", length, g.owner.limits.Message)}
		}
		message, status := g.message(body, int(length))
		if status.Code != grpcOK {
			return status
		}
		g.arrived++
		ok := g.fire(func() { g.events.OnMessage(message) })
		g.hold(-len(message))
		if !ok {
			return GRPCStatus{Code: grpcInternal} // nobody hears of it
		}
	}
}

// message reads a message of a length. It takes memory as the bytes come.
func (g *grpcCall) message(body io.Reader, length int) ([]byte, GRPCStatus) {
	if !g.hold(length) {
		return nil, GRPCStatus{grpcResourceExhausted, "the plugin's calls hold too many bytes"}
	}
	message := make([]byte, 0, min(length, 64<<10))
	for len(message) < length {
		if len(message) == cap(message) {
			message = slices.Grow(message, min(len(message), length-len(message)))
		}
		n, err := body.Read(message[len(message):min(cap(message), length)])
		message = message[:len(message)+n]
		if err == io.EOF && len(message) < length {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return nil, g.broken(err, grpcInternal)
		}
	}
	return message, GRPCStatus{}
}

// broken is the status of a call that broke off.
func (g *grpcCall) broken(err error, code uint32) GRPCStatus {
	failure := g.failure(err)
	// The server knows the deadline, too, and may be the first to act on it.
	if failure.Code == errTimeout.Code || !g.due.IsZero() && !time.Now().Before(g.due) {
		return GRPCStatus{grpcDeadlineExceeded, "the call's time was up"}
	}
	return GRPCStatus{code, failure.Error()}
}

// statusOf finds the status among trailers.
func statusOf(trailers plugin.Headers) GRPCStatus {
	value, _ := trailers.Get("grpc-status")
	code, err := strconv.ParseUint(string(value), 10, 32)
	if err != nil {
		return GRPCStatus{grpcUnknown, ""}
	}
	message, _ := trailers.Get("grpc-message")
	return GRPCStatus{uint32(code), string(message)}
}

// codeOfHTTP maps a status as gRPC's http-grpc-status-mapping.md does.
func codeOfHTTP(status int) uint32 {
	switch status {
	case http.StatusBadRequest:
		return grpcInternal
	case http.StatusUnauthorized:
		return grpcUnauthenticated
	case http.StatusForbidden:
		return grpcPermissionDenied
	case http.StatusNotFound:
		return grpcUnimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return grpcUnavailable
	}
	return grpcUnknown
}
