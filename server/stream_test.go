package server

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/metadata"

	"github.com/extproc/extproc/plugin"
)

// wire is a stream whose other end is the test.
type wire struct {
	ctx    context.Context
	ready  chan struct{} // the service waits for a message
	in     chan *extprocv3.ProcessingRequest
	broken atomic.Bool // answers are refused

	mu   sync.Mutex // a guest may be woken while the service waits
	sent []*extprocv3.ProcessingResponse
}

func newWire(ctx context.Context) *wire {
	return &wire{ctx: ctx, ready: make(chan struct{}, 1), in: make(chan *extprocv3.ProcessingRequest)}
}

func (w *wire) Recv() (*extprocv3.ProcessingRequest, error) {
	w.ready <- struct{}{}
	select {
	case req, ok := <-w.in:
		if !ok {
			return nil, io.EOF
		}
		return req, nil
	case <-w.ctx.Done():
		return nil, w.ctx.Err()
	}
}

func (w *wire) Send(resp *extprocv3.ProcessingResponse) error {
	if w.broken.Load() {
		return io.EOF
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, resp)
	return nil
}

func (w *wire) Context() context.Context     { return w.ctx }
func (w *wire) SetHeader(metadata.MD) error  { return nil }
func (w *wire) SendHeader(metadata.MD) error { return nil }
func (w *wire) SetTrailer(metadata.MD)       {}
func (w *wire) SendMsg(any) error            { return nil }
func (w *wire) RecvMsg(any) error            { return nil }

// talk sends messages one by one, each when the service waits for it, and closes.
// It returns what was answered after each, and how the stream ended.
func talk(t testing.TB, s *Service, msgs ...*extprocv3.ProcessingRequest) ([][]*extprocv3.ProcessingResponse, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := newWire(ctx)
	ended := make(chan error, 1)
	go func() { ended <- serveStream(s, w) }()
	var answers [][]*extprocv3.ProcessingResponse
	seen := 0
	note := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		answers = append(answers, w.sent[seen:len(w.sent):len(w.sent)])
		seen = len(w.sent)
	}
	for i := 0; ; i++ {
		select {
		case <-w.ready:
		case err := <-ended:
			note()
			return answers[1:], err
		}
		note()
		if i == len(msgs) {
			close(w.in)
			err := <-ended
			return answers[1:], err
		}
		w.in <- msgs[i]
	}
}

// msg writes a message as "qh", "qb text", "qt name: value", and for the response
// "rh", "rb", "rt"; "eos" at the end of a line is the end of the stream. The
// fields of headers are separated by ", ".
func msg(line string) *extprocv3.ProcessingRequest {
	kind, rest, _ := strings.Cut(line, " ")
	rest, compressed := strings.CutSuffix(rest, " compressed")
	rest, drained := strings.CutSuffix(rest, "drained")
	rest, eos := strings.CutSuffix(rest, "eos")
	rest = strings.TrimSpace(rest)
	fields := &corev3.HeaderMap{}
	if rest != "" {
		for _, f := range strings.Split(rest, ", ") {
			name, value, _ := strings.Cut(f, ": ")
			fields.Headers = append(fields.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
		}
	}
	headers := &extprocv3.HttpHeaders{Headers: fields, EndOfStream: eos}
	body := &extprocv3.HttpBody{Body: []byte(rest), EndOfStream: eos, GrpcMessageCompressed: compressed, DrainComplete: drained}
	if rest == "none" {
		body.Body, body.EndOfStreamWithoutMessage = nil, true
	}
	trailers := &extprocv3.HttpTrailers{Trailers: fields}
	req := &extprocv3.ProcessingRequest{}
	switch kind {
	case "qh":
		req.Request = &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: headers}
	case "qb":
		req.Request = &extprocv3.ProcessingRequest_RequestBody{RequestBody: body}
	case "qt":
		req.Request = &extprocv3.ProcessingRequest_RequestTrailers{RequestTrailers: trailers}
	case "rh":
		req.Request = &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: headers}
	case "rb":
		req.Request = &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: body}
	case "rt":
		req.Request = &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: trailers}
	case "unknown":
	case "window":
		u := &extprocv3.ProcessingRequest_ClientWindowUpdate{}
		_, _ = fmt.Sscan(rest, &u.WindowIncrementSidestreamToUpstream, &u.WindowIncrementSidestreamToDownstream) // 0 is what is missing
		req.ClientWindowUpdate = u
	default:
		panic(line)
	}
	return req
}

// show writes an answer in one line.
func show(resp *extprocv3.ProcessingResponse) string {
	var b strings.Builder
	common := func(c *extprocv3.CommonResponse) {
		if c.GetStatus() == extprocv3.CommonResponse_CONTINUE_AND_REPLACE {
			b.WriteString(" replace")
		}
		for _, op := range text(c.GetHeaderMutation()) {
			b.WriteString(" " + op)
		}
		switch m := c.GetBodyMutation().GetMutation().(type) {
		case *extprocv3.BodyMutation_Body:
			fmt.Fprintf(&b, " body %s", m.Body)
		case *extprocv3.BodyMutation_ClearBody:
			b.WriteString(" clear")
		case *extprocv3.BodyMutation_StreamedResponse:
			fmt.Fprintf(&b, " stream %s", m.StreamedResponse.Body)
			for flag, set := range map[string]bool{" compressed": m.StreamedResponse.GrpcMessageCompressed, " drained": m.StreamedResponse.DrainComplete} {
				if set {
					b.WriteString(flag)
				}
			}
			if m.StreamedResponse.EndOfStream {
				b.WriteString(" eos")
			}
			if m.StreamedResponse.EndOfStreamWithoutMessage {
				b.WriteString(" none")
			}
		}
	}
	switch r := resp.Response.(type) {
	case nil:
		b.WriteString("-")
	case *extprocv3.ProcessingResponse_RequestHeaders:
		b.WriteString("qh")
		common(r.RequestHeaders.GetResponse())
	case *extprocv3.ProcessingResponse_RequestBody:
		b.WriteString("qb")
		common(r.RequestBody.GetResponse())
	case *extprocv3.ProcessingResponse_RequestTrailers:
		b.WriteString("qt")
		common(&extprocv3.CommonResponse{HeaderMutation: r.RequestTrailers.GetHeaderMutation()})
	case *extprocv3.ProcessingResponse_ResponseHeaders:
		b.WriteString("rh")
		common(r.ResponseHeaders.GetResponse())
	case *extprocv3.ProcessingResponse_ResponseBody:
		b.WriteString("rb")
		common(r.ResponseBody.GetResponse())
	case *extprocv3.ProcessingResponse_ResponseTrailers:
		b.WriteString("rt")
		common(&extprocv3.CommonResponse{HeaderMutation: r.ResponseTrailers.GetHeaderMutation()})
	case *extprocv3.ProcessingResponse_ImmediateResponse:
		fmt.Fprintf(&b, "immediate %d", r.ImmediateResponse.GetStatus().GetCode())
		if r.ImmediateResponse.GetDetails() == plugin.FailureDetails {
			showFailure(&b, r.ImmediateResponse)
			break
		}
		common(&extprocv3.CommonResponse{HeaderMutation: r.ImmediateResponse.GetHeaders()})
		if body := r.ImmediateResponse.GetBody(); len(body) > 0 {
			fmt.Fprintf(&b, " body %s", body)
		}
	}
	if r := resp.GetStreamedImmediateResponse(); r != nil {
		b.WriteString("local")
		switch r := r.Response.(type) {
		case *extprocv3.StreamedImmediateResponse_HeadersResponse:
			b.WriteString(fieldText(r.HeadersResponse.GetHeaders()))
			if r.HeadersResponse.GetEndOfStream() {
				b.WriteString(" eos")
			}
		case *extprocv3.StreamedImmediateResponse_BodyResponse:
			fmt.Fprintf(&b, " stream %s", r.BodyResponse.GetBody())
			if r.BodyResponse.GetEndOfStream() {
				b.WriteString(" eos")
			}
		case *extprocv3.StreamedImmediateResponse_TrailersResponse:
			b.WriteString(" trailers" + fieldText(r.TrailersResponse))
		}
	}
	if resp.GetRequestDrainRequests() || resp.GetRequestDrainResponses() {
		fmt.Fprintf(&b, " drain %t/%t", resp.GetRequestDrainRequests(), resp.GetRequestDrainResponses())
	}
	if u := resp.GetServerWindowUpdate(); u != nil {
		fmt.Fprintf(&b, " window %+d/%+d", u.WindowIncrementDownstreamToSidestream, u.WindowIncrementUpstreamToSidestream)
	}
	if d := resp.GetOverrideMessageTimeout(); d != nil {
		fmt.Fprintf(&b, " timeout %v", d.AsDuration())
	}
	if m := resp.GetModeOverride(); m != nil {
		fmt.Fprintf(&b, " override %v/%v trailers %v/%v", m.GetRequestBodyMode(), m.GetResponseBodyMode(), m.GetRequestTrailerMode(), m.GetResponseTrailerMode())
	}
	return b.String()
}

// showFailure writes what an answer to a failed exchange has beside its mark.
func showFailure(b *strings.Builder, r *extprocv3.ImmediateResponse) {
	for _, op := range text(r.GetHeaders()) {
		if op != "="+plugin.FailureHeader+": 1" {
			b.WriteString(" " + op)
		}
	}
	if n := len(text(r.GetHeaders())); n != 1 || len(r.GetBody()) > 0 {
		fmt.Fprintf(b, " (%d fields, body %q, expected the mark alone)", n, r.GetBody())
	}
}

func fieldText(m *corev3.HeaderMap) (text string) {
	for _, f := range m.GetHeaders() {
		text += fmt.Sprintf(" %s: %s", f.GetKey(), f.GetRawValue())
	}
	return text
}

// service is a service of one scripted plugin.
func service(t testing.TB, strategy plugin.FailStrategy) (*Service, *plugin.Plugin) {
	t.Helper()
	c, _ := current(t, strategy)
	set := c.Acquire()
	defer set.Release()
	return New(c, Options{}), set.Plugins[0]
}
