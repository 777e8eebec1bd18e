package server

import (
	"errors"
	"os"
	"sync"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"

	"github.com/extproc/extproc/plugin/buffer"
	"github.com/extproc/extproc/server/codec"
)

// What a stream that goes on in turns may be sent and what comes of it is the same as
// with one that is read: tests have their streams served in both ways.

// turning are the services whose streams go on in turns.
var turning sync.Map

// inTurns has the streams of a service go on in turns, or not.
func inTurns(s *Service, yes bool) *Service {
	if yes {
		turning.Store(s, true)
	}
	return s
}

// both runs a test of each kind of stream.
func both(t *testing.T, name string, f func(t *testing.T, turns bool)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { f(t, false) })
	t.Run(name+" in turns", func(t *testing.T) { f(t, true) })
}

// serveStream serves a stream of a test.
func serveStream(s *Service, stream extprocv3.ExternalProcessor_ProcessServer) error {
	if _, ok := turning.Load(s); !ok {
		return s.Process(stream)
	}
	a := &adapter{ExternalProcessor_ProcessServer: stream, more: make(chan struct{}, 1)}
	set, err := s.begin(a)
	if set == nil {
		return err
	}
	p := &process{}
	p.init(s, set, a)
	for {
		if err := p.serve(); !errors.Is(err, errLater) {
			return err
		}
		<-a.more
	}
}

// adapter makes one that goes on in turns of a stream. It reads when it is asked for a
// message and has none.
type adapter struct {
	extprocv3.ExternalProcessor_ProcessServer
	more chan struct{}

	mu      sync.Mutex
	reading bool
	came    *received
	last    codec.Message
}

func (a *adapter) Poll() (*codec.Message, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.came; r != nil {
		a.came, a.last = nil, lent(r.message)
		return &a.last, true, r.err
	}
	if !a.reading {
		a.reading = true
		go func() {
			in := inbox{stream: a.ExternalProcessor_ProcessServer}
			r := in.receive()
			a.mu.Lock()
			a.came, a.reading = &r, false
			a.mu.Unlock()
			a.Wake()
		}()
	}
	return nil, false, nil
}

// lent is a message whose body is in memory that is used again, and overwritten before
// by TestMain's wish.
func lent(m codec.Message) codec.Message {
	if b := buffer.New(len(m.Body) + 32<<10); b != nil && len(m.Body) > 0 {
		n := copy(b.Memory(), m.Body)
		b.Lend(n)
		m.Body, m.In = b.Memory()[:n:n], b
	}
	return m
}

func TestMain(m *testing.M) {
	buffer.Spoil()
	os.Exit(m.Run())
}

// Send sends a copy, as the real ones do: what is in an answer is used again after it.
func (a *adapter) Send(resp *extprocv3.ProcessingResponse) error {
	return a.ExternalProcessor_ProcessServer.Send(proto.Clone(resp).(*extprocv3.ProcessingResponse))
}

func (a *adapter) Ready() <-chan struct{} { return a.more }

func (a *adapter) Wake() {
	select {
	case a.more <- struct{}{}:
	default:
	}
}

func (*adapter) Detach() {}
