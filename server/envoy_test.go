package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/extproc/extproc/envoy"
	"github.com/extproc/extproc/internal/envoyrun"
	"github.com/extproc/extproc/internal/envoytest"
	"github.com/extproc/extproc/internal/upstream"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/rpc"
)

// proxied is a real Envoy between a client and an upstream, with the service
// beside it.
type proxied struct {
	url    string
	envoy  *envoyrun.Envoy
	module *scripted
	plugin *plugin.Plugin
	svc    *Service
	http1  *http.Client
	http2  *http.Client
}

func behindEnvoy(t *testing.T, strategy plugin.FailStrategy) *proxied {
	t.Helper()
	return behind(t, setup{strategy: strategy})
}

// setup is what differs among the tests with Envoy.
type setup struct {
	strategy plugin.FailStrategy
	http2    bool // of the upstream
	frames   bool // serve without grpc-go
	// about is what the plugin needs beside messages.
	about plugin.Needs
	// edit changes Envoy's configuration.
	edit func(string) string
	// message and longest are the timeouts of a message, if not the generated ones.
	message, longest time.Duration
}

func behind(t *testing.T, how setup) *proxied {
	t.Helper()
	up, err := upstream.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = up.Close() })
	return before(t, how, up.Address)
}

// before puts Envoy before the upstream at an address.
func before(t *testing.T, how setup, address string) *proxied {
	t.Helper()
	cur, module := current(t, how.strategy)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	svc := New(cur, Options{
		Log: slog.New(slog.NewTextHandler(testLog{t}, nil)), MessageTimeout: how.message, MaxMessageTimeout: how.longest,
	})
	if how.frames {
		r := rpc.NewServer(svc.Methods(), rpc.Options{})
		go func() { _ = r.Serve(l) }()
		t.Cleanup(r.Stop)
	} else {
		g := grpc.NewServer(append(GRPCOptions(), grpc.WaitForHandlers(true))...)
		svc.Register(g)
		go func() { _ = g.Serve(l) }()
		t.Cleanup(g.Stop)
	}

	needs := module.Needs()
	needs.Attributes, needs.Reads, needs.Writes = how.about.Attributes, how.about.Reads, how.about.Writes
	listen := envoytest.FreeAddress(t)
	boot, err := envoy.Bootstrap(envoy.Options{
		Listen: listen, Upstream: address, UpstreamHTTP2: how.http2, ExtProc: l.Addr().String(), Admin: "127.0.0.1:0",
		MessageTimeout: how.message, MaxMessageTimeout: how.longest,
	}, envoy.Plugin{Needs: needs, FailStrategy: how.strategy, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if how.edit != nil {
		boot = []byte(how.edit(string(boot)))
	}
	p := &proxied{url: "http://" + listen, module: module, svc: svc, envoy: envoytest.Start(t, boot)}
	set := cur.Acquire()
	p.plugin = set.Plugins[0]
	_ = set.Release()
	h1, h2 := new(http.Protocols), new(http.Protocols)
	h1.SetHTTP1(true)
	h2.SetUnencryptedHTTP2(true)
	p.http1 = &http.Client{Transport: &http.Transport{Protocols: h1, DisableCompression: true}, Timeout: time.Minute}
	p.http2 = &http.Client{Transport: &http.Transport{Protocols: h2, DisableCompression: true}, Timeout: time.Minute}
	t.Cleanup(func() {
		p.http1.CloseIdleConnections()
		p.http2.CloseIdleConnections()
	})
	return p
}

// overBoth runs a test with the service on grpc-go, and on frames.
func overBoth(t *testing.T, test func(t *testing.T, frames bool)) {
	t.Run("grpc-go", func(t *testing.T) { test(t, false) })
	t.Run("frames", func(t *testing.T) { test(t, true) })
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Logf("%s", bytes.TrimSpace(b))
	}
	return len(b), nil
}

// asked is a request, and answered what came back.
type asked struct {
	method, path, do, body string
	header                 http.Header
	trailer                http.Header
}

type answered struct {
	status  int
	header  http.Header
	body    string
	trailer http.Header
	seen    upstream.Seen
	err     error
}

func (p *proxied) ask(t *testing.T, c *http.Client, a asked) answered {
	t.Helper()
	var body io.Reader
	if a.body != "" {
		body = struct{ io.Reader }{strings.NewReader(a.body)} // chunked
	}
	if a.method == "" {
		a.method = http.MethodGet
		if body != nil {
			a.method = http.MethodPost
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), a.method, p.url+a.path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = a.trailer
	for name, values := range a.header {
		req.Header[name] = values
	}
	req.Header.Set("X-Do", a.do)
	resp, err := c.Do(req)
	if err != nil {
		return answered{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	got := answered{status: resp.StatusCode, header: resp.Header, body: string(text), trailer: resp.Trailer, err: err}
	_ = json.Unmarshal(text, &got.seen) // not every answer is what was seen
	return got
}

func TestEnvoy(t *testing.T) { overBoth(t, testEnvoy) }

func testEnvoy(t *testing.T, frames bool) {
	p := behind(t, setup{frames: frames})
	large := strings.Repeat("a piece of a body. ", 20_000)
	for _, tc := range []struct {
		name string
		ask  asked
		want func(t *testing.T, got answered)
	}{
		{"pass", asked{path: "/"}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, got.seen.Method, "GET")
		}},
		{"pass a body", asked{path: "/", body: "hello"}, func(t *testing.T, got answered) {
			equal(t, got.seen.Body, "hello")
		}},
		{"headers", asked{path: "/", do: "headers", header: http.Header{"X-Set": {"old", "older"}, "X-Many": {"0"}}}, func(t *testing.T, got answered) {
			equal(t, got.status, 201)
			equal(t, got.seen.Headers["X-Set"], []string{"new"})
			equal(t, strings.Join(got.seen.Headers["X-Many"], ","), "0,1,2")
			equal(t, got.seen.Headers["Accept"], []string{"a/b"})
			equal(t, got.header["Set-Cookie"], []string{"a=1", "b=2"})
		}},
		{"pseudo headers", asked{path: "/", do: "path"}, func(t *testing.T, got answered) {
			equal(t, got.seen.Method+" "+got.seen.Host+got.seen.Target, "PUT other.test/headers/new")
		}},
		{"stream a request", asked{path: "/", do: "stream-request", body: large}, func(t *testing.T, got answered) {
			equal(t, got.seen.Body == strings.ToUpper(large), true)
		}},
		{"stream a request without a body", asked{path: "/", do: "stream-request"}, func(t *testing.T, got answered) {
			equal(t, got.seen.Body, "")
		}},
		{"request trailers", asked{path: "/", do: "stream-request", body: "abc", trailer: http.Header{"X-T": {"1"}}}, func(t *testing.T, got answered) {
			equal(t, got.seen.Body, "ABC")
			equal(t, got.seen.Trailers["X-More"], []string{"1"})
			equal(t, got.seen.Trailers["X-T"], []string{"1"})
		}},
		{"stream a response", asked{path: "/chunks/3", do: "stream-response"}, func(t *testing.T, got answered) {
			equal(t, got.body, "CHUNK 0\nCHUNK 1\nCHUNK 2\n")
		}},
		{"response trailers", asked{path: "/trailers", do: "stream-response", body: "abc"}, func(t *testing.T, got answered) {
			equal(t, got.body, "ABC")
			equal(t, got.trailer.Get("X-More"), "1")
			equal(t, got.trailer.Get("X-Checksum"), "ba7816bf")
		}},
		{"stream both ways", asked{path: "/raw", do: "stream-both", body: large}, func(t *testing.T, got answered) {
			equal(t, got.body == large, true)
		}},
		{"read a request first", asked{path: "/", do: "read-request", body: "hello"}, func(t *testing.T, got answered) {
			equal(t, got.seen.Body, "HELLO")
			equal(t, got.seen.Headers["X-Length"], []string{"iiiii"})
		}},
		{"read a request that has no body", asked{path: "/", do: "read-request"}, func(t *testing.T, got answered) {
			equal(t, got.seen.Body, "")
			equal(t, got.status, 200)
		}},
		{"read a response first, unprepared", asked{path: "/status/200?unprepared", do: "read-response"}, func(t *testing.T, got answered) {
			p.plugin.ReadsResponseFirst.Store(false)
			equal(t, got.status, 202)
			equal(t, got.body, "STATUS 200\n!")
			equal(t, got.header.Get("X-Read"), "1")
		}},
		{"the same with a content-length", asked{path: "/bytes/4", do: "read-response"}, func(t *testing.T, got answered) {
			p.plugin.ReadsResponseFirst.Store(false)
			equal(t, got.status, 202)
			equal(t, len(got.body), 5)
		}},
		{"the same with trailers", asked{path: "/trailers", do: "read-response", body: "a"}, func(t *testing.T, got answered) {
			p.plugin.ReadsResponseFirst.Store(false)
			equal(t, got.body, "A!")
			equal(t, got.trailer.Get("X-Checksum"), "ca978112")
		}},
		{"the same without a body", asked{path: "/status/204", do: "read-response"}, func(t *testing.T, got answered) {
			equal(t, p.plugin.ReadsResponseFirst.Load(), false)
			equal(t, got.status, 202)
			equal(t, got.body, "!")
		}},
		{"read a response first, and learn", asked{path: "/status/200", do: "read-response"}, func(t *testing.T, got answered) {
			equal(t, p.plugin.ReadsResponseFirst.Load(), true)
			equal(t, got.body, "STATUS 200\n!")
		}},
		{"read a large response first", asked{path: "/bytes/3000000", do: "read-response"}, func(t *testing.T, got answered) {
			equal(t, got.status, 202)
			equal(t, len(got.body), 3_000_001)
		}},
		{"the same with trailers, prepared", asked{path: "/trailers", do: "read-response", body: "a"}, func(t *testing.T, got answered) {
			equal(t, got.body, "A!")
			equal(t, got.trailer.Get("X-Checksum"), "ca978112")
		}},
		{"pass what was asked for in vain", asked{path: "/trailers", do: "pass", body: "abc"}, func(t *testing.T, got answered) {
			equal(t, got.body, "abc")
			equal(t, got.trailer.Get("X-Checksum"), "ba7816bf")
			equal(t, got.trailer.Get("X-More"), "")
		}},
		{"new bodies where one was asked for", asked{path: "/raw", do: "new-bodies", body: "abc"}, func(t *testing.T, got answered) {
			equal(t, got.body, "from the guest too")
			p.plugin.ReadsResponseFirst.Store(false)
		}},
		{"new bodies", asked{path: "/", do: "new-bodies", body: "abc"}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, got.body, "from the guest too")
		}},
		{"new bodies on GET", asked{path: "/status/204", do: "new-bodies"}, func(t *testing.T, got answered) {
			equal(t, got.status, 204)
			equal(t, got.body, "")
		}},
		{"no bodies", asked{path: "/bytes/5", do: "no-bodies", body: "abc"}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, got.body, "")
		}},
		{"a request cut short", asked{path: "/", do: "cut-request", body: large, trailer: http.Header{"X-T": {"1"}}}, func(t *testing.T, got answered) {
			equal(t, got.seen.Body, "a")
			equal(t, len(got.seen.Trailers["X-T"]), 0)
		}},
		{"local", asked{path: "/", do: "local"}, func(t *testing.T, got answered) {
			equal(t, got.status, 403)
			equal(t, got.body, "forbidden")
			equal(t, got.header["Set-Cookie"], []string{"a=1", "b=2"})
			equal(t, got.header.Get("Content-Type"), "text/x")
		}},
		{"local on HEAD", asked{method: "HEAD", path: "/", do: "local"}, func(t *testing.T, got answered) {
			equal(t, got.status, 403)
		}},
		{"an unusual status", asked{path: "/", do: "teapot"}, func(t *testing.T, got answered) {
			equal(t, got.status, 418)
		}},
		{"a large local response", asked{path: "/", do: "local-large"}, func(t *testing.T, got answered) {
			equal(t, len(got.body), 3<<20)
		}},
		{"local that begins before it reads the body", asked{path: "/", do: "local-echo", body: large}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, got.body == large, true)
		}},
		{"a request of the guest's own", asked{path: "/", do: "own-request", header: http.Header{"X-Gone": {"1"}}}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, got.seen.Headers["X-Own"], []string{"1"})
			equal(t, got.seen.Headers["X-Gone"], []string(nil))
		}},
		{"local after the body", asked{path: "/", do: "local-late", body: large}, func(t *testing.T, got answered) {
			equal(t, got.status, 403)
			equal(t, got.body == large, true)
		}},
		{"local while the upstream works", asked{path: "/slow/300", do: "local-after-send"}, func(t *testing.T, got answered) {
			equal(t, got.status, 403)
			equal(t, got.body, "too late")
		}},
		{"callout", asked{path: "/", do: "callout", body: "x"}, func(t *testing.T, got answered) {
			equal(t, got.seen.Headers["X-Called"], []string{"1"})
			equal(t, got.header["X-Called"], []string{"2"})
		}},
		{"HEAD", asked{method: "HEAD", path: "/bytes/5", do: "headers"}, func(t *testing.T, got answered) {
			equal(t, got.status, 201)
			equal(t, got.header.Get("Content-Length"), "5")
		}},
		{"illegal fields", asked{path: "/", do: "illegal", body: "hello"}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, got.seen.Body, "hello")
			equal(t, got.seen.Headers["X-Good"], []string{"1"})
		}},
		{"many fields out and in", asked{path: "/", do: "many", header: many(70)}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, got.seen.Headers["X-New-69"], []string{"1"})
			equal(t, len(got.seen.Headers["X-Old-1"]), 0)
		}},
		{"too many fields", asked{path: "/", do: "too-many"}, refused},
		{"trap", asked{path: "/", do: "trap"}, refused},
		{"no start", asked{path: "/", do: "no-start"}, refused},
		{"trap while reading", asked{path: "/", do: "trap-reading", body: large}, refused},
		{"trap in the response", asked{path: "/bytes/5", do: "trap-in-response"}, refused},
		{"trap with the response's body in hand", asked{path: "/bytes/5", do: "check-response"}, refused},
		{"trap in the response's body", asked{path: "/chunks/4", do: "trap-in-body"}, func(t *testing.T, got answered) {
			if got.err == nil {
				t.Errorf("got %d and %q, expected a response cut off", got.status, got.body)
			}
			p.plugin.ReadsResponseFirst.Store(false)
		}},
		{"trap after all is said", asked{path: "/bytes/5", do: "trap-after-all"}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, len(got.body), 5)
		}},
		{"undecided", asked{path: "/", do: "undecided"}, refused},
		{"unfinished", asked{path: "/", do: "unfinished", body: "abc"}, refused},
	} {
		for name, client := range map[string]*http.Client{"HTTP/1.1": p.http1, "HTTP/2": p.http2} {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				got := p.ask(t, client, tc.ask)
				tc.want(t, got)
				if t.Failed() {
					t.Logf("status %d, headers %v, %d bytes, trailers %v, error %v", got.status, got.header, len(got.body), got.trailer, got.err)
				}
			})
		}
	}
	p.noneSpurious(t)
}

// many are n headers.
func many(n int) http.Header {
	h := http.Header{}
	for i := range n {
		h.Set(fmt.Sprintf("X-Old-%d", i), "1")
	}
	return h
}

func refused(t *testing.T, got answered) {
	t.Helper()
	equal(t, got.status, 503)
	equal(t, got.body, "")
}

// noneSpurious checks that Envoy understood every answer.
func (p *proxied) noneSpurious(t *testing.T) {
	t.Helper()
	stats, err := p.envoy.ExtProcStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"spurious_msgs_received", "rejected_header_mutations", "message_timeouts", "streams_failed"} {
		if stats[name] != 0 {
			t.Errorf("Envoy's %s is %d", name, stats[name])
		}
	}
}

func equal[T any](t *testing.T, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		if len(g) > 200 {
			g = g[:200] + "..."
		}
		t.Errorf("got %s, expected %s", g, w)
	}
}

// TestEnvoyFailOpen: the exchange goes on untouched as long as nothing of it is
// lost, and is refused if something is.
func TestEnvoyFailOpen(t *testing.T) {
	p := behindEnvoy(t, plugin.FailOpen)
	for _, tc := range []struct {
		name string
		ask  asked
		want func(t *testing.T, got answered)
	}{
		{"trap", asked{path: "/", do: "trap", body: "hello"}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, got.seen.Body, "hello")
		}},
		{"no start", asked{path: "/", do: "no-start"}, func(t *testing.T, got answered) { equal(t, got.status, 200) }},
		{"trap in the response", asked{path: "/bytes/5", do: "trap-in-response"}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, len(got.body), 5)
		}},
		{"many fields out and in", asked{path: "/", do: "many", header: many(70)}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, got.seen.Headers["X-New-69"], []string{"1"})
			equal(t, len(got.seen.Headers["X-Old-1"]), 0)
		}},
		{"too many fields", asked{path: "/", do: "too-many", body: "hello"}, func(t *testing.T, got answered) {
			equal(t, got.status, 200)
			equal(t, got.seen.Body, "hello")
		}},
		{"what was read is lost", asked{path: "/", do: "trap-reading", body: "hello"}, refused},
		{"what was read of a response is lost", asked{path: "/bytes/5", do: "check-response"}, refused},
		{"cut off in the body", asked{path: "/chunks/4", do: "trap-in-body"}, func(t *testing.T, got answered) {
			if got.err == nil {
				t.Errorf("got %d and %q, expected a response cut off", got.status, got.body)
			}
		}},
	} {
		for name, client := range map[string]*http.Client{"HTTP/1.1": p.http1, "HTTP/2": p.http2} {
			t.Run(tc.name+"/"+name, func(t *testing.T) { tc.want(t, p.ask(t, client, tc.ask)) })
		}
	}
	p.noneSpurious(t)
}
