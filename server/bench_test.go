package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
)

// direct is a guest without a goroutine that adds one header each way.
type direct struct{ ex *plugin.Exchange }

func (d *direct) Step(context.Context) (plugin.Status, error) {
	q, r := &d.ex.Request, &d.ex.Response
	if !q.Released {
		q.Headers, q.Released = added(q.Original), true
	}
	if r.Arrived {
		r.Headers, r.Released = added(r.Original), true
	}
	return plugin.Status{Done: r.Arrived}, nil
}

var one = []byte("1")

func added(h plugin.Headers) plugin.Headers {
	out := make(plugin.Headers, len(h), len(h)+1)
	copy(out, h)
	return append(out, plugin.Field{Name: "x-added", Value: one})
}

func (*direct) Close() {}

type directModule struct{}

func (directModule) Start(ex *plugin.Exchange) (plugin.Guest, error) { return &direct{ex}, nil }
func (directModule) Needs() plugin.Needs                             { return plugin.Needs{} }
func (directModule) Close(context.Context) error                     { return nil }

// tape is a stream that plays messages and counts the answers.
type tape struct {
	wire
	msgs []*extprocv3.ProcessingRequest
	next int
	n    int
}

var errTape = errors.New("end of the tape")

func (t *tape) Recv() (*extprocv3.ProcessingRequest, error) {
	if t.next == len(t.msgs) {
		return nil, errTape
	}
	t.next++
	return t.msgs[t.next-1], nil
}

func (t *tape) Send(*extprocv3.ProcessingResponse) error { t.n++; return nil }

// BenchmarkHeaders is an exchange whose headers are changed both ways: what the
// server does for it, without gRPC and wasm.
func BenchmarkHeaders(b *testing.B) {
	var c plugin.Current
	spec := &plugin.Spec{Name: "direct", Log: slog.New(slog.DiscardHandler)}
	if err := c.Swap(plugin.NewSet(plugin.NewPlugin(spec, directModule{}))); err != nil {
		b.Fatal(err)
	}
	s := New(&c, Options{})
	tp := &tape{msgs: []*extprocv3.ProcessingRequest{
		msg("qh :authority: a.test, :path: /some/path, :method: GET, :scheme: https, user-agent: bench, accept: */*, x-forwarded-proto: https, x-request-id: 0123 eos"),
		msg("rh :status: 200, content-type: text/plain, content-length: 5, date: today, server: up, x-envoy-upstream-service-time: 1"),
	}}
	tp.ctx = context.Background()
	b.ReportAllocs()
	for b.Loop() {
		tp.next, tp.n = 0, 0
		if err := s.Process(tp); err != nil || tp.n != 2 {
			b.Fatal(err, tp.n)
		}
	}
}

// BenchmarkMutation renders the change of one header among a dozen.
func BenchmarkMutation(b *testing.B) {
	from := h(":authority: a", ":path: /", ":method: GET", ":scheme: https", "a: 1", "b: 2", "c: 3", "d: 4", "e: 5", "f: 6", "g: 7", "h: 8")
	to := added(from)
	b.ReportAllocs()
	for b.Loop() {
		if m, _, err := mutation(from, to, place{Phase: requestHeaders}); err != nil || len(m.SetHeaders) != 1 {
			b.Fatal(err)
		}
	}
}
