package wasihttp_test

import (
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// want is what has to become of an exchange.
type want struct {
	name     string
	plugin   string
	change   []func(*plugin.Spec)
	request  message
	response message
	check    func(t *testing.T, got outcome)
}

func (w want) run(t *testing.T) {
	m := load(t, w.plugin, w.change...)
	for _, mode := range []string{"asked for", "unasked", "at once"} { // the instance is reused
		t.Run(mode, func(t *testing.T) {
			p := newProxy(t, m, w.request, w.response)
			p.unasked = mode != "asked for"
			p.bodiesInOneMoment = mode == "at once"
			got := p.run()
			if got.err != nil {
				t.Fatalf("%v in %+v", got.err, got)
			}
			w.check(t, got)
			if t.Failed() {
				t.Logf("%+v\n%s", got, strings.Join(m.logs.all(), "\n"))
			}
		})
	}
}

func (s sent) is(t *testing.T, untouched bool, body string, trailers ...string) {
	t.Helper()
	switch {
	case !s.released:
		t.Error("not released")
	case s.untouched != untouched:
		t.Errorf("untouched: %v", s.untouched)
	case !untouched && !s.ended:
		t.Error("not ended")
	case s.body != body:
		t.Errorf("body %.99q, want %.99q", s.body, body)
	case !slices.Equal(s.trailers, trailers):
		t.Errorf("trailers %q, want %q", s.trailers, trailers)
	}
}

func (s sent) has(t *testing.T, headers ...string) {
	t.Helper()
	for _, h := range headers {
		h, not := strings.CutPrefix(h, "!")
		if slices.Contains(s.headers, h) == not {
			t.Errorf("has %q: %v, in %q", h, !not, s.headers)
		}
	}
}

func withTrailers(m message, trailers ...string) message {
	m.trailers = trailers
	return m
}

var examples = []want{
	{
		name: "headers are set, appended and removed, and bodies not looked at", plugin: example("header-rules", "rust"),
		request: getRequest, response: okResponse,
		check: checkHeaderRules,
	},
	{
		name: "the same in C", plugin: example("header-rules", "c"),
		request: getRequest, response: okResponse,
		check: checkHeaderRules,
	},
	{
		name: "bodies and trailers that are handed on stay with the proxy", plugin: example("body-passthrough", "rust"),
		request: postRequest("x-t: 1"), response: withTrailers(okResponse, "x-u: 2"),
		check: func(t *testing.T, got outcome) {
			got.request.is(t, true, "")
			got.response.is(t, true, "")
			got.response.has(t, "x-plugin: body-passthrough", "connection: close")
			if !got.request.same {
				t.Error("a request that nobody changed is not the original")
			}
			if got.request.asked || got.response.asked {
				t.Error("a body was asked for")
			}
		},
	},
	{
		name: "an upgrade over HTTP/2", plugin: example("header-rules", "rust"),
		request: message{headers: []string{
			":method: CONNECT", ":protocol: websocket", ":scheme: https", ":authority: example.com", ":path: /ws", "x-secret: s", "upgrade: websocket",
		}},
		response: message{headers: []string{":status: 200"}},
		check: func(t *testing.T, got outcome) {
			got.request.is(t, true, "")
			got.request.has(t, ":method: CONNECT", ":protocol: websocket", ":path: /ws", "x-plugin: header-rules", "upgrade: websocket", "!x-secret: s")
			got.response.is(t, true, "")
		},
	},
	{
		name: "a tunnel", plugin: example("header-rules", "rust"),
		request:  message{headers: []string{":method: CONNECT", ":authority: example.com:443"}},
		response: message{headers: []string{":status: 200"}},
		check: func(t *testing.T, got outcome) {
			if want := []string{":method: CONNECT", ":authority: example.com:443", "x-plugin: header-rules", "x-multi: plugin"}; !slices.Equal(got.request.headers, want) {
				t.Errorf("headers %q", got.request.headers)
			}
		},
	},
	{
		name: "bodies are changed, trailers pass", plugin: example("body-transform", "rust"),
		request: postRequest("x-t: 1", "te: x"), response: withTrailers(okResponse, "x-u: 2"),
		check: func(t *testing.T, got outcome) {
			got.request.is(t, false, "ONE TWO THREE", "x-t: 1", "te: x")
			got.response.is(t, false, "HELLO, WORLD", "x-u: 2")
		},
	},
	{
		name: "empty bodies are left alone", plugin: example("body-transform", "rust"),
		request: getRequest, response: message{headers: []string{":status: 204"}, noBody: true},
		check: func(t *testing.T, got outcome) {
			got.request.is(t, true, "")
			got.response.is(t, true, "")
		},
	},
	{
		name: "a large body is changed piece by piece", plugin: example("body-transform", "rust"),
		request: bigMessage(postRequest(), 64<<10, 40), response: bigMessage(okResponse, 100_001, 30),
		check: func(t *testing.T, got outcome) {
			got.request.is(t, false, strings.ToUpper(strings.Join(bigMessage(okResponse, 64<<10, 40).body, "")))
			got.response.is(t, false, strings.ToUpper(strings.Join(bigMessage(okResponse, 100_001, 30).body, "")))
		},
	},
	{
		name: "trailers are changed, while the host moves the bodies", plugin: example("trailers", "rust"),
		request:  postRequest("x-secret-trailer: s", "x-t: 1"),
		response: withTrailers(okResponse, "x-u: 2", "x-secret-trailer: s"),
		check: func(t *testing.T, got outcome) {
			got.request.is(t, false, "one two three", "x-t: 1", "x-trailer-plugin: trailers")
			got.response.is(t, false, "hello, world", "x-u: 2", "x-trailer-plugin: trailers")
			got.response.has(t, "x-saw-request-trailers: 2")
		},
	},
	{
		name: "there are no trailers to change", plugin: example("trailers", "rust"),
		request: postRequest(), response: okResponse,
		check: func(t *testing.T, got outcome) {
			got.request.is(t, false, "one two three")
			got.response.is(t, false, "hello, world")
			got.response.has(t, "x-saw-request-trailers: 0")
		},
	},
	{
		name: "a local response", plugin: example("immediate-response", "rust"),
		request: get("/denied/x"), response: okResponse,
		check: func(t *testing.T, got outcome) {
			if !got.local || got.request.released {
				t.Error("the request went on")
			}
			got.response.is(t, false, "denied by plugin\n")
			got.response.has(t, ":status: 403", "x-plugin: immediate-response")
		},
	},
	{
		name: "a local response without a body", plugin: example("immediate-response", "rust"),
		request: get("/redirect"), response: okResponse,
		check: func(t *testing.T, got outcome) {
			got.response.is(t, false, "")
			got.response.has(t, ":status: 302", "location: /elsewhere")
		},
	},
	{
		name: "a local response larger than any budget", plugin: example("immediate-response", "rust"),
		request: get("/teapot"), response: okResponse,
		check: func(t *testing.T, got outcome) {
			if got.response.has(t, ":status: 418"); len(got.response.body) != 256<<10 {
				t.Errorf("%d bytes", len(got.response.body))
			}
		},
	},
	{
		name: "configuration", plugin: example("configuration", "rust"),
		change:  []func(*plugin.Spec){withConfig(map[string]string{"header": "x-a", "value": "1"})},
		request: getRequest, response: okResponse,
		check: func(t *testing.T, got outcome) { got.response.has(t, "x-a: 1") },
	},
	{
		name: "configuration that is an invalid header", plugin: example("configuration", "rust"),
		change:  []func(*plugin.Spec){withConfig(map[string]string{"header": "x-a", "value": "1\r\nx-b: 2"})},
		request: getRequest, response: okResponse,
		check: func(t *testing.T, got outcome) { got.response.has(t, "x-config: invalid") },
	},
	{
		name: "each exchange has an instance as if new", plugin: guestFile("isolation"),
		request: getRequest, response: okResponse,
		check: func(t *testing.T, got outcome) { got.response.has(t, "x-count: 1") },
	},
	{
		name: "an answer before the body is read", plugin: guestFile("early"),
		request: postRequest(), response: okResponse,
		check: func(t *testing.T, got outcome) { got.response.is(t, false, "early\n") },
	},
	{
		name: "an answer after the body was read", plugin: guestFile("echo-late"),
		request: postRequest("x-t: 1", "x-u: 2"), response: okResponse,
		check: func(t *testing.T, got outcome) {
			h := fnv.New64a()
			io.WriteString(h, "one two three")
			got.response.is(t, false, fmt.Sprintf("length 13\nfnv1a %x\ntrailers 2\ncomplete\n", h.Sum64()))
			if !got.request.asked {
				t.Error("the body was not asked for")
			}
		},
	},
	{
		name: "both directions at once", plugin: guestFile("duplex"),
		request: bigMessage(postRequest(), 30_000, 50), response: bigMessage(okResponse, 70_000, 20),
		check: func(t *testing.T, got outcome) {
			got.request.is(t, false, strings.Join(bigMessage(okResponse, 30_000, 50).body, ""))
			got.response.is(t, false, strings.Join(bigMessage(okResponse, 70_000, 20).body, ""))
		},
	},
}

func get(path string) message {
	return message{headers: []string{":method: GET", ":scheme: http", ":authority: example.com", ":path: " + path}, noBody: true}
}

func checkHeaderRules(t *testing.T, got outcome) {
	got.request.is(t, true, "")
	got.request.has(t, "x-plugin: header-rules", "x-multi: client", "x-multi: plugin", "te: trailers",
		":path: /p?q=1", ":method: GET", ":authority: example.com", ":scheme: http", "!x-secret: s")
	got.response.is(t, true, "")
	got.response.has(t, ":status: 200", "x-plugin: header-rules", "content-type: text/plain", "connection: close", "!server-secret: s")
}

func TestExamples(t *testing.T) {
	for _, w := range examples {
		t.Run(w.name, w.run)
	}
}

func TestProbe(t *testing.T) {
	m := load(t, guestFile("probe"), withConfig(map[string]string{"k": "v"}), func(s *plugin.Spec) { s.Env = map[string]string{"A": "b"} })
	before := time.Now().Unix()
	got := newProxy(t, m, getRequest, okResponse).run()
	if got.err != nil {
		t.Fatal(got.err)
	}
	for _, line := range []string{
		"environment A=b", "arguments 0", "preopens 0", "open denied", "monotonic forward", "random differs", "config k=v",
	} {
		if !strings.Contains("\n"+got.response.body, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	var wall int64
	if i := strings.Index(got.response.body, "\nwall "); i >= 0 {
		fmt.Sscan(got.response.body[i+6:], &wall)
	}
	if wall < before || wall > before+60 {
		t.Errorf("wall clock at %d, want %d", wall, before)
	}
	for _, line := range []string{"INFO a line to stdout stream=stdout exchange=0", "INFO a line to stderr stream=stderr exchange=0"} {
		if !slices.Contains(m.logs.all(), line) {
			t.Errorf("no log line %q in %q", line, m.logs.all())
		}
	}
	if t.Failed() {
		t.Log(got.response.body)
	}
}

func TestLogging(t *testing.T) {
	m := load(t, guestFile("logging"))
	if got := newProxy(t, m, getRequest, okResponse).run(); got.err != nil {
		t.Fatal(got.err)
	}
	want := []string{
		"DEBUG-4 a trace line", "DEBUG a debug line", "INFO an info line", "WARN a warn line", "ERROR an error line", "ERROR+4 a critical line",
	}
	for i, line := range m.logs.all() {
		if i >= len(want) || line != want[i]+" context=guest exchange=0" {
			t.Errorf("log line %q", line)
		}
	}
	if n := len(m.logs.all()); n != len(want) {
		t.Errorf("%d log lines, want %d", n, len(want))
	}
}

func TestCallout(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("content-type", "text/x-verdict")
		switch {
		case r.URL.Path != "/base/check" || r.Host != "auth":
			w.WriteHeader(500)
		case r.Header.Get("authorization") != "Bearer good":
			w.WriteHeader(401)
			io.WriteString(w, "go away\n")
		default:
			w.Header().Set("x-user", "ann")
		}
	}))
	defer service.Close()
	m := load(t, example("auth-callout", "rust"), withCallout("auth", service.URL+"/base"))

	request := get("/")
	request.headers = append(request.headers, "authorization: Bearer good", "x-user: mallory")
	got := newProxy(t, m, request, okResponse).run()
	if got.err != nil {
		t.Fatal(got.err)
	}
	got.request.has(t, "x-user: ann", "!x-user: mallory")
	got.response.has(t, ":status: 200")

	got = newProxy(t, m, get("/"), okResponse).run()
	if got.err != nil {
		t.Fatal(got.err)
	}
	got.response.has(t, ":status: 401", "content-type: text/x-verdict")
	got.response.is(t, false, "go away\n")
	if got.request.released {
		t.Error("the request went on")
	}

	service.Close()
	got = newProxy(t, m, get("/"), okResponse).run()
	if got.err != nil {
		t.Fatal(got.err)
	}
	got.response.has(t, ":status: 503")
}

// BenchmarkLanguages is a request and its response through the header plugin, in
// each language.
func BenchmarkLanguages(b *testing.B) {
	for _, lang := range []string{"rust", "c", "js", "python"} {
		b.Run(lang, func(b *testing.B) {
			m := load(b, example("header-rules", lang))
			b.ReportAllocs()
			for b.Loop() {
				if got := newProxy(b, m, getRequest, okResponse).run(); got.err != nil {
					b.Fatal(got.err)
				}
			}
		})
	}
}

// The toolchains of interpreted languages, whose components take a while to
// compile the first time.
func TestInterpretedLanguages(t *testing.T) {
	for _, lang := range []string{"js", "python"} {
		t.Run(lang, func(t *testing.T) {
			m := load(t, example("header-rules", lang))
			for _, c := range []struct{ request, response message }{
				{getRequest, okResponse},
				{withTrailers(postRequest(), "x-t: 1"), withTrailers(okResponse, "x-u: 2")},
				{bigMessage(postRequest(), 30_000, 20), bigMessage(okResponse, 70_000, 10)},
			} {
				got := newProxy(t, m, c.request, c.response).run()
				if got.err != nil {
					t.Fatalf("%v\n%s", got.err, strings.Join(m.logs.all(), "\n"))
				}
				got.request.has(t, "x-plugin: header-rules")
				got.response.has(t, ":status: 200", "x-plugin: header-rules", "content-type: text/plain", "!server-secret: s")
				for _, s := range []struct {
					sent
					message
				}{{got.request, c.request}, {got.response, c.response}} {
					if !s.untouched {
						s.is(t, false, strings.Join(s.message.body, ""), s.message.trailers...)
					}
				}
				t.Logf("%s: request untouched %v, response untouched %v, %d steps", lang, got.request.untouched, got.response.untouched, got.steps)
			}
		})
	}
}
