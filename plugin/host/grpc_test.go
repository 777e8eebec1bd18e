package host

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
)

// recorder is a guest that writes down what it hears.
type recorder struct {
	events chan string
	slow   chan struct{}
}

func newRecorder() *recorder { return &recorder{events: make(chan string, 10_000)} }

func (r *recorder) OnInitialMetadata(h plugin.Headers) {
	r.events <- "initial " + value(h, "x-initial")
}
func (r *recorder) OnMessage(m []byte) {
	if r.slow != nil {
		<-r.slow
	}
	if len(m) > 32 {
		r.events <- fmt.Sprintf("message of %d", len(m))
		return
	}
	r.events <- "message " + string(m)
}
func (r *recorder) OnTrailingMetadata(h plugin.Headers) {
	r.events <- "trailing " + value(h, "x-trailing")
}
func (r *recorder) OnClose(s GRPCStatus) { r.events <- fmt.Sprintf("closed %d %s", s.Code, s.Message) }

// until collects events to the one that begins so.
func (r *recorder) until(t *testing.T, begin string) []string {
	t.Helper()
	var all []string
	for {
		select {
		case e := <-r.events:
			if all = append(all, e); strings.HasPrefix(e, begin) {
				return all
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no event %q after %q", begin, all)
		}
	}
}

// bytesCodec hands messages on as they are.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = slices.Clone(data)
	return nil
}
func (bytesCodec) Name() string { return "bytes" }

// serveGRPC starts a server of grpc-go that answers every method with handle.
func serveGRPC(t *testing.T, handle func(grpc.ServerStream) error, opts ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(append(opts, grpc.ForceServerCodec(bytesCodec{}), grpc.MaxRecvMsgSize(64<<20),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return handle(stream) }))...)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return "http://" + l.Addr().String()
}

// echoGRPC tells what it was called with, and echoes messages until the client
// closes its half.
func echoGRPC(s grpc.ServerStream) error {
	_ = s.SetHeader(metadata.Pairs("x-initial", "i"))
	s.SetTrailer(metadata.Pairs("x-trailing", "t"))
	for {
		var m []byte
		if err := s.RecvMsg(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if string(m) == "fail" {
			return status.Error(codes.AlreadyExists, "it does, 100%")
		}
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
}

func unary(message string) GRPCRequest {
	return GRPCRequest{Cluster: "c", Service: "a.B", Method: "C", Unary: true, Message: []byte(message)}
}

func stream() GRPCRequest { return GRPCRequest{Cluster: "c", Service: "a.B", Method: "C"} }

func begin(t *testing.T, c *Callouts, r GRPCRequest, events GRPCEvents) GRPCStream {
	t.Helper()
	s, err := c.GRPC(r, events)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestGRPCUnary(t *testing.T) {
	c := calling(t, plugin.Cluster{}, serveGRPC(t, echoGRPC), CalloutLimits{})
	for _, tc := range []struct {
		message string
		want    []string
	}{
		{"hello", []string{"initial i", "message hello", "trailing t", "closed 0 "}},
		{"", []string{"initial i", "message ", "trailing t", "closed 0 "}},
		{strings.Repeat("x", 5<<20), []string{"initial i", "message of 5242880", "trailing t", "closed 0 "}},
		{"fail", []string{"initial i", "trailing t", "closed 6 it does, 100%25"}},
	} {
		r := newRecorder()
		begin(t, c, unary(tc.message), r)
		expect(t, r.until(t, "closed"), tc.want...)
	}
}

func TestGRPCTLS(t *testing.T) {
	secure := serve(t, true, echo) // lends its certificate
	url := serveGRPC(t, echoGRPC, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: secure.TLS.Certificates})))
	c := calling(t, plugin.Cluster{TLS: plugin.TLS{CA: authority(secure)}}, "https"+strings.TrimPrefix(url, "http"), CalloutLimits{})
	r := newRecorder()
	begin(t, c, unary("hello"), r)
	expect(t, r.until(t, "closed"), "initial i", "message hello", "trailing t", "closed 0 ")
	c = calling(t, plugin.Cluster{}, "https"+strings.TrimPrefix(url, "http"), CalloutLimits{})
	begin(t, c, unary("hello"), r)
	if got := r.until(t, "closed"); !strings.HasPrefix(got[len(got)-1], "closed 14 TLS-certificate-error") {
		t.Errorf("%q", got)
	}
}

// TestGRPCRequest: what the server sees of a call.
func TestGRPCRequest(t *testing.T) {
	seen := make(chan *http.Request, 1)
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen <- r
	})
	c := calling(t, plugin.Cluster{}, s.URL, CalloutLimits{})
	call := unary("")
	call.Authority, call.Timeout = "auth.example", 3*time.Second
	call.Metadata = headers("x-a", "1", "x-a", "2", "b-bin", "AAE", "c-bin", "\x00\x01", ":path", "/other", "grpc-timeout", "1n", "te", "x", "content-type", "text/html")
	r := newRecorder()
	begin(t, c, call, r)
	expect(t, r.until(t, "closed"), "initial ", "trailing ", "closed 2 ") // a response without a status
	got := <-seen
	want := map[string][]string{"X-A": {"1", "2"}, "B-Bin": {"AAE"}, "C-Bin": {"AAE"}, "Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Grpc-Timeout": {"3000m"}}
	if fmt.Sprint(got.Header) != fmt.Sprint(http.Header(want)) || got.Host != "auth.example" || got.URL.Path != "/a.B/C" || got.Proto != "HTTP/2.0" {
		t.Errorf("%s %s %s %v", got.Proto, got.Host, got.URL, got.Header)
	}
}

func TestGRPCStream(t *testing.T) {
	c := calling(t, plugin.Cluster{}, serveGRPC(t, echoGRPC), CalloutLimits{})
	r := newRecorder()
	s := begin(t, c, stream(), r)
	for i := range 100 {
		if err := s.Send(fmt.Appendf(nil, "%d", i), false); err != nil {
			t.Fatal(err)
		}
		if i == 0 { // both directions at once
			expect(t, r.until(t, "message"), "initial i", "message 0")
		}
	}
	s.Close()
	got := r.until(t, "closed")
	for i := range 99 {
		if got[i] != fmt.Sprintf("message %d", i+1) {
			t.Fatalf("%q", got)
		}
	}
	expect(t, got[99:], "trailing t", "closed 0 ")
	if err := s.Send(nil, false); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	s.Close()
	s.Cancel()

	s = begin(t, c, stream(), r)
	if err := s.Send([]byte("last"), true); err != nil {
		t.Fatal(err)
	}
	if err := s.Send([]byte("more"), true); !errors.Is(err, ErrClosed) {
		t.Errorf("after the last: %v", err)
	}
	expect(t, r.until(t, "closed"), "initial i", "message last", "trailing t", "closed 0 ")
}

// TestGRPCServerEnds: the server may end a stream while the client would send
// more.
func TestGRPCServerEnds(t *testing.T) {
	c := calling(t, plugin.Cluster{}, serveGRPC(t, func(grpc.ServerStream) error { return nil }), CalloutLimits{})
	r := newRecorder()
	s := begin(t, c, stream(), r)
	expect(t, r.until(t, "closed"), "initial ", "trailing ", "closed 0 ")
	settled(t, "sending", func() bool { return errors.Is(s.Send([]byte("x"), false), ErrClosed) })
	// A unary call is to have a response.
	begin(t, c, unary(""), r)
	expect(t, r.until(t, "closed"), "initial ", "trailing ", "closed 13 the response has no message")
}

func TestGRPCCancel(t *testing.T) {
	var open atomic.Int32
	c := calling(t, plugin.Cluster{}, serveGRPC(t, func(s grpc.ServerStream) error {
		open.Add(1)
		defer open.Add(-1)
		_ = s.SendMsg([]byte("first"))
		<-s.Context().Done()
		return nil
	}), CalloutLimits{})
	r := newRecorder()
	for range 50 {
		s := begin(t, c, stream(), r)
		r.until(t, "message")
		s.Cancel()
		s.Cancel()
	}
	settled(t, "the server", func() bool { return open.Load() == 0 })
	settled(t, "calls", func() bool { return c.calls.Load() == 0 })
	if n := len(r.events); n != 0 {
		t.Errorf("%d events after the calls were cancelled: %q", n, <-r.events)
	}
}

func TestGRPCTimeout(t *testing.T) {
	c := calling(t, plugin.Cluster{}, serveGRPC(t, func(s grpc.ServerStream) error {
		_ = s.SendMsg([]byte("first"))
		<-t.Context().Done() // whatever the client wishes
		return nil
	}), CalloutLimits{})
	for _, request := range []GRPCRequest{unary(""), stream()} {
		request.Timeout = 100 * time.Millisecond
		r := newRecorder()
		begin(t, c, request, r)
		expect(t, r.until(t, "closed"), "initial ", "message first", "trailing ", "closed 4 the call's time was up")
	}
}

func TestGRPCRefused(t *testing.T) {
	c := calling(t, plugin.Cluster{}, "http://127.0.0.1:1", CalloutLimits{Message: 10})
	for name, tc := range map[string]struct {
		change func(*GRPCRequest)
		want   error
	}{
		"cluster": {func(r *GRPCRequest) { r.Cluster = "d" }, ErrUnknownCluster},
		"service": {func(r *GRPCRequest) { r.Service = "" }, ErrBadArgument},
		"method":  {func(r *GRPCRequest) { r.Method = "a b" }, ErrBadArgument},
		"message": {func(r *GRPCRequest) { r.Message = make([]byte, 11) }, ErrFull},
	} {
		request := unary("")
		tc.change(&request)
		if _, err := c.GRPC(request, newRecorder()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := newRecorder()
	begin(t, c, unary(""), r)
	if got := r.until(t, "closed"); !strings.HasPrefix(got[2], "closed 14 connection-refused") {
		t.Errorf("%q", got)
	}
}

// TestGRPCHostile: whatever a server answers, the call ends with a status.
func TestGRPCHostile(t *testing.T) {
	frame := func(flags byte, length uint32, message string) string {
		head := binary.BigEndian.AppendUint32([]byte{flags}, length)
		return string(head) + message
	}
	for name, tc := range map[string]struct {
		handle http.HandlerFunc
		want   string // the last event
	}{
		"404":           {http.NotFound, "closed 12 HTTP status 404"},
		"401":           {code(401), "closed 16 HTTP status 401"},
		"403":           {code(403), "closed 7 HTTP status 403"},
		"400":           {code(400), "closed 13 HTTP status 400"},
		"503":           {code(503), "closed 14 HTTP status 503"},
		"418":           {code(418), "closed 2 HTTP status 418"},
		"no status":     {write(frame(0, 1, "a")), "closed 2 "},
		"compressed":    {write(frame(1, 1, "a")), "closed 13 a compressed message, although none was asked for"},
		"too long":      {write(frame(0, 1<<31, "")), "closed 8 a message of 2147483648 bytes, at most 65536 are accepted"},
		"cut head":      {write("\x00\x00"), "closed 13 "},
		"cut message":   {write(frame(0, 10, "abc")), "closed 13 "},
		"html":          {write("<html>"), "closed 13 "},
		"bad status":    {trailer("many"), "closed 2 "},
		"huge status":   {trailer("99999999999"), "closed 2 "},
		"unknown code":  {trailer("77"), "closed 77 "},
		"many trailers": {manyTrailers, "closed 8 "},
		"aborts":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "closed 14 "},
		"aborts late": {func(w http.ResponseWriter, r *http.Request) {
			write(frame(0, 1, "a"))(w, r)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "closed 13 "},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "closed 4 "},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			endlessly(w, r, frame(0, 10_000, strings.Repeat("a", 10_000)))
		}, "closed 4 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := calling(t, plugin.Cluster{}, serve(t, false, tc.handle).URL, CalloutLimits{Message: 1 << 16, Bytes: 1 << 20})
			request := stream()
			request.Timeout = 1500 * time.Millisecond
			r := newRecorder()
			r.events = make(chan string, 1_000_000)
			begin(t, c, request, r).Close()
			got := r.until(t, "closed")
			if last := got[len(got)-1]; !strings.HasPrefix(last, tc.want) {
				t.Errorf("%q, expected %q", last, tc.want)
			}
			if !strings.HasPrefix(got[0], "initial") || !strings.HasPrefix(got[len(got)-2], "trailing") {
				t.Errorf("out of order: %q", got)
			}
		})
	}
}

func code(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func write(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func trailer(status string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(http.TrailerPrefix+"Grpc-Status", status) }
}

func manyTrailers(w http.ResponseWriter, _ *http.Request) {
	for i := range 2000 {
		w.Header().Set(fmt.Sprintf("%sX-%d", http.TrailerPrefix, i), "")
	}
}

func endlessly(w http.ResponseWriter, r *http.Request, text string) {
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
	}
}

// TestGRPCBackPressure: a peer that doesn't read, and a guest that doesn't.
func TestGRPCBackPressure(t *testing.T) {
	var sent atomic.Int64
	c := calling(t, plugin.Cluster{}, serveGRPC(t, func(s grpc.ServerStream) error {
		for s.Context().Err() == nil {
			if s.SendMsg(make([]byte, 10_000)) == nil {
				sent.Add(10_000)
			}
		}
		return nil
	}), CalloutLimits{})
	r := newRecorder()
	r.slow = make(chan struct{})
	s := begin(t, c, stream(), r)
	var pushed int
	for {
		err := s.Send(make([]byte, 100_000), false)
		if errors.Is(err, ErrFull) {
			break
		}
		if pushed += 100_000; err != nil || pushed > 64<<20 {
			t.Fatalf("after %d bytes: %v", pushed, err)
		}
	}
	before := int64(-1)
	settled(t, "the server", func() bool {
		now := sent.Load()
		quiet := now == before
		before = now
		time.Sleep(50 * time.Millisecond)
		return quiet
	})
	if before > 16<<20 {
		t.Errorf("the server could send %d bytes to a guest that doesn't listen", before)
	}
	s.Cancel()
	close(r.slow)
}

// TestGRPCLeaks: no goroutine stays of a thousand calls.
func TestGRPCLeaks(t *testing.T) {
	url := serveGRPC(t, echoGRPC)
	before := runtime.NumGoroutine()
	t.Run("calls", func(t *testing.T) {
		c := calling(t, plugin.Cluster{}, url, CalloutLimits{})
		r := newRecorder()
		for i := range 500 {
			begin(t, c, unary("x"), r)
			if i%2 == 0 {
				begin(t, c, stream(), newRecorder()).Cancel()
			} else {
				begin(t, c, stream(), newRecorder()).Close()
			}
			r.until(t, "closed")
		}
	})
	settled(t, "goroutines", func() bool { return runtime.NumGoroutine() <= before+2 })
}

// told hears of a call's end only.
type told chan GRPCStatus

func (told) OnInitialMetadata(plugin.Headers)  {}
func (told) OnMessage([]byte)                  {}
func (told) OnTrailingMetadata(plugin.Headers) {}
func (t told) OnClose(s GRPCStatus)            { t <- s }

func BenchmarkGRPCUnary(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error { return echoGRPC(s) }))
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	b.Run("callout", func(b *testing.B) {
		client := NewClient()
		defer client.Close()
		u := &url.URL{Scheme: "http", Host: l.Addr().String()}
		c := newCallouts(client, map[string]*plugin.Cluster{"c": {URL: u}}, CalloutLimits{}, nil)
		defer c.Close()
		events := make(told)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.GRPC(unary("hello"), events); err != nil {
				b.Fatal(err)
			}
			if s := <-events; s.Code != 0 {
				b.Fatal(s)
			}
		}
	})
	b.Run("grpc-go", func(b *testing.B) { // the same without us
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{})))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		b.ReportAllocs()
		for b.Loop() {
			var out []byte
			if err := conn.Invoke(context.Background(), "/a.B/C", []byte("hello"), &out); err != nil {
				b.Fatal(err)
			}
		}
	})
}
