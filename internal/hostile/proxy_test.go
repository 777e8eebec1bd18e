package hostile

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server"
)

// listen serves the good plugins over TCP until the test ends, and returns the
// address and a client.
func listen(t *testing.T) (string, proxy) {
	t.Helper()
	var current plugin.Current
	if err := current.Swap(plugin.NewSet(engines(t, false, time.Second).good(t)...)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(server.GRPCOptions()...)
	server.New(&current, server.Options{Log: slog.New(slog.DiscardHandler)}).Register(s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<20), grpc.MaxCallSendMsgSize(256<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := current.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), proxy{extprocv3.NewExternalProcessorClient(conn)}
}

// well checks that exchanges are served as ever.
func (p proxy) well(t *testing.T) {
	t.Helper()
	for _, body := range []bool{false, true} {
		if got := p.run(t, exchange{path: "/", body: body}); got.problem != "" || got.immediate != 0 {
			t.Errorf("then: %+v", got)
		}
	}
}

// settles waits until no more goroutines are left than there were.
func settles(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
			return
		}
	}
}

func requestHeaders(end bool) *extprocv3.ProcessingRequest {
	h := &corev3.HeaderMap{}
	for name, value := range map[string]string{":method": "POST", ":path": "/", ":scheme": "http", ":authority": "a"} {
		h.Headers = append(h.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
	}
	return &extprocv3.ProcessingRequest{
		ProtocolConfig: &extprocv3.ProtocolConfiguration{RequestBodyMode: duplex, ResponseBodyMode: duplex},
		Request:        &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{Headers: h, EndOfStream: end}},
	}
}

func responseHeaders(end bool) *extprocv3.ProcessingRequest {
	h := &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":status", RawValue: []byte("200")}}}
	return &extprocv3.ProcessingRequest{
		Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{Headers: h, EndOfStream: end}},
	}
}

func requestBody(size int, end bool) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{
		RequestBody: &extprocv3.HttpBody{Body: bytes.Repeat([]byte("x"), size), EndOfStream: end},
	}}
}

func responseBody(size int, end bool) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseBody{
		ResponseBody: &extprocv3.HttpBody{Body: bytes.Repeat([]byte("x"), size), EndOfStream: end},
	}}
}

func requestTrailers() *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestTrailers{RequestTrailers: &extprocv3.HttpTrailers{}}}
}

func responseTrailers() *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}}}
}

// say sends messages without waiting for answers, half-closes, and returns how many
// answers came and how the stream ended.
func (p proxy) say(t *testing.T, msgs ...*extprocv3.ProcessingRequest) (answers int, code codes.Code) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := p.Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		if stream.Send(m) != nil {
			break // the answer says why
		}
	}
	_ = stream.CloseSend()
	for {
		_, err := stream.Recv()
		if err != nil {
			return answers, status.Code(err)
		}
		answers++
	}
}

// TestMessageOrder sends what no proxy would: each stream ends at once, as a broken
// protocol or well, and the next is served.
func TestMessageOrder(t *testing.T) {
	_, p := listen(t)
	before := runtime.NumGoroutine()
	// Envoy's own second end of a stream in full duplex is why more after an end is
	// let be. Unknown is io.EOF.
	const well, broken = codes.Unknown, codes.InvalidArgument
	for name, c := range map[string]struct {
		msgs []*extprocv3.ProcessingRequest
		want codes.Code
	}{
		"nothing at all":            {nil, well},
		"no oneof":                  {[]*extprocv3.ProcessingRequest{{}, {}, {}}, well},
		"no oneof in between":       {[]*extprocv3.ProcessingRequest{requestHeaders(false), {}, requestBody(1, true)}, well},
		"headers twice":             {[]*extprocv3.ProcessingRequest{requestHeaders(false), requestHeaders(false)}, broken},
		"response headers twice":    {[]*extprocv3.ProcessingRequest{requestHeaders(true), responseHeaders(false), responseHeaders(false)}, broken},
		"the end twice":             {[]*extprocv3.ProcessingRequest{requestHeaders(false), requestBody(1, true), requestBody(1, true)}, well},
		"a body after its end":      {[]*extprocv3.ProcessingRequest{requestHeaders(true), requestBody(1, true)}, well},
		"trailers without a body":   {[]*extprocv3.ProcessingRequest{requestHeaders(false), requestTrailers()}, well},
		"trailers twice":            {[]*extprocv3.ProcessingRequest{requestHeaders(false), requestTrailers(), requestTrailers()}, broken},
		"trailers after the end":    {[]*extprocv3.ProcessingRequest{requestHeaders(false), requestBody(0, true), requestTrailers()}, well},
		"a body after trailers":     {[]*extprocv3.ProcessingRequest{requestHeaders(false), requestTrailers(), requestBody(1, true)}, well},
		"a body of nothing":         {[]*extprocv3.ProcessingRequest{requestHeaders(false), requestBody(0, true)}, well},
		"a body of one byte":        {[]*extprocv3.ProcessingRequest{requestHeaders(false), requestBody(1, true)}, well},
		"a body before its headers": {[]*extprocv3.ProcessingRequest{requestBody(1, true)}, well},
		"the response first":        {[]*extprocv3.ProcessingRequest{responseHeaders(false), responseBody(1, true), requestHeaders(true)}, well},
		"trailers only":             {[]*extprocv3.ProcessingRequest{responseTrailers(), requestTrailers()}, well},
		"headers without any":       {[]*extprocv3.ProcessingRequest{{Request: &extprocv3.ProcessingRequest_RequestHeaders{}}, {Request: &extprocv3.ProcessingRequest_ResponseHeaders{}}}, well},
		"a body without any":        {[]*extprocv3.ProcessingRequest{requestHeaders(false), {Request: &extprocv3.ProcessingRequest_RequestBody{}}}, well},
	} {
		t.Run(name, func(t *testing.T) {
			if _, code := p.say(t, c.msgs...); code != c.want {
				t.Errorf("the stream ended with %v, expected %v", code, c.want)
			}
		})
	}
	p.well(t)
	settles(t, before+8) // instances that are kept have one each
}

// TestIdleStreams has 10,000 exchanges wait, each for the rest of its request.
func TestIdleStreams(t *testing.T) {
	_, p := listen(t)
	before, goroutines := resident(t), runtime.NumGoroutine()
	const count = 10_000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range count {
		stream, err := p.Process(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&extprocv3.ProcessingRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	p.well(t)
	grown := resident(t) - before
	t.Logf("%d idle streams take %d KiB each, client's share included", count, grown/count>>10)
	if grown > 1<<30 {
		t.Errorf("the process grew by %d MiB", grown>>20)
	}
	cancel()
	settles(t, goroutines+8)
	p.well(t)
}

// TestResetBursts opens streams and resets them at once, faster than they can be
// served (CVE-2023-44487). Others are served meanwhile, and nothing is left.
func TestResetBursts(t *testing.T) {
	addr, p := listen(t)
	p.well(t)
	goroutines, before := runtime.NumGoroutine(), resident(t)
	const clients, streams = 4, 20_000
	var group sync.WaitGroup
	for range clients {
		group.Go(func() { resetBurst(t, addr, streams) })
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	for count := 0; ; count++ {
		p.well(t)
		select {
		case <-done:
			t.Logf("%d exchanges were served meanwhile", 2*count)
			settles(t, goroutines+16)
			if grown := resident(t) - before; grown > 512<<20 {
				t.Errorf("the process grew by %d MiB", grown>>20)
			}
			return
		default:
		}
	}
}

// resetBurst speaks HTTP/2 by hand: no client does what it does. The server may
// close the connection.
func resetBurst(t *testing.T, addr string, streams uint32) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	go func() { // what it has to say is not of interest, but has to go somewhere
		buf := make([]byte, 64<<10)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	}()
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&out, nil)
	_ = f.WriteSettings()
	for i := range streams {
		id := 2*i + 1
		var block bytes.Buffer
		e := hpack.NewEncoder(&block)
		for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/envoy.service.ext_proc.v3.ExternalProcessor/Process"}, {":authority", "a"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
			_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true})
		_ = f.WriteRSTStream(id, http2.ErrCodeCancel)
		if out.Len() > 32<<10 || i == streams-1 {
			_ = conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
			if _, err := conn.Write(out.Bytes()); err != nil {
				return
			}
			out.Reset()
		}
	}
}

// TestMessageSizes sends messages at and over the size that is taken.
func TestMessageSizes(t *testing.T) {
	_, p := listen(t)
	const most = 64 << 20
	for _, c := range []struct {
		size int
		want codes.Code
	}{{4 << 20, codes.Unknown}, {most - 100, codes.Unknown}, {most + 1, codes.ResourceExhausted}, {128 << 20, codes.ResourceExhausted}} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			if _, code := p.say(t, requestHeaders(false), requestBody(c.size, true)); code != c.want {
				t.Errorf("the stream ended with %v, expected %v", code, c.want)
			}
		})
	}
	p.well(t)
}

// TestSlowReader has a proxy send a body and not take what comes of it: it is left
// to wait, and what is held for it is bounded.
func TestSlowReader(t *testing.T) {
	_, p := listen(t)
	before := resident(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := p.Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan int, 1)
	go func() {
		n := 0
		defer func() { sent <- n }()
		if stream.Send(requestHeaders(false)) != nil {
			return
		}
		for n < 2000 && stream.Send(requestBody(256<<10, false)) == nil {
			n++
		}
	}()
	select {
	case n := <-sent:
		t.Errorf("%d pieces of 256 KiB were taken though nothing was read", n)
	case <-time.After(3 * time.Second):
	}
	if grown := resident(t) - before; grown > 128<<20 {
		t.Errorf("the process grew by %d MiB", grown>>20)
	}
	p.well(t)
	cancel()
	<-sent
	p.well(t)
}

// TestHeadersOfProxies are header maps that no HTTP client could send.
func TestHeadersOfProxies(t *testing.T) {
	_, p := listen(t)
	huge := strings.Repeat("a", 1<<20)
	for name, fields := range map[string][]*corev3.HeaderValue{
		"none":             nil,
		"nil":              {nil, nil},
		"no name":          {{}, {Key: "", RawValue: []byte("v")}},
		"bytes":            {{Key: "\x00\n", RawValue: []byte("\x00\r\n\xff")}},
		"a method twice":   {{Key: ":method", Value: "GET"}, {Key: ":method", Value: "POST"}},
		"a large name":     {{Key: huge, Value: "v"}},
		"a large value":    {{Key: "a", Value: huge}},
		"many":             manyFields(100_000),
		"a bad method":     {{Key: ":method", Value: "G\x00T"}, {Key: ":path", Value: ""}},
		"a bad length":     {{Key: ":method", Value: "POST"}, {Key: "content-length", Value: "-1"}, {Key: "content-length", Value: "99999999999999999999"}},
		"upper case names": {{Key: ":METHOD", Value: "GET"}, {Key: "X-Secret", Value: "s"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := requestHeaders(true)
			m.GetRequestHeaders().Headers = &corev3.HeaderMap{Headers: fields}
			if _, code := p.say(t, m); code != codes.Unknown && code != codes.InvalidArgument {
				t.Errorf("the stream ended with %v", code)
			}
		})
	}
	p.well(t)
}

func manyFields(n int) []*corev3.HeaderValue {
	list := make([]*corev3.HeaderValue, n)
	for i := range list {
		list[i] = &corev3.HeaderValue{Key: fmt.Sprint("x-", i), Value: "v"}
	}
	return list
}
