package server

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	modev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
)

// TestProcessPieces: a large chunk goes out in pieces of the recommended size.
func TestProcessPieces(t *testing.T) {
	s, _ := service(t, plugin.FailClose)
	first := msg("qh x-do: pass")
	first.ProtocolConfig = &extprocv3.ProtocolConfiguration{RequestBodyMode: duplex}
	answers, err := talk(t, s, first, msg("qb "+strings.Repeat("x", 3*maxPiece+1)+" eos"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(answers[1]); n != 4 {
		t.Fatalf("%d pieces, expected 4", n)
	}
	for i, a := range answers[1] {
		piece := a.GetRequestBody().GetResponse().GetBodyMutation().GetStreamedResponse()
		if len(piece.GetBody()) > maxPiece || piece.GetEndOfStream() != (i == 3) {
			t.Errorf("piece %d: %d bytes, end %v", i, len(piece.GetBody()), piece.GetEndOfStream())
		}
	}
}

// TestProcessHoard: a guest that takes nothing fails its exchange at the limit.
func TestProcessHoard(t *testing.T) {
	s, _ := service(t, plugin.FailClose)
	s.limits.Bounds = plugin.Bounds{Queued: 10, Buffered: 100}
	body := msg("qb " + strings.Repeat("x", 60))
	answers, err := talk(t, s, msg("qh x-do: hoard"), body, body)
	if err != nil {
		t.Fatal(err)
	}
	last := answers[len(answers)-1]
	if len(last) != 1 || show(last[0]) != "immediate 503" {
		t.Errorf("got %v", last)
	}
}

// TestProcessOwed: a proxy that sends messages without waiting for answers, which hold
// nothing, and attributes with each, has its stream ended.
func TestProcessOwed(t *testing.T) {
	s, _ := service(t, plugin.FailClose)
	first, empty := msg("qh x-do: hoard"), msg("qb")
	first.ProtocolConfig = &extprocv3.ProtocolConfiguration{RequestBodyMode: buffered}
	empty.Attributes = toldAttributes("source.address=127.0.0.1")
	msgs := make([]*extprocv3.ProcessingRequest, maxOwed+10)
	for i := range msgs {
		msgs[i] = empty
	}
	msgs[0] = first
	var a attributes
	for _, m := range msgs {
		a.learn(plugin.Request, m)
	}
	if n := len(a.told[plugin.Request]); n != maxTold {
		t.Errorf("%d lists of attributes are kept", n)
	}
	if _, err := talk(t, s, msgs...); status.Code(err) != codes.InvalidArgument {
		t.Errorf("the stream ended with %v", err)
	}
}

// TestProcessObserved: of an exchange that is only shown nothing is answered.
func TestProcessObserved(t *testing.T) {
	s, _ := service(t, plugin.FailClose)
	first := msg("qh x-do: headers eos")
	first.ObservabilityMode = true
	answers, err := talk(t, s, first, msg("rh :status: 200 eos"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range answers {
		if len(a) > 0 {
			t.Errorf("answered %v", a)
		}
	}
}

// TestProcessCut: a stream that breaks off at any point ends its guest. The
// conversation is cut before each message, by a cancelled context and by refused
// answers.
func TestProcessCut(t *testing.T) {
	before := runtime.NumGoroutine()
	s, _ := service(t, plugin.FailClose)
	lines := []string{"qb abc", "qb eos", "rh :status: 200", "rb abc", "rt t: 1"}
	for name := range scripts {
		for n := 0; n <= len(lines); n++ {
			for _, broken := range []bool{false, true} {
				ctx, cancel := context.WithCancel(t.Context())
				w := newWire(ctx)
				ended := make(chan error, 1)
				go func() { ended <- serveStream(s, w) }()
				first := msg("qh x-do: " + name)
				first.ProtocolConfig = &extprocv3.ProtocolConfiguration{RequestBodyMode: modev3.ProcessingMode_FULL_DUPLEX_STREAMED, ResponseBodyMode: modev3.ProcessingMode_FULL_DUPLEX_STREAMED}
				over := false
				for i := 0; i <= n && !over; i++ {
					m := first
					if i > 0 {
						m = msg(lines[i-1])
					}
					over = !deliver(w, m, broken && i == n, ended)
				}
				cancel()
				if !over {
					<-ended
				}
			}
		}
	}
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before+1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// deliver hands over a message when the service waits for one; false if it ended.
func deliver(w *wire, m *extprocv3.ProcessingRequest, broken bool, ended chan error) bool {
	select {
	case <-w.ready:
	case <-ended:
		return false
	}
	w.broken.Store(broken)
	select {
	case w.in <- m:
		return true
	case <-ended:
		return false
	}
}

// TestProcessLinger: a guest may work on when its exchange is over.
func TestProcessLinger(t *testing.T) {
	s, _ := service(t, plugin.FailClose)
	before := lateWork.Load()
	for _, do := range []string{"late-work", "late-work-local"} {
		if _, err := talk(t, s, msg("qh x-do: "+do+" eos"), msg("rh :status: 200 eos")); err != nil {
			t.Fatal(err)
		}
	}
	if n := lateWork.Load() - before; n != 2 {
		t.Errorf("%d guests have worked on, expected 2", n)
	}
}

// TestProcessBackPressure: while a guest waits for something else, no more is
// taken from the proxy than may be queued.
func TestProcessBackPressure(t *testing.T) {
	called := plugin.NewBell()
	var answered atomic.Bool
	c, module := current(t, plugin.FailClose)
	module.does = func(s *script) error {
		s.ex.Request.WantBody = true
		for !answered.Load() {
			s.yield(called)
		}
		s.whole(&s.ex.Request)
		return errTest
	}
	s := New(c, Options{})
	s.limits.Bounds = plugin.Bounds{Queued: 100, Buffered: 1000}
	ctx, cancel := context.WithCancel(t.Context())
	w := newWire(ctx)
	ended := make(chan error, 1)
	go func() { ended <- serveStream(s, w) }()
	first := msg("qh")
	first.ProtocolConfig = &extprocv3.ProtocolConfiguration{RequestBodyMode: modev3.ProcessingMode_FULL_DUPLEX_STREAMED}
	taken := 0
	for _, m := range []*extprocv3.ProcessingRequest{first, msg("qb " + strings.Repeat("x", 99)), msg("qb " + strings.Repeat("x", 99))} {
		<-w.ready
		w.in <- m
		taken++
	}
	select {
	case <-w.ready:
		t.Error("a further message is taken although the queue is full")
	case <-time.After(50 * time.Millisecond):
	}
	answered.Store(true)
	called.Ring()
	select {
	case <-w.ready: // the guest reads
	case <-time.After(time.Minute):
		t.Error("nothing is taken after the callout")
	}
	cancel()
	<-ended
}
