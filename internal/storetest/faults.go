package storetest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin/host"
)

// Server is a server that can be stopped and started again.
type Server interface {
	URL() string
	Stop()
	Start(tb testing.TB)
}

// Faults tests what becomes of calls when the store is gone, silent, and back. open
// opens a store at an address, with a timeout, and logs to log.
func Faults(t *testing.T, s Server, open func(t *testing.T, url string, timeout time.Duration, log io.Writer) *host.Store) {
	t.Run("gone", func(t *testing.T) { gone(t, s, open) })
	t.Run("silent", func(t *testing.T) { silent(t, s, open) })
	t.Run("not there yet", func(t *testing.T) { notThereYet(t, s, open) })
}

type opener = func(t *testing.T, url string, timeout time.Duration, log io.Writer) *host.Store

// calls are made of a store in each state.
func calls(t *testing.T, s *host.Store) map[string]func() error {
	b := bucket(t, s, 0)
	return map[string]func() error{
		"get":    func() error { _, err := b.Get(t.Context(), "k"); return err },
		"put":    func() error { return b.Put(t.Context(), "k", []byte("other"), host.Always) },
		"remove": func() error { return b.Remove(t.Context(), "k", host.Always) },
		"add":    func() error { _, err := b.Add(t.Context(), "n", 1); return err },
		"keys":   func() error { _, err := b.Keys(t.Context(), "", 10); return err },
	}
}

// unavailable makes all calls, which must fail before their timeout of 10 s.
func unavailable(t *testing.T, s *host.Store) {
	t.Helper()
	const within = 5 * time.Second
	for name, call := range calls(t, s) {
		began := time.Now()
		is(t, name, call(), host.ErrUnavailable)
		if took := time.Since(began); took > within {
			t.Errorf("%s: failed after %v, expected within %v", name, took, within)
		}
	}
}

// back waits until what was written is there again.
func back(t *testing.T, s *host.Store, want string) {
	t.Helper()
	b := bucket(t, s, 0)
	wait(t, "the store is back", func() bool {
		e, err := b.Get(t.Context(), "k")
		switch {
		case errors.Is(err, host.ErrUnavailable):
			return false
		case err != nil || string(e.Value) != want:
			t.Fatalf("the value is %q, %v, expected %q", e.Value, err, want)
		}
		return true
	})
}

// lines are what a log has in it.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// once checks that something was logged, and once.
func (l *lines) once(t *testing.T, what string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := strings.Count(l.text.String(), what); n != 1 {
		t.Errorf("%q was logged %d times, expected 1:\n%s", what, n, l.text.String())
	}
}

// paired checks that it was logged that the store is back, and as often as that it
// was lost.
func (l *lines) paired(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	if lost, came := strings.Count(text, lostText), strings.Count(text, backText); lost == 0 || lost != came {
		t.Errorf("lost %d times and back %d times:\n%s", lost, came, text)
	}
}

const (
	lostText = "the store is not to be reached"
	backText = "the store is back"
)

func gone(t *testing.T, server Server, open opener) {
	var log lines
	s := open(t, server.URL(), 10*time.Second, &log)
	put(t, bucket(t, s, 0), "k", "acknowledged")
	server.Stop()
	unavailable(t, s) // a connection that has ended is noticed before the timeout
	for range 100 {
		unavailable(t, s) // at once, on any machine
	}
	log.once(t, lostText)
	server.Start(t)
	back(t, s, "acknowledged")
	log.once(t, lostText)
	log.once(t, backText)
}

func silent(t *testing.T, server Server, open opener) {
	const timeout = 500 * time.Millisecond
	between := startProxy(t, server.URL())
	var log lines
	s := open(t, between.url, timeout, &log)
	wait(t, "the store answers", func() bool { return bucket(t, s, 0).Put(t.Context(), "k", []byte("before"), host.Always) == nil })
	between.hold()
	began := time.Now()
	_, err := bucket(t, s, 0).Get(t.Context(), "k")
	is(t, "get from a store that is silent", err, host.ErrUnavailable)
	if took := time.Since(began); took < timeout/2 || took > timeout+5*time.Second {
		t.Errorf("failed after %v, expected %v", took, timeout)
	}
	began = time.Now()
	for range 100 {
		_, err := bucket(t, s, 0).Get(t.Context(), "k")
		is(t, "get again", err, host.ErrUnavailable)
	}
	if took := time.Since(began); took > 5*time.Second { // a hundred timeouts are 50 s
		t.Errorf("further calls took %v", took)
	}
	between.release()
	back(t, s, "before")
	log.paired(t) // on a busy machine, it may have been too late before
}

func notThereYet(t *testing.T, server Server, open opener) {
	at := server.URL()
	server.Stop()
	var log lines
	s := open(t, at, 10*time.Second, &log)
	unavailable(t, s)
	log.once(t, lostText)
	server.Start(t)
	wait(t, "the store answers", func() bool { return bucket(t, s, 0).Put(t.Context(), "k", []byte("x"), host.Always) == nil })
	back(t, s, "x")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	unavailable(t, s)
	log.once(t, backText)
}

// proxy passes connections on to a server, unless it holds what they carry.
type proxy struct {
	url    string
	mu     sync.Mutex
	moving *sync.Cond
	held   bool
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: fmt.Sprintf("%s://%s%s", u.Scheme, l.Addr(), u.Path)}
	p.moving = sync.NewCond(&p.mu)
	t.Cleanup(func() { l.Close(); p.release() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", u.Host)
			if err != nil {
				in.Close()
				continue
			}
			t.Cleanup(func() { in.Close(); out.Close() })
			go p.pass(in, out)
			go p.pass(out, in)
		}
	}()
	return p
}

func (p *proxy) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		for p.held {
			p.moving.Wait()
		}
		p.mu.Unlock()
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
}

func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = false
	p.moving.Broadcast()
}
