package rpc

import (
	"bytes"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
)

// call in turns that a test makes of a function.
type turnFunc func() (bool, error)

func (f turnFunc) Turn() (bool, error) { return f() }

// serveMethod serves a method beside the others, as "Own".
func serveMethod(t testing.TB, m Method) (*Server, string) {
	t.Helper()
	all := served()
	all["/test.T/Own"] = m
	return serveAll(t, Options{}, all)
}

// TestSlowTurn: a turn that doesn't come back, and doesn't say that it waits, holds up
// no other stream of its connection, nor the answers that were ready before it.
func TestSlowTurn(t *testing.T) {
	release := make(chan struct{})
	s, address := serveMethod(t, func(s *Stream) Call {
		return turnFunc(func() (bool, error) {
			if _, ok, _ := s.Poll(); !ok {
				return false, nil
			}
			<-release
			return true, s.Send([]byte("at last"))
		})
	})
	cc := dial(t, address)
	echoing := call(t.Context(), t, cc, "EchoInTurns")
	echo(t, echoing, []byte("before"))
	var slow []grpc.ClientStream
	for range 5 {
		st := call(t.Context(), t, cc, "Own")
		m := []byte("a")
		if err := st.SendMsg(&m); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, st)
		echo(t, echoing, []byte("beside"))
	}
	until(t, func() bool { return s.handlers() == 6 })
	close(release)
	for _, st := range slow {
		var m []byte
		if err := st.RecvMsg(&m); err != nil || string(m) != "at last" {
			t.Fatalf("%q %v", m, err)
		}
	}
	echo(t, echoing, []byte("after"))
}

// TestWake: a call gets a turn when it is woken, from wherever that is.
func TestWake(t *testing.T) {
	_, address := serveMethod(t, func(s *Stream) Call {
		turns := 0
		return turnFunc(func() (bool, error) {
			turns++
			if turns == 1 {
				for range 10 {
					go s.Wake()
				}
				return false, nil
			}
			if _, _, err := s.Poll(); err != nil {
				return true, err
			}
			s.Wake() // another turn after this one
			if turns < 10 {
				return false, nil
			}
			return true, s.Send([]byte("woken"))
		})
	})
	st := call(t.Context(), t, dial(t, address), "Own")
	m := []byte("a")
	if err := st.SendMsg(&m); err != nil {
		t.Fatal(err)
	}
	if err := st.RecvMsg(&m); err != nil || string(m) != "woken" {
		t.Errorf("%q %v", m, err)
	}
}

// TestIdleStreams: streams that wait for their client hold no goroutine.
func TestIdleStreams(t *testing.T) {
	_, address := serve(t, Options{})
	cc := dial(t, address, grpc.WithInitialConnWindowSize(16<<20))
	echo(t, call(t.Context(), t, cc, "EchoInTurns"), []byte("a"))
	before := runtime.NumGoroutine()
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() { echo(t, call(t.Context(), t, cc, "EchoInTurns"), []byte("a")) })
	}
	all.Wait()
	// The client has one for each, that waits for the end of its context.
	until(t, func() bool { return runtime.NumGoroutine() < before+500+maxIdle+20 })
}

// TestPace: turns run side by side when they take long on average, and no more when
// they don't. One that takes for ever doesn't tell.
func TestPace(t *testing.T) {
	var p pace
	p.took(time.Hour)
	if p.aside {
		t.Error("one slow turn is enough")
	}
	for range 20 {
		p.took(2 * quick)
	}
	if !p.aside || !p.timed() {
		t.Error("slow turns go on one by one, or are not timed")
	}
	for range 40 {
		p.took(quick / 4)
	}
	if p.aside {
		t.Error("quick turns each have a goroutine")
	}
	timed := 0
	for range 10 * sampled {
		if p.timed() {
			timed++
		}
	}
	if timed != 10 {
		t.Errorf("%d of %d turns are timed", timed, 10*sampled)
	}
}

// TestSideBySide: slow turns of one connection are at work at the same time.
func TestSideBySide(t *testing.T) {
	const n = 20
	var inside sync.WaitGroup
	inside.Add(n)
	_, address := serveMethod(t, func(s *Stream) Call {
		return turnFunc(func() (bool, error) {
			if _, ok, _ := s.Poll(); !ok {
				return false, nil
			}
			inside.Done()
			inside.Wait() // for all the others
			return true, nil
		})
	})
	cc := dial(t, address)
	for range n {
		st := call(t.Context(), t, cc, "Own")
		m := []byte("a")
		if err := st.SendMsg(&m); err != nil {
			t.Fatal(err)
		}
	}
	inside.Wait()
}

// TestOneWrite: what a quick turn answers goes out with the stream's end.
func TestOneWrite(t *testing.T) {
	for try := 0; !endsWithAnswer(t); try++ {
		if try == 50 { // a turn may take long, on a busy machine
			t.Fatal("the end is always written by itself")
		}
	}
}

// endsWithAnswer says whether a stream's end is in the write that holds its answer.
func endsWithAnswer(t *testing.T) bool {
	t.Helper()
	s := NewServer(served(), Options{})
	defer s.Stop()
	client, server := net.Pipe() // a read of one end takes a write of the other
	defer client.Close()
	s.start(server)
	p := &peer{t: t, net: client, Framer: http2.NewFramer(client, nil)}
	p.enc = hpack.NewEncoder(&p.block)
	go func() {
		_, _ = client.Write([]byte(http2.ClientPreface))
		_ = errors.Join(p.WriteSettings(), p.open(1, "EchoInTurns"), p.WriteData(1, true, message("a")))
	}()
	for b := make([]byte, 64<<10); ; {
		n, err := client.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		answered := false
		for frames := http2.NewFramer(nil, bytes.NewReader(b[:n])); ; {
			f, err := frames.ReadFrame()
			if err != nil {
				break
			}
			h := f.Header()
			answered = answered || h.Type == http2.FrameData
			if answered && h.Type == http2.FrameHeaders && h.Flags.Has(http2.FlagHeadersEndStream) {
				return true
			}
		}
		if answered {
			return false
		}
	}
}
