package host

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// start begins a streamed call to the cluster "c".
func start(t *testing.T, c *Callouts, r Request) *Call {
	t.Helper()
	if r.Method == "" {
		r.Method, r.NoBody = http.MethodGet, true
	}
	if r.Path == "" {
		r.Path = "/"
	}
	if r.Notify == nil {
		r.Notify = func() {}
	}
	r.Cluster, r.Authority, r.ContentLength = "c", "service.example", -1
	call, err := c.Start(t.Context(), &r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(call.Close)
	return call
}

// outcome waits for the end of a call, reading all that comes.
func outcome(t *testing.T, call *Call) (plugin.Headers, []byte, plugin.Headers, error) {
	t.Helper()
	var body plugin.Body
	var all []byte
	var err error
	settled(t, "the call's end", func() bool {
		call.Flush()
		if _, err = call.Response(); err != nil {
			return !errors.Is(err, ErrPending)
		}
		err = call.Receive(&body)
		for chunk := body.Pop(); chunk != nil; chunk = body.Pop() {
			all = append(all, chunk...)
		}
		return err != nil || body.Ended
	})
	headers, _ := call.Response()
	return headers, all, body.Trailers, err
}

func codeFor(err error) string {
	var known *Error
	if errors.As(err, &known) {
		return known.Code
	}
	return ""
}

// TestCallTimeouts: each timeout ends the call, whoever gives it, also if the
// request's body doesn't end.
func TestCallTimeouts(t *testing.T) {
	const short = 50 * time.Millisecond
	halted := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("abc"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for name, tc := range map[string]struct {
		url     string
		request Request
		cluster plugin.Cluster
		code    string
	}{
		"connect":                {deaf(t), Request{Timeouts: Timeouts{Connect: short}}, plugin.Cluster{}, "connection-timeout"},
		"connect, configured":    {deaf(t), Request{Timeouts: Timeouts{Connect: time.Hour}}, plugin.Cluster{ConnectTimeout: short}, "connection-timeout"},
		"first byte":             {raw(t, hang), Request{Timeouts: Timeouts{FirstByte: short}}, plugin.Cluster{}, "connection-read-timeout"},
		"first byte, configured": {raw(t, hang), Request{Timeouts: Timeouts{FirstByte: time.Hour}}, plugin.Cluster{FirstByteTimeout: short}, "connection-read-timeout"},
		"between, configured":    {halted.URL, Request{Timeouts: Timeouts{BetweenBytes: time.Hour}}, plugin.Cluster{BetweenBytesTimeout: short}, "connection-read-timeout"},
		"between, HTTP/2":        {halted.URL, Request{Method: "POST", Timeouts: Timeouts{BetweenBytes: short}}, plugin.Cluster{HTTP2: true}, "connection-read-timeout"},
		"whole, HTTP/2":          {halted.URL, Request{Method: "POST"}, plugin.Cluster{HTTP2: true, Timeout: short}, "connection-read-timeout"},
		"whole":                  {halted.URL, Request{Method: "POST"}, plugin.Cluster{Timeout: short}, "connection-read-timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			call := start(t, calling(t, tc.cluster, tc.url, CalloutLimits{}), tc.request)
			if _, _, _, err := outcome(t, call); codeFor(err) != tc.code {
				t.Errorf("%v, expected %s", err, tc.code)
			}
			if tc.cluster.HTTP2 || strings.HasPrefix(name, "between") {
				return // Envoy's calls end alike
			}
			c := calling(t, tc.cluster, tc.url, CalloutLimits{Timeout: 300 * time.Millisecond})
			if r := answer(t, c, get("/")); value(r.Headers, ":status") == "200" || r.Err == nil {
				t.Errorf("as a whole: %v", r.Err)
			}
		})
	}
}

// deaf is a service whose connections can't be made: its queue is full.
func deaf(t *testing.T) string {
	t.Helper()
	return "http://" + full(t)
}

// TestCallTimeoutsDefault: there are timeouts where nobody gives any, and the
// shorter of two counts.
func TestCallTimeoutsDefault(t *testing.T) {
	if got := timeouts(Timeouts{}, &plugin.Cluster{}); got != defaultTimeouts {
		t.Errorf("%+v", got)
	}
	got := timeouts(Timeouts{Connect: 1, FirstByte: 4}, &plugin.Cluster{ConnectTimeout: 2, FirstByteTimeout: 3, BetweenBytesTimeout: 5})
	if want := (Timeouts{Connect: 1, FirstByte: 3, BetweenBytes: 5}); got != want {
		t.Errorf("%+v, expected %+v", got, want)
	}
}

// TestCallSlowGuest: a guest that takes its time is not a service that does.
func TestCallSlowGuest(t *testing.T) {
	const length = 8 * bufferSize
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, length)) })
	c := calling(t, plugin.Cluster{BetweenBytesTimeout: time.Second}, s.URL, CalloutLimits{})
	call := start(t, c, Request{})
	settled(t, "a full buffer", func() bool { return c.bytes.Load() >= bufferSize })
	time.Sleep(1500 * time.Millisecond)
	if _, body, _, err := outcome(t, call); err != nil || len(body) != length {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// TestCallSlowUpload: a service may wait for all of a request, however long it
// takes, before it answers.
func TestCallSlowUpload(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	c := calling(t, plugin.Cluster{}, s.URL, CalloutLimits{})
	call := start(t, c, Request{Method: http.MethodPost, Timeouts: Timeouts{FirstByte: time.Second}})
	var sent plugin.Body
	for range 10 {
		time.Sleep(150 * time.Millisecond)
		sent.Push([]byte("x"))
		call.Send(&sent)
	}
	sent.Ended = true
	if _, body, _, err := outcome(t, call); err != nil || len(body) != 10 {
		t.Errorf("%q, %v", body, err)
	}
}

// TestCallTrailers go both ways.
func TestCallTrailers(t *testing.T) {
	s := serve(t, false, echo)
	c := calling(t, plugin.Cluster{}, s.URL, CalloutLimits{})
	call := start(t, c, Request{Method: http.MethodPost})
	sent := plugin.Body{Ended: true, Trailers: headers("x-t", "v", "transfer-encoding", "chunked")}
	sent.Push([]byte("hello"))
	call.Send(&sent)
	_, body, trailers, err := outcome(t, call)
	if err != nil || value(trailers, "x-after") != "end" || !strings.Contains(string(body), `trailer map["X-T":["v"]]`) {
		t.Errorf("%v\n%s\n%s", err, body, trailers)
	}
}

// TestCallBytes: what a plugin's calls hold is bounded together, and yet all of
// them end.
func TestCallBytes(t *testing.T) {
	const calls, length, limit = 20, 1 << 20, 100_000
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	c := calling(t, plugin.Cluster{HTTP2: true}, s.URL, CalloutLimits{Bytes: limit})
	var most atomic.Int64
	watch := func() { most.Store(max(most.Load(), c.bytes.Load())) }
	var all [calls]*Call
	var sent [calls]plugin.Body
	for i := range all {
		all[i] = start(t, c, Request{Method: http.MethodPost, Notify: watch})
		for range length / chunkSize {
			sent[i].Push(make([]byte, chunkSize))
		}
		sent[i].Ended = true
		all[i].Send(&sent[i])
	}
	time.Sleep(100 * time.Millisecond) // they go on until all is full
	var got [calls]int
	var in [calls]plugin.Body
	settled(t, "all calls", func() bool {
		ended := 0
		for i, call := range all {
			call.Flush()
			if _, err := call.Response(); err == nil {
				if err := call.Receive(&in[i]); err != nil {
					t.Fatal(err)
				}
			}
			got[i] += in[i].Len()
			in[i].Discard()
			if in[i].Ended {
				ended++
			}
		}
		return ended == calls
	})
	for i, n := range got {
		if n != length {
			t.Errorf("call %d: %d bytes", i, n)
		}
	}
	if most := most.Load(); most > limit+2*calls*chunkSize {
		t.Errorf("%d bytes were held", most)
	}
}

// TestCallTrickle: a response that comes byte by byte takes the memory of its
// bytes, not of what they came in.
func TestCallTrickle(t *testing.T) {
	const length = 1200
	var written atomic.Int64
	s := raw(t, after("HTTP/1.1 200 OK\r\n\r\n", func(c net.Conn) {
		_ = c.(*net.TCPConn).SetNoDelay(true)
		for range length {
			if _, err := c.Write([]byte("a")); err != nil {
				return
			}
			written.Add(1)
			time.Sleep(100 * time.Microsecond) // or they come together
		}
	}))
	c := calling(t, plugin.Cluster{}, s, CalloutLimits{})
	call := start(t, c, Request{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	settled(t, "the pieces", func() bool { return written.Load() == length })
	time.Sleep(50 * time.Millisecond)
	runtime.GC()
	runtime.ReadMemStats(&after)
	call.mu.Lock()
	chunks, held := call.chunks, call.received.Len()
	call.mu.Unlock()
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2<<20 || chunks != maxChunks {
		t.Errorf("%d bytes in %d pieces hold %d", held, chunks, grown)
	}
	if _, body, _, err := outcome(t, call); err != nil || len(body) != length {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// TestCallPlaces: a call has a place until nothing is held of it.
func TestCallPlaces(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ok") })
	c := calling(t, plugin.Cluster{}, s.URL, CalloutLimits{Calls: 2})
	read, unread := start(t, c, Request{}), start(t, c, Request{})
	full := func() bool {
		_, err := c.Start(t.Context(), &Request{Cluster: "c", Method: "GET", Path: "/", NoBody: true, Notify: func() {}})
		return errors.Is(err, ErrFull)
	}
	if !full() {
		t.Error("a third call was begun")
	}
	if _, body, _, err := outcome(t, read); string(body) != "ok" {
		t.Errorf("%q, %v", body, err)
	}
	settled(t, "a place", func() bool { return c.calls.Load() == 1 })
	if !read.Done() || unread.Done() {
		t.Errorf("done: %t, with a response that wasn't read: %t", read.Done(), unread.Done())
	}
	settled(t, "the other's response", func() bool { return c.bytes.Load() == 2 })
	start(t, c, Request{}).Close()
	settled(t, "a place", func() bool { return c.calls.Load() == 1 })
	unread.Close()
	settled(t, "both places", func() bool { return c.calls.Load() == 0 && c.bytes.Load() == 0 })
}

// TestCallHostile: whatever a service answers, the call ends and says why.
func TestCallHostile(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, tc := range map[string]struct {
		handle func(net.Conn)
		code   string // "": any
	}{
		"many fields":     {after(ok+strings.Repeat("a:\r\n", 2000)+"\r\n", nil), "HTTP-response-header-section-size"},
		"endless head":    {after(ok, endless("x-a: b\r\n")), ""},
		"one long field":  {after(ok+"x-a: ", endless(strings.Repeat("a", 1<<16))), ""},
		"many trailers":   {after(ok+"transfer-encoding: chunked\r\n\r\n0\r\n"+strings.Repeat("a:\r\n", 1100)+"\r\n", nil), ""},
		"endless trailer": {after(ok+"transfer-encoding: chunked\r\n\r\n0\r\n", endless("x-a: b\r\n")), ""},
		"switches":        {after("HTTP/1.1 101 Switching Protocols\r\n\r\n", hang), "HTTP-upgrade-failed"},
		"body reset":      {after(ok+"content-length: 10\r\n\r\nabc", reset), "connection-terminated"},
		"nonsense":        {after("SSH-2.0-OpenSSH\r\n\r\n", nil), "HTTP-protocol-error"},
	} {
		t.Run(name, func(t *testing.T) {
			c := calling(t, plugin.Cluster{Timeout: 5 * time.Second}, raw(t, tc.handle), CalloutLimits{})
			_, _, _, err := outcome(t, start(t, c, Request{}))
			if got := codeFor(err); got == "" || tc.code != "" && got != tc.code {
				t.Errorf("%v, expected %s", err, tc.code)
			}
		})
	}
}

// TestCallFields: what a guest says reaches the service as one request, without
// what belongs to a connection.
func TestCallFields(t *testing.T) {
	s := serve(t, false, echo)
	c := calling(t, plugin.Cluster{}, s.URL, CalloutLimits{})
	_, body, _, err := outcome(t, start(t, c, Request{Headers: headers("x-a", "1", "connection", "x-a", "keep-alive", "1", "upgrade", "h2c",
		"transfer-encoding", "chunked", "content-length", "7", "host", "other", "proxy-authorization", "x", "te", "gzip", "trailer", "x-a")}))
	if want := "HTTP/1.1 GET / service.example\nmap[\"X-A\":[\"1\"]]\nbody \"\" trailer map[]\n"; err != nil || string(body) != want {
		t.Errorf("%v\n%s, expected\n%s", err, body, want)
	}
	for name, r := range map[string]Request{
		"CR LF in a value":     {Headers: headers("x-a", "b\r\nx-c: d")},
		"NUL in a value":       {Headers: headers("x-a", "b\x00")},
		"CR LF in a name":      {Headers: headers("x-a: b\r\nx-c", "d")},
		"an empty name":        {Headers: headers("", "d")},
		"a pseudo header":      {Headers: headers(":path", "/other")},
		"CR LF in a method":    {Method: "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"},
		"a tunnel":             {Method: "CONNECT"},
		"CR LF in a path":      {Path: "/ HTTP/1.1\r\nX: y\r\n\r\n"},
		"another URL":          {Path: "http://169.254.169.254/"},
		"CR LF in a name's":    {Authority: "a\r\nx: y"},
		"a blank in authority": {Authority: "a b"},
	} {
		r.Cluster, r.NoBody, r.Method, r.Path = "c", true, either(r.Method, "GET"), either(r.Path, "/")
		if _, err := c.Start(t.Context(), &r); !errors.Is(err, ErrBadArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func either(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// BenchmarkCall is a streamed call, against net/http alone.
func BenchmarkCall(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer s.Close()
	client := NewClient()
	defer client.Close()
	c := newCallouts(client, map[string]*plugin.Cluster{"c": {URL: parsed(b, s.URL)}}, CalloutLimits{}, nil)
	defer c.Close()
	wake := make(chan struct{}, 1)
	notify := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		call, err := c.Start(b.Context(), &Request{Method: "GET", Cluster: "c", Authority: "a", Path: "/", NoBody: true, Notify: notify})
		if err != nil {
			b.Fatal(err)
		}
		var body plugin.Body
		for !body.Ended {
			<-wake
			if err := call.Receive(&body); err != nil {
				b.Fatal(err)
			}
		}
		if got := body.Pop(); !bytes.Equal(got, []byte("ok")) {
			b.Fatalf("%q", got)
		}
		call.Close()
	}
}
