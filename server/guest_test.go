package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// script is a guest written as a function that blocks, as a component's handle
// does: it runs on a goroutine of its own and takes turns with the stream's.
type script struct {
	ex     *plugin.Exchange
	ctx    context.Context
	resume chan bool // false: close
	turn   chan turn
	body   func(*script) error
	begun  bool
	ended  bool
	close  func()
}

type turn struct {
	status plugin.Status
	err    error
}

type closedError struct{}

func (s *script) Step(ctx context.Context) (plugin.Status, error) {
	if s.ended {
		panic("a step of a guest that has ended")
	}
	s.ctx = ctx
	if !s.begun {
		s.begun = true
		go s.run()
	} else {
		s.resume <- true
	}
	t := <-s.turn
	s.ended = t.status.Done || t.err != nil
	return t.status, t.err
}

func (s *script) run() {
	defer func() {
		if r := recover(); r != nil {
			if _, closed := r.(closedError); !closed {
				panic(r)
			}
			s.turn <- turn{status: plugin.Status{Done: true}}
		}
	}()
	err := s.body(s)
	s.turn <- turn{plugin.Status{Done: err == nil}, err}
}

func (s *script) Close() {
	if s.begun && !s.ended {
		s.resume <- false
		<-s.turn
		s.ended = true
	}
	s.close()
}

// yield waits for the next step.
func (s *script) yield(wake *plugin.Bell) {
	s.turn <- turn{status: plugin.Status{Wake: wake}}
	if !<-s.resume {
		panic(closedError{})
	}
}

// idle waits for the next step as one that nothing of its own wakes.
func (s *script) idle(wake *plugin.Bell) {
	s.turn <- turn{status: plugin.Status{Wake: wake, Idle: true}}
	if !<-s.resume {
		panic(closedError{})
	}
}

// until yields until something has come about.
func (s *script) until(what func() bool) {
	for !what() {
		s.yield(nil)
	}
}

// sleep waits as for a callout.
func (s *script) sleep(d time.Duration) {
	wake := plugin.NewBell()
	over := time.Now().Add(d)
	time.AfterFunc(d, wake.Ring)
	for time.Now().Before(over) {
		s.yield(wake)
	}
}

// whole reads a body to its end.
func (s *script) whole(m *plugin.Message) string {
	var b strings.Builder
	for chunk := range s.chunks(m) {
		b.Write(chunk)
	}
	return b.String()
}

func (s *script) chunks(m *plugin.Message) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		m.WantBody = true
		for {
			s.until(func() bool { return m.In.Len() > 0 || m.In.Ended })
			chunk := m.In.Pop()
			if chunk == nil {
				return
			}
			if !yield(chunk) {
				return
			}
		}
	}
}

// write hands on a chunk, and waits while there is much to send.
func (s *script) write(m *plugin.Message, chunk []byte) {
	s.until(func() bool { return m.Out.Len() < 256<<10 })
	m.Out.Push(chunk)
}

// release lets headers go on with a body of the guest's.
func release(m *plugin.Message, h plugin.Headers, plan plugin.BodyPlan) {
	m.Headers, m.Plan, m.Released = h, plan, true
}

func end(m *plugin.Message, trailers plugin.Headers) {
	m.Out.Ended, m.Out.Trailers = true, trailers
}

// capitals is strings.ToUpper for bytes that need not be text.
func capitals(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// transform hands a body on in capitals, and the trailers with one more.
func (s *script) transform(m *plugin.Message) {
	for chunk := range s.chunks(m) {
		s.write(m, []byte(capitals(string(chunk))))
	}
	trailers := m.In.Trailers
	if trailers != nil {
		trailers = with(trailers, "x-more", "1")
	}
	end(m, trailers)
}

func with(h plugin.Headers, nameValues ...string) plugin.Headers {
	out := append(plugin.Headers(nil), h...)
	for i := 0; i < len(nameValues); i += 2 {
		out = append(out, plugin.Field{Name: nameValues[i], Value: []byte(nameValues[i+1])})
	}
	return out
}

func replace(h plugin.Headers, nameValues ...string) plugin.Headers {
	var out plugin.Headers
	for _, f := range h {
		drop := false
		for i := 0; i < len(nameValues); i += 2 {
			drop = drop || f.Name == nameValues[i]
		}
		if !drop {
			out = append(out, f)
		}
	}
	return with(out, nameValues...)
}

// respond answers in the upstream's place.
func (s *script) respond(status, body string, nameValues ...string) {
	m := &s.ex.Response
	release(m, with(nil, append([]string{":status", status}, nameValues...)...), plugin.Replaced)
	for len(body) > 0 {
		n := min(len(body), 100<<10)
		s.write(m, []byte(body[:n]))
		body = body[n:]
	}
	end(m, nil)
}

// upstream waits for the response.
func (s *script) upstream() *plugin.Message {
	s.until(func() bool { return s.ex.Response.Arrived })
	return &s.ex.Response
}

// scripted is a module whose guests do what a header of the request asks for.
type scripted struct {
	header string              // x-do unless it says otherwise
	does   func(*script) error // whatever the header asks for
	live   atomic.Int64
	ended  atomic.Int64 // guests that came to their own end
	closed atomic.Bool
	mu     sync.Mutex
	twice  bool // a guest was closed twice
}

func (m *scripted) Start(ex *plugin.Exchange) (plugin.Guest, error) {
	name, _ := ex.Request.Original.Get(cmp.Or(m.header, "x-do"))
	body, ok := scripts[string(name)]
	if !ok {
		body = scripts["pass"]
	}
	if m.does != nil {
		body = m.does
	}
	if string(name) == "no-start" {
		return nil, errors.New("no instance")
	}
	m.live.Add(1)
	var once bool
	ending := func(s *script) error {
		err := body(s)
		m.ended.Add(1)
		return err
	}
	return &script{ex: ex, body: ending, resume: make(chan bool), turn: make(chan turn), close: func() {
		m.live.Add(-1)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.twice, once = m.twice || once, true
	}}, nil
}

func (m *scripted) Needs() plugin.Needs {
	return plugin.Needs{
		Headers: [2]bool{true, true},
		Body:    [2]plugin.BodyNeed{plugin.OnDemand, plugin.OnDemand},
	}
}

func (m *scripted) Close(context.Context) error { m.closed.Store(true); return nil }

// current is a set with one scripted plugin. When the test ends, no guest may be
// left.
func current(t testing.TB, strategy plugin.FailStrategy) (*plugin.Current, *scripted) {
	t.Helper()
	m := &scripted{}
	return currentOf(t, strategy, m), m
}

// currentOf is current for a chain.
func currentOf(t testing.TB, strategy plugin.FailStrategy, modules ...*scripted) *plugin.Current {
	t.Helper()
	var plugins []*plugin.Plugin
	for i, m := range modules {
		spec := &plugin.Spec{Name: fmt.Sprint("scripted-", i), FailStrategy: strategy, Log: slog.New(slog.DiscardHandler)}
		plugins = append(plugins, plugin.NewPlugin(spec, m))
	}
	c := &plugin.Current{}
	if err := c.Swap(plugin.NewSet(plugins...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for _, m := range modules {
			m.left(t)
		}
	})
	return c
}

// left says what a closed module has left behind.
func (m *scripted) left(t testing.TB) {
	t.Helper()
	if n := m.live.Load(); n != 0 {
		t.Errorf("%d guests were not closed", n)
	}
	if m.twice {
		t.Error("a guest was closed twice")
	}
	if !m.closed.Load() {
		t.Error("the module was not closed: an exchange holds the set")
	}
}
