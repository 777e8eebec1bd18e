package host

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

func headers(pairs ...string) plugin.Headers {
	var h plugin.Headers
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, plugin.Field{Name: pairs[i], Value: []byte(pairs[i+1])})
	}
	return h
}

func value(h plugin.Headers, name string) string {
	v, _ := h.Get(name)
	return string(v)
}

// calling makes callouts to one cluster, "c", and checks at the test's end that
// nothing is left of the calls.
func calling(t *testing.T, cluster plugin.Cluster, raw string, limits CalloutLimits) *Callouts {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	cluster.URL = u
	client := NewClient()
	c := newCallouts(client, map[string]*plugin.Cluster{"c": &cluster}, limits, nil)
	t.Cleanup(func() {
		c.Close()
		client.Close()
		settled(t, "calls", func() bool { return c.calls.Load() == 0 })
		if n := c.bytes.Load(); n != 0 {
			t.Errorf("%d bytes are still counted", n)
		}
	})
	return c
}

// settled waits for what is to become true.
func settled(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%s: not settled after a minute\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func get(path string) HTTPRequest {
	return HTTPRequest{Cluster: "c", Headers: headers(":method", "GET", ":path", path, ":authority", "service.example")}
}

// answer makes a call and waits for what comes of it.
func answer(t *testing.T, c *Callouts, r HTTPRequest) HTTPResponse {
	t.Helper()
	done := make(chan HTTPResponse, 2)
	if _, err := c.HTTP(r, func(r HTTPResponse) { done <- r }); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-done:
		return r
	case <-time.After(2 * time.Minute):
		t.Fatal("no answer")
	}
	return HTTPResponse{}
}

// echo tells what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Trailer", "X-After")
	w.Header().Add("X-Twice", "1")
	w.Header().Add("X-Twice", "2")
	fmt.Fprintf(w, "%s %s %s %s\n%q\n", r.Proto, r.Method, r.RequestURI, r.Host, r.Header)
	fmt.Fprintf(w, "body %q trailer %q\n", body, r.Trailer)
	w.Header().Set("X-After", "end")
}

// serve starts a server that speaks HTTP/1.1 and HTTP/2, with and without TLS.
func serve(t *testing.T, secure bool, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.EnableHTTP2 = secure
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func authority(s *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func TestHTTP(t *testing.T) {
	plain, secure := serve(t, false, echo), serve(t, true, echo)
	for name, tc := range map[string]struct {
		url     string
		cluster plugin.Cluster
		proto   string
	}{
		"http/1.1": {plain.URL, plugin.Cluster{}, "HTTP/1.1"},
		"h2c":      {plain.URL, plugin.Cluster{HTTP2: true}, "HTTP/2.0"},
		"h2":       {secure.URL, plugin.Cluster{TLS: plugin.TLS{CA: authority(secure)}}, "HTTP/2.0"},
		"insecure": {secure.URL, plugin.Cluster{TLS: plugin.TLS{InsecureSkipVerify: true}}, "HTTP/2.0"},
		"name":     {secure.URL, plugin.Cluster{TLS: plugin.TLS{CA: authority(secure), ServerName: "example.com"}}, "HTTP/2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			c := calling(t, tc.cluster, tc.url, CalloutLimits{})
			r := answer(t, c, HTTPRequest{
				Cluster: "c",
				Headers: headers(":method", "POST", ":path", "/a%2Fb|\"c?d=%20&|", ":authority", "service.example", ":scheme", "ftp",
					"x-a", "1", "x-a", "2", "content-length", "99", "connection", "close, x-a", "transfer-encoding", "chunked", "host", "other"),
				Body:     []byte("hello"),
				Trailers: headers("x-t", "v"),
			})
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			want := tc.proto + " POST /a%2Fb|\"c?d=%20&| service.example\nmap[\"X-A\":[\"1\" \"2\"]]\nbody \"hello\" trailer map[\"X-T\":[\"v\"]]\n"
			if got := strings.Replace(string(r.Body), `"Trailer":["X-T"] `, "", 1); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if r.Headers[0].Name != ":status" || value(r.Headers, ":status") != "200" || value(r.Headers, "x-twice") != "1" {
				t.Errorf("headers %s", r.Headers)
			}
			if value(r.Trailers, "x-after") != "end" {
				t.Errorf("trailers %s", r.Trailers)
			}
		})
	}
}

func TestHTTPRefused(t *testing.T) {
	c := calling(t, plugin.Cluster{}, "http://127.0.0.1:1", CalloutLimits{Calls: 1, Bytes: 100})
	for name, tc := range map[string]struct {
		r    HTTPRequest
		want error
	}{
		"cluster":   {HTTPRequest{Cluster: "other"}, ErrUnknownCluster},
		"address":   {HTTPRequest{Cluster: "127.0.0.1:1"}, ErrUnknownCluster},
		"headers":   {HTTPRequest{Cluster: "c"}, ErrBadArgument},
		"method":    {HTTPRequest{Cluster: "c", Headers: headers(":path", "/", ":authority", "a")}, ErrBadArgument},
		"authority": {HTTPRequest{Cluster: "c", Headers: headers(":path", "/", ":method", "GET")}, ErrBadArgument},
		"connect":   {HTTPRequest{Cluster: "c", Headers: headers(":path", "/", ":method", "CONNECT", ":authority", "a")}, ErrBadArgument},
		"no slash":  {get("x"), ErrBadArgument},
		"absolute":  {get("http://169.254.169.254/"), ErrBadArgument},
		"smuggled":  {get("/ HTTP/1.1\r\nHost: x\r\n\r\nGET /"), ErrBadArgument},
		"bytes":     {HTTPRequest{Cluster: "c", Body: make([]byte, 101)}, ErrFull},
	} {
		cancel, err := c.HTTP(tc.r, func(HTTPResponse) { t.Errorf("%s: done was called", name) })
		if !errors.Is(err, tc.want) || cancel != nil {
			t.Errorf("%s: %v, expected %v", name, err, tc.want)
		}
	}
	c.Close()
	if _, err := c.HTTP(get("/"), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// raw serves every connection with a function.
func raw(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() { l.Close(); conns.Wait() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				stop := context.AfterFunc(t.Context(), func() { conn.Close() })
				defer stop()
				handle(conn)
			})
		}
	}()
	return "http://" + l.Addr().String()
}

// after reads a request's head, then writes.
func after(text string, more func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 64<<10))
		_, _ = io.WriteString(c, text)
		if more != nil {
			more(c)
		}
	}
}

func reset(c net.Conn) {
	time.Sleep(300 * time.Millisecond) // what was written is to be read
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func endless(chunk string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, chunk); err != nil {
				return
			}
		}
	}
}

// TestHTTPHostile: whatever a service answers, the call ends, says why, and
// holds no more than it may.
func TestHTTPHostile(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, tc := range map[string]struct {
		handle func(net.Conn)
		status string // of the answer in the service's place
		err    string // what Err begins with
	}{
		"silent":           {hang, "504", "connection-read-timeout"},
		"closes":           {after("", nil), "503", "connection-terminated"},
		"resets":           {after("", reset), "503", "connection-terminated"},
		"speaks nonsense":  {after("SSH-2.0-OpenSSH\r\n\r\n", nil), "503", "HTTP-protocol-error"},
		"bad status":       {after("HTTP/1.1 abc OK\r\n\r\n", nil), "503", "HTTP-protocol-error"},
		"half a head":      {after(ok+"x-a: b", nil), "503", "connection-terminated"},
		"head, then none":  {after(ok, hang), "504", "connection-read-timeout"},
		"endless head":     {after(ok, endless("x-a: b\r\n")), "503", ""},
		"one long field":   {after(ok+"x-a: ", endless(strings.Repeat("a", 1<<16))), "503", ""},
		"many fields":      {after(ok+strings.Repeat("a:\r\n", 2000)+"\r\n", nil), "", "HTTP-response-header-section-size"},
		"many trailers":    {after(ok+"transfer-encoding: chunked\r\n\r\n0\r\n"+strings.Repeat("a:\r\n", 2000)+"\r\n", nil), "", ""},
		"endless 1xx":      {after("", endless("HTTP/1.1 103 Early Hints\r\n\r\n")), "503", ""},
		"body cut":         {after(ok+"content-length: 10\r\n\r\nabc", nil), "", "connection-terminated"},
		"body reset":       {after(ok+"content-length: 10\r\n\r\nabc", reset), "", "connection-terminated"},
		"body hangs":       {after(ok+"content-length: 10\r\n\r\nabc", hang), "", "connection-read-timeout"},
		"endless body":     {after(ok+"\r\n", endless(strings.Repeat("a", 1<<12))), "", "HTTP-response-body-size"},
		"announced body":   {after(ok+"content-length: 9999999999999\r\n\r\n", hang), "", "HTTP-response-body-size"},
		"two lengths":      {after(ok+"content-length: 1\r\ncontent-length: 2\r\n\r\nab", nil), "503", ""},
		"bad chunk":        {after(ok+"transfer-encoding: chunked\r\n\r\nzz\r\n", nil), "", ""},
		"switches":         {after("HTTP/1.1 101 Switching Protocols\r\n\r\n", hang), "", "HTTP-upgrade-failed"},
		"trickles forever": {after(ok+"\r\n", func(c net.Conn) { trickle(c) }), "", "connection-read-timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := time.Minute
			if tc.err == "connection-read-timeout" {
				patience = 2 * time.Second // what there is of an answer comes before
			}
			c := calling(t, plugin.Cluster{Timeout: patience}, raw(t, tc.handle), CalloutLimits{Message: 1 << 16, Bytes: 1 << 20})
			r := answer(t, c, get("/"))
			if r.Err == nil || !strings.HasPrefix(r.Err.Error(), tc.err) {
				t.Errorf("error %v, expected %s", r.Err, tc.err)
			}
			if got := value(r.Headers, ":status"); got != tc.status {
				t.Errorf("status %q, expected %q (%v)", got, tc.status, r.Err)
			}
			text := map[string]string{"504": "upstream request timeout", "503": "upstream connect error or disconnect/reset before headers. reset reason: "}[tc.status]
			if !strings.HasPrefix(string(r.Body), text) || text == "" && len(r.Body) > 0 {
				t.Errorf("body %q", r.Body)
			}
		})
	}
}

func trickle(c net.Conn) {
	for {
		if _, err := c.Write([]byte("a")); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestHTTPUnreachable(t *testing.T) {
	secure := serve(t, true, echo)
	for name, tc := range map[string]struct {
		url     string
		cluster plugin.Cluster
		err     string
	}{
		"nobody listens":      {"http://127.0.0.1:1", plugin.Cluster{}, "connection-refused"},
		"unknown authority":   {secure.URL, plugin.Cluster{}, "TLS-certificate-error"},
		"another name":        {secure.URL, plugin.Cluster{TLS: plugin.TLS{CA: authority(secure), ServerName: "other"}}, "TLS-certificate-error"},
		"plain to TLS":        {"http" + strings.TrimPrefix(secure.URL, "https"), plugin.Cluster{HTTP2: true}, ""},
		"TLS to plain":        {"https" + strings.TrimPrefix(serve(t, false, echo).URL, "http"), plugin.Cluster{}, "TLS-protocol-error"},
		"a client is unknown": {mutual(t), plugin.Cluster{TLS: plugin.TLS{InsecureSkipVerify: true}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := calling(t, tc.cluster, tc.url, CalloutLimits{Timeout: 5 * time.Second})
			r := answer(t, c, get("/"))
			if r.Err == nil || !strings.HasPrefix(r.Err.Error(), tc.err) || value(r.Headers, ":status") != "503" {
				t.Errorf("%v, %s; expected %s", r.Err, r.Headers, tc.err)
			}
		})
	}
}

// mutual is a server that wants to know who calls.
func mutual(t *testing.T) string {
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// TestHTTPRedirect: a redirect is an answer, wherever it leads.
func TestHTTPRedirect(t *testing.T) {
	var followed atomic.Bool
	elsewhere := serve(t, false, func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	c := calling(t, plugin.Cluster{}, s.URL, CalloutLimits{})
	request := get("/")
	request.Headers = append(request.Headers, headers("authorization", "secret")...)
	if r := answer(t, c, request); value(r.Headers, ":status") != "302" || value(r.Headers, "location") != elsewhere.URL || followed.Load() {
		t.Errorf("%v %s, followed: %t", r.Err, r.Headers, followed.Load())
	}
}

// TestHTTPTimeout: the shortest of the timeouts counts.
func TestHTTPTimeout(t *testing.T) {
	for _, tc := range []struct{ request, cluster, limit time.Duration }{
		{50 * time.Millisecond, time.Hour, time.Hour},
		{time.Hour, 50 * time.Millisecond, time.Hour},
		{0, 0, 50 * time.Millisecond},
	} {
		c := calling(t, plugin.Cluster{Timeout: tc.cluster}, raw(t, hang), CalloutLimits{Timeout: tc.limit})
		request := get("/")
		request.Timeout = tc.request
		if r := answer(t, c, request); value(r.Headers, ":status") != "504" {
			t.Errorf("%v: %v", tc, r.Err)
		}
	}
}

// TestHTTPCancel: of a call that was cancelled nothing is heard, of the others
// once.
func TestHTTPCancel(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	})
	c := calling(t, plugin.Cluster{}, s.URL, CalloutLimits{})
	const n = 200
	var heard [n]atomic.Int32
	var late atomic.Int32
	var all sync.WaitGroup
	for i := range n {
		path := "/fast"
		if i%2 == 1 {
			path = "/slow"
		} else {
			all.Add(1)
		}
		var dropped atomic.Bool
		cancel, err := c.HTTP(get(path), func(HTTPResponse) {
			heard[i].Add(1)
			if dropped.Load() {
				late.Add(1)
			}
			if i%2 == 0 {
				all.Done()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			time.AfterFunc(time.Duration(i)*100*time.Microsecond, func() { cancel(); dropped.Store(true); cancel() })
		}
	}
	all.Wait()
	settled(t, "calls", func() bool { return c.calls.Load() == 0 })
	for i := range heard {
		if want := int32(1 - i%2); heard[i].Load() != want {
			t.Errorf("call %d was heard of %d times, expected %d", i, heard[i].Load(), want)
		}
	}
	if late.Load() != 0 {
		t.Errorf("%d calls were heard of after they were cancelled", late.Load())
	}
}

// TestHTTPLimits: calls beyond the limits are refused at once, and places come
// back.
func TestHTTPLimits(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { <-release })
	c := calling(t, plugin.Cluster{}, s.URL, CalloutLimits{Calls: 3, Bytes: 100})
	var all sync.WaitGroup
	for range 3 {
		all.Add(1)
		if _, err := c.HTTP(get("/"), func(HTTPResponse) { all.Done() }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.HTTP(get("/"), nil); !errors.Is(err, ErrFull) {
		t.Errorf("the fourth: %v", err)
	}
	close(release)
	all.Wait()
	settled(t, "calls", func() bool { return c.calls.Load() == 0 })
	if r := answer(t, c, get("/")); r.Err != nil {
		t.Error(r.Err)
	}
}

// TestHTTPBytes: responses count against what a plugin's calls may hold.
func TestHTTPBytes(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 1000)) })
	c := calling(t, plugin.Cluster{}, s.URL, CalloutLimits{Bytes: 999})
	if r := answer(t, c, get("/")); r.Err == nil || !strings.HasPrefix(r.Err.Error(), "HTTP-response-body-size") {
		t.Errorf("%v, %d bytes", r.Err, len(r.Body))
	}
}

// TestHTTPClose: closing ends calls that are under way; no goroutine stays.
func TestHTTPClose(t *testing.T) {
	before := runtime.NumGoroutine()
	u, err := url.Parse(raw(t, hang))
	if err != nil {
		t.Fatal(err)
	}
	client := NewClient()
	c := newCallouts(client, map[string]*plugin.Cluster{"c": {URL: u}}, CalloutLimits{}, nil)
	for range 20 {
		if _, err := c.HTTP(get("/"), func(HTTPResponse) {}); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	settled(t, "calls", func() bool { return c.calls.Load() == 0 })
	client.Close()
	settled(t, "goroutines", func() bool { return runtime.NumGoroutine() <= before+1 })
}

func TestHTTPLarge(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for _, http2 := range []bool{false, true} {
		c := calling(t, plugin.Cluster{HTTP2: http2}, s.URL, CalloutLimits{})
		request := get("/")
		request.Body = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		if r := answer(t, c, request); !bytes.Equal(r.Body, request.Body) {
			t.Errorf("%v, %d bytes", r.Err, len(r.Body))
		}
	}
}

func BenchmarkHTTP(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		b.Fatal(err)
	}
	client := NewClient()
	defer client.Close()
	b.Run("callout", func(b *testing.B) {
		c := newCallouts(client, map[string]*plugin.Cluster{"c": {URL: u}}, CalloutLimits{}, nil)
		defer c.Close()
		done := make(chan HTTPResponse)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.HTTP(get("/"), func(r HTTPResponse) { done <- r }); err != nil {
				b.Fatal(err)
			}
			if r := <-done; r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	})
	b.Run("net/http", func(b *testing.B) { // the same without us
		b.ReportAllocs()
		for b.Loop() {
			r, err := http.Get(s.URL)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
	})
}
