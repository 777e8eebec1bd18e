package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// raw is a codec of grpc-go for messages that are bytes.
type raw struct{}

func (raw) Name() string                       { return "raw" }
func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }

// echoing is a call in turns that sends what it gets.
type echoing struct{ *Stream }

func (e echoing) Turn() (bool, error) {
	for {
		m, ok, err := e.Poll()
		switch {
		case !ok:
			return false, nil
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return true, err
		}
		if err := e.Send(m.Bytes); err != nil {
			return true, err
		}
	}
}

// methods are what the test's server serves.
var methods = map[string]Handler{
	"/test.T/Echo": func(s *Stream) error {
		for {
			m, err := s.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := s.Send(m); err != nil {
				return err
			}
		}
	},
	"/test.T/Fail":  func(*Stream) error { return status.Error(codes.FailedPrecondition, "100 % wrong\nindeed: ü") },
	"/test.T/Plain": func(*Stream) error { return errors.New("plain") },
	"/test.T/Late":  func(*Stream) error { return context.DeadlineExceeded },
	"/test.T/Panic": func(*Stream) error { panic("oops") },
	"/test.T/Wait":  func(s *Stream) error { <-s.Done(); return s.Err() },
	"/test.T/Meta": func(s *Stream) error {
		md, _ := metadata.FromIncomingContext(s)
		return s.Send(fmt.Append(nil, md.Get("x-route"), md.Get(":authority"), md.Get("content-type")))
	},
	"/test.T/Child": func(s *Stream) error {
		ctx, cancel := context.WithCancel(s)
		defer cancel()
		<-ctx.Done()
		return ctx.Err()
	},
}

// served are methods, and some in turns.
func served() map[string]Method {
	all := map[string]Method{
		"/test.T/EchoInTurns":  func(s *Stream) Call { return echoing{s} },
		"/test.T/PanicInTurns": func(s *Stream) Call { return panicking{} },
	}
	for name, handler := range methods {
		all[name] = handler.Method()
	}
	return all
}

type panicking struct{}

func (panicking) Turn() (bool, error) { panic("oops") }

// serve starts a server of the test's methods.
func serve(t testing.TB, opts Options) (*Server, string) {
	t.Helper()
	return serveAll(t, opts, served())
}

func serveAll(t testing.TB, opts Options, methods map[string]Method) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts.Log = slog.New(slog.DiscardHandler)
	s := NewServer(methods, opts)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-ended; !errors.Is(err, ErrStopped) {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

func dial(t testing.TB, address string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(1<<30)))
	cc, err := grpc.NewClient(address, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func call(ctx context.Context, t testing.TB, cc *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	st, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/test.T/"+method)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func echo(t testing.TB, st grpc.ClientStream, message []byte) {
	t.Helper()
	if err := st.SendMsg(&message); err != nil {
		t.Fatal(err)
	}
	var got []byte
	if err := st.RecvMsg(&got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, message) {
		t.Fatalf("got %d bytes back of %d, or others", len(got), len(message))
	}
}

// TestEcho: messages of all sizes around those of frames and windows come back.
func TestEcho(t *testing.T) {
	_, address := serve(t, Options{})
	cc := dial(t, address)
	for _, method := range []string{"Echo", "EchoInTurns"} {
		st := call(t.Context(), t, cc, method)
		for _, n := range []int{0, 1, 5, 16379, 16380, 65530, 65531, 65536, 256 << 10, 256<<10 + 1, 5 << 20} {
			echo(t, st, bytes.Repeat([]byte{byte(n), 1, 2}, n/3+1)[:n])
		}
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var got []byte
		if err := st.RecvMsg(&got); !errors.Is(err, io.EOF) {
			t.Errorf("%s, at the end: %v", method, err)
		}
	}
}

// TestManyStreams: streams of one connection, side by side, get each its own.
func TestManyStreams(t *testing.T) {
	_, address := serve(t, Options{})
	cc := dial(t, address)
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			st := call(t.Context(), t, cc, []string{"Echo", "EchoInTurns"}[i%2])
			for j := range 5 {
				echo(t, st, fmt.Appendf(nil, "%d of %d %s", j, i, strings.Repeat("x", i*20)))
			}
			_ = st.CloseSend()
			var got []byte
			if err := st.RecvMsg(&got); !errors.Is(err, io.EOF) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	all.Wait()
}

// TestStatus: what a handler returns reaches the client.
func TestStatus(t *testing.T) {
	_, address := serve(t, Options{MaxMessage: 1000})
	cc := dial(t, address)
	for _, tc := range []struct {
		method, send string
		code         codes.Code
		message      string
	}{
		{"Fail", "a", codes.FailedPrecondition, "100 % wrong\nindeed: ü"},
		{"Plain", "a", codes.Unknown, "plain"},
		{"Late", "a", codes.DeadlineExceeded, "context deadline exceeded"},
		{"Panic", "a", codes.Internal, "internal error"},
		{"PanicInTurns", "a", codes.Internal, "internal error"},
		{"Missing", "a", codes.Unimplemented, "unknown method /test.T/Missing"},
		{"Echo", strings.Repeat("x", 1001), codes.ResourceExhausted, "a message of 1001 bytes, the largest that is taken has 1000"},
	} {
		st := call(t.Context(), t, cc, tc.method)
		m := []byte(tc.send)
		_ = st.SendMsg(&m) // it may have ended already
		err := st.RecvMsg(&m)
		if got := status.Convert(err); got.Code() != tc.code || got.Message() != tc.message {
			t.Errorf("%s: %v", tc.method, err)
		}
	}
}

func TestMetadata(t *testing.T) {
	_, address := serve(t, Options{})
	st := call(metadata.AppendToOutgoingContext(t.Context(), "x-route", "checkout"), t, dial(t, address), "Meta")
	m := []byte("a")
	if err := st.SendMsg(&m); err != nil {
		t.Fatal(err)
	}
	if err := st.RecvMsg(&m); err != nil || string(m) != "[checkout] ["+address+"] []" {
		t.Errorf("%s %v", m, err)
	}
}

// TestCancel: a client that goes away, or whose time is up, ends the handler, and
// contexts that are derived from the stream.
func TestCancel(t *testing.T) {
	s, address := serve(t, Options{})
	cc := dial(t, address)
	for _, method := range []string{"Wait", "Child", "Echo", "EchoInTurns"} {
		ctx, cancel := context.WithCancel(t.Context())
		st := call(ctx, t, cc, method)
		m := []byte("a")
		if err := st.SendMsg(&m); err != nil {
			t.Fatal(err)
		}
		until(t, func() bool { return s.handlers() == 1 })
		cancel()
		until(t, func() bool { return s.handlers() == 0 })

		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		st = call(ctx, t, cc, method)
		if err := st.SendMsg(&m); err != nil {
			t.Fatal(err)
		}
		for err := error(nil); err == nil; {
			err = st.RecvMsg(&m)
			if err != nil && status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%s: %v", method, err)
			}
		}
		until(t, func() bool { return s.handlers() == 0 })
		cancel()
	}
}

// handlers is how many run.
func (s *Server) handlers() (n uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.mu.Lock()
		n += c.serving
		c.mu.Unlock()
	}
	return n
}

func until(t testing.TB, what func() bool) {
	t.Helper()
	for begin := time.Now(); !what(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatal("waited for 20 s")
		}
	}
}

// TestDrain: streams under way end as they would have, no new connection is taken,
// and the old one is closed when the last stream has ended.
func TestDrain(t *testing.T) {
	s, address := serve(t, Options{})
	cc := dial(t, address)
	st := call(t.Context(), t, cc, "Echo")
	echo(t, st, []byte("before"))
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context()) }()
	until(t, s.stopped)
	echo(t, st, []byte("while draining"))
	select {
	case err := <-drained:
		t.Fatal("drained with a stream under way", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var got []byte
	if err := st.RecvMsg(&got); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestDrainGivesUp: a drain ends with its context.
func TestDrainGivesUp(t *testing.T) {
	s, address := serve(t, Options{})
	st := call(t.Context(), t, dial(t, address), "Wait")
	m := []byte("a")
	if err := st.SendMsg(&m); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return s.handlers() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestBackPressure: a client that doesn't read holds its own handler up, and no
// other stream.
func TestBackPressure(t *testing.T) {
	_, address := serve(t, Options{})
	cc := dial(t, address, grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(16<<20))
	slow := call(t.Context(), t, cc, "Echo")
	sent := make(chan int, 1)
	go func() {
		n := 0
		m := make([]byte, 64<<10)
		for ; n < 64 && slow.SendMsg(&m) == nil; n++ {
		}
		sent <- n
	}()
	select {
	case <-sent:
		t.Error("4 MiB were taken of a client that reads nothing")
	case <-time.After(100 * time.Millisecond):
	}
	echo(t, call(t.Context(), t, cc, "Echo"), make([]byte, 1<<20))
	var got []byte
	for range 64 {
		if err := slow.RecvMsg(&got); err != nil || len(got) != 64<<10 {
			t.Fatal(len(got), err)
		}
	}
	if n := <-sent; n != 64 {
		t.Errorf("%d messages sent", n)
	}
}

// BenchmarkStream is a stream of two messages each way, as an exchange with a
// proxy is, many side by side.
func BenchmarkStream(b *testing.B) {
	for _, peer := range []string{"in turns", "frames", "grpc-go"} {
		b.Run(peer, func(b *testing.B) {
			var address string
			method := "Echo"
			switch peer {
			case "in turns":
				method = "EchoInTurns"
				fallthrough
			case "frames":
				_, address = serve(b, Options{})
			default:
				address = reference(b)
			}
			cc := dial(b, address)
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				m := make([]byte, 500)
				for pb.Next() {
					ctx, cancel := context.WithCancel(b.Context())
					st := call(ctx, b, cc, method)
					echo(b, st, m)
					echo(b, st, m)
					cancel()
				}
			})
		})
	}
}

// reference serves Echo with grpc-go.
func reference(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g := grpc.NewServer(grpc.ForceServerCodec(raw{}))
	g.RegisterService(&grpc.ServiceDesc{ServiceName: "test.T", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "Echo", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, st grpc.ServerStream) error {
			for {
				var m []byte
				if err := st.RecvMsg(&m); err != nil {
					return err
				}
				if err := st.SendMsg(&m); err != nil {
					return err
				}
			}
		},
	}}}, struct{}{})
	go func() { _ = g.Serve(l) }()
	b.Cleanup(g.Stop)
	return l.Addr().String()
}
