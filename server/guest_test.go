package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
func (s *script) yield(wake <-chan struct{}) {
	s.turn <- turn{status: plugin.Status{Wake: wake}}
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
	wake := make(chan struct{})
	time.AfterFunc(d, func() { close(wake) })
	for {
		select {
		case <-wake:
			return
		default:
			s.yield(wake)
		}
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

var errTest = errors.Join(plugin.ErrTrap, errors.New("unreachable executed"))

// lateWork counts what guests have done after their exchange.
var lateWork atomic.Int64

// scripts are the guests by name; a request names its own in x-do.
var scripts = map[string]func(*script) error{
	"pass": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"headers": func(s *script) error {
		q := &s.ex.Request
		release(q, with(replace(q.Original, "x-set", "new", "accept", "a/b"), "x-many", "1", "x-many", "2"), plugin.Untouched)
		r := s.upstream()
		release(r, with(replace(r.Original, ":status", "201"), "set-cookie", "a=1", "set-cookie", "b=2"), plugin.Untouched)
		return nil
	},
	"path": func(s *script) error {
		q := &s.ex.Request
		release(q, replace(q.Original, ":path", "/headers/new", ":method", "PUT", ":authority", "other.test"), plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"stream-request": func(s *script) error {
		q := &s.ex.Request
		release(q, q.Original, plugin.Replaced)
		s.transform(q)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"stream-response": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Replaced)
		s.transform(r)
		return nil
	},
	"stream-both": func(s *script) error {
		q, r := &s.ex.Request, &s.ex.Response
		release(q, q.Original, plugin.Replaced)
		q.WantBody = true
		for !q.Out.Ended || !r.Out.Ended {
			if r.Arrived && !r.Released {
				r.WantBody = true
				release(r, r.Original, plugin.Replaced)
			}
			for _, m := range []*plugin.Message{q, r} {
				for m.Out.Len() < 256<<10 && m.In.Len() > 0 {
					m.Out.Push(m.In.Pop())
				}
				if m.Released && m.In.Ended && m.In.Len() == 0 {
					end(m, m.In.Trailers)
				}
			}
			if !q.Out.Ended || !r.Out.Ended {
				s.yield(nil)
			}
		}
		return nil
	},
	"read-request": func(s *script) error {
		q := &s.ex.Request
		body := s.whole(q)
		release(q, with(q.Original, "x-length", strings.Repeat("i", len(body))), plugin.Replaced)
		s.write(q, []byte(capitals(body)))
		end(q, q.In.Trailers)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"read-response": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		body := s.whole(r)
		release(r, replace(with(r.Original, "x-read", "1"), ":status", "202"), plugin.Replaced)
		s.write(r, []byte(capitals(body)+"!"))
		end(r, r.In.Trailers)
		return nil
	},
	"check-response": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		if strings.Contains(s.whole(r), "secret") {
			release(r, replace(r.Original, ":status", "403"), plugin.Replaced)
			end(r, nil)
			return nil
		}
		return errTest
	},
	"new-bodies": func(s *script) error {
		q := &s.ex.Request
		release(q, q.Original, plugin.Replaced)
		s.write(q, []byte("from the guest"))
		end(q, nil)
		r := s.upstream()
		release(r, r.Original, plugin.Replaced)
		s.write(r, []byte("from the guest too"))
		end(r, nil)
		return nil
	},
	"no-bodies": func(s *script) error {
		q := &s.ex.Request
		release(q, q.Original, plugin.Replaced)
		end(q, nil)
		r := s.upstream()
		release(r, r.Original, plugin.Replaced)
		end(r, nil)
		return nil
	},
	"cut-request": func(s *script) error {
		q := &s.ex.Request
		release(q, q.Original, plugin.Replaced)
		for chunk := range s.chunks(q) {
			s.write(q, chunk[:1])
			break
		}
		end(q, nil)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"local": func(s *script) error {
		s.respond("403", "forbidden", "content-type", "text/x", "set-cookie", "a=1", "set-cookie", "b=2", "content-length", "3")
		return nil
	},
	"teapot": func(s *script) error {
		s.respond("418", "")
		return nil
	},
	"local-large": func(s *script) error {
		s.respond("200", strings.Repeat("x", 3<<20))
		return nil
	},
	"local-late": func(s *script) error {
		s.respond("403", s.whole(&s.ex.Request))
		return nil
	},
	"local-after-send": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		s.sleep(30 * time.Millisecond)
		s.respond("403", "too late")
		return nil
	},
	"callout": func(s *script) error {
		s.sleep(20 * time.Millisecond)
		q := &s.ex.Request
		release(q, with(q.Original, "x-called", "1"), plugin.Untouched)
		r := s.upstream()
		s.sleep(20 * time.Millisecond)
		release(r, with(r.Original, "x-called", "2"), plugin.Untouched)
		return nil
	},
	"callout-reading": func(s *script) error {
		s.ex.Request.WantBody = true
		s.sleep(200 * time.Millisecond)
		s.whole(&s.ex.Request)
		return errTest
	},
	"trap": func(*script) error { return errTest },
	"trap-reading": func(s *script) error {
		for range s.chunks(&s.ex.Request) {
			break
		}
		return errTest
	},
	"trap-in-response": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		s.upstream()
		return errTest
	},
	"trap-in-body": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Replaced)
		for chunk := range s.chunks(r) {
			s.write(r, chunk)
			s.until(func() bool { return r.Out.Len() == 0 })
			return errTest
		}
		return nil
	},
	"trap-after-all": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return errTest
	},
	"late-work": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		s.sleep(30 * time.Millisecond)
		lateWork.Add(1)
		return nil
	},
	"late-work-local": func(s *script) error {
		s.respond("403", "no")
		s.sleep(30 * time.Millisecond)
		lateWork.Add(1)
		return nil
	},
	"many": func(s *script) error {
		q := &s.ex.Request
		h := replace(q.Original)
		h = slices.DeleteFunc(h, func(f plugin.Field) bool { return strings.HasPrefix(f.Name, "x-old-") })
		for i := range 70 {
			h = with(h, fmt.Sprintf("x-new-%d", i), "1")
		}
		release(q, h, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"undecided": func(*script) error { return nil },
	"unfinished": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Replaced)
		return nil
	},
	"hold": func(s *script) error {
		for {
			s.yield(nil)
		}
	},
	"hoard": func(s *script) error {
		s.ex.Request.WantBody = true
		for {
			s.yield(nil)
		}
	},
	"too-many": func(s *script) error {
		q := &s.ex.Request
		h := q.Original
		for i := range 120 {
			h = with(h, "x-"+strings.Repeat("a", i+1), "1")
		}
		release(q, h, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"illegal": func(s *script) error {
		q := &s.ex.Request
		release(q, with(replace(q.Original, "content-length", "3", "transfer-encoding", "x", "host", "evil"),
			"x-bad", "a\nb", "", "x", "x bad", "y", ":evil", "z", "x-good", "1"), plugin.Untouched)
		r := s.upstream()
		release(r, with(r.Original, "x-bad", "a\x00b", ":path", "/"), plugin.Untouched)
		return nil
	},
}

// scripted is a module whose guests do what the request asks for.
type scripted struct {
	live   atomic.Int64
	closed atomic.Bool
	mu     sync.Mutex
	twice  bool // a guest was closed twice
}

func (m *scripted) Start(ex *plugin.Exchange) (plugin.Guest, error) {
	name, _ := ex.Request.Original.Get("x-do")
	body, ok := scripts[string(name)]
	if !ok {
		body = scripts["pass"]
	}
	if string(name) == "no-start" {
		return nil, errors.New("no instance")
	}
	m.live.Add(1)
	var once bool
	return &script{ex: ex, body: body, resume: make(chan bool), turn: make(chan turn), close: func() {
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
	spec := &plugin.Spec{Name: "scripted", FailStrategy: strategy, Log: slog.New(slog.DiscardHandler)}
	c := &plugin.Current{}
	if err := c.Swap(plugin.NewSet(plugin.NewPlugin(spec, m))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if n := m.live.Load(); n != 0 {
			t.Errorf("%d guests were not closed", n)
		}
		if m.twice {
			t.Error("a guest was closed twice")
		}
		if !m.closed.Load() {
			t.Error("the module was not closed: an exchange holds the set")
		}
	})
	return c, m
}
