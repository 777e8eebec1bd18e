package proxywasm

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// upstream is a service that callouts may call as "up".
func upstream(tb testing.TB, h http.HandlerFunc) func(*plugin.Spec) {
	tb.Helper()
	server := httptest.NewServer(h)
	tb.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		tb.Fatal(err)
	}
	return func(s *plugin.Spec) {
		s.Callouts = map[string]*plugin.Cluster{"up": {URL: u}, "down": {URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}}}
	}
}

// TestHTTPCall pauses a request for a callout, which decides about it.
func TestHTTPCall(t *testing.T) {
	call := list(":method: POST", ":path: /check", ":authority: auth", "x-a: 1")
	for _, c := range []struct{ cluster, want string }{
		{"up", requestText + "verdict: POST /check 1 body trailers\nuntouched"},
		{"down", requestText + "verdict: 503\nuntouched"},
	} {
		t.Run(c.cluster, func(t *testing.T) {
			var stream, token int
			m, _ := perform(t, newABI(t, Config{}), script{
				onRequestHeaders: func(p *player) uint32 {
					stream = int(p.args[0])
					token = int(p.must("http_call", c.cluster, call, "body", list("t: 1"), 5000).num[0])
					return 1
				},
				onHTTPCallResponse: func(p *player) uint32 {
					if p.args[0] != 1 || p.args[1] != uint32(token) {
						t.Errorf("called with %v, expected context 1 and call %d", p.args, token)
					}
					verdict := p.get(callHeadersMap, ":status")
					if verdict == "200" {
						verdict = p.get(callHeadersMap, "x-verdict") + " " + p.body(callBodyBuffer) + " " + p.get(callTrailersMap, "x-trailer")
						if int(p.args[3]) != len(p.body(callBodyBuffer)) || p.args[4] != 1 {
							t.Errorf("called with %v", p.args)
						}
					}
					p.must("set_effective_context", stream)
					p.must("add_header_map_value", 0, "verdict", verdict)
					p.must("continue_stream", 0)
					if got := p.get(0, ":path"); got != "(BAD_ARGUMENT)" {
						t.Errorf("after going on, :path is %s", got)
					}
					return 0
				},
			}, upstream(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Header().Set("X-Verdict", fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, r.Header.Get("X-A")))
				w.Header().Set("Trailer", "X-Trailer")
				w.Write(body)
				w.Header().Set("X-Trailer", "trailers")
			}))
			begin(t, m).request(true).is(plugin.Request, "held").wait().is(plugin.Request, c.want)
			if left := len(m.machine.workers[0].vm.roots[m].calls); left != 0 {
				t.Errorf("%d calls are left", left)
			}
		})
	}
}

// TestCallAfterExchange lets a callout end after its exchange has.
func TestCallAfterExchange(t *testing.T) {
	release := make(chan struct{})
	m, l := perform(t, newABI(t, Config{}), script{
		onLog: func(p *player) uint32 {
			p.must("http_call", "up", list(":method: GET", ":path: /", ":authority: a"), "", plugin.Headers(nil), 0)
			return 0
		},
		onHTTPCallResponse: func(p *player) uint32 {
			p.log("status %s, effective %v", p.get(callHeadersMap, ":status"), p.call("set_effective_context", 2).Status)
			return 0
		},
	}, upstream(t, func(w http.ResponseWriter, _ *http.Request) { <-release }))
	c := begin(t, m).request(true).ok().response(true).ok()
	if !c.status.Done {
		t.Error("the guest is not done")
	}
	c.guest.Close()
	close(release)
	l.has(t, "status 200, effective BAD_ARGUMENT")
}

// TestTick has timers come, change and stop.
func TestTick(t *testing.T) {
	var ticks atomic.Int32
	m, l := perform(t, newABI(t, Config{}), script{
		onConfigure: func(p *player) uint32 { p.must("set_tick_period_milliseconds", 1); return 1 },
		onTick: func(p *player) uint32 {
			if p.args[0] != 1 {
				t.Errorf("tick of context %d", p.args[0])
			}
			if ticks.Add(1) == 3 {
				p.must("set_tick_period_milliseconds", 0)
				p.log("stopped")
			}
			return 0
		},
	})
	l.has(t, "stopped")
	time.Sleep(20 * time.Millisecond)
	if n := ticks.Load(); n != 3 {
		t.Errorf("%d ticks, expected 3", n)
	}
	_ = m
}

// TestQueues passes items from one plugin to another with another vm_id.
func TestQueues(t *testing.T) {
	a := newABI(t, Config{})
	_, l := perform(t, a, script{
		onConfigure: func(p *player) uint32 {
			id := p.must("register_shared_queue", "q").num[0]
			if again := p.must("register_shared_queue", "q").num[0]; again != id {
				t.Errorf("the queue has the ids %d and %d", id, again)
			}
			return 1
		},
		onQueueReady: func(p *player) uint32 {
			for {
				item := p.call("dequeue_shared_queue", int(p.args[1]))
				if item.Status == Empty {
					return 0
				}
				p.log("item %s %v", item.data, item.Status)
			}
		},
	}, func(s *plugin.Spec) { s.Name, s.VM.ID = "consumer", "one" })
	producer, _ := perform(t, a, script{onRequestHeaders: func(p *player) uint32 {
		if a := p.call("resolve_shared_queue", "", "q"); a.Status != NotFound {
			t.Errorf("a queue of its own: %v", a.Status)
		}
		id := int(p.must("resolve_shared_queue", "one", "q").num[0])
		p.must("enqueue_shared_queue", id, "first")
		p.must("enqueue_shared_queue", id, "")
		p.must("enqueue_shared_queue", id, "last")
		return 0
	}}, func(s *plugin.Spec) { s.Name, s.VM.ID = "producer", "two" })
	begin(t, producer).request(true).ok()
	l.has(t, "item first OK")
	l.has(t, "item  OK")
	l.has(t, "item last OK")
}

// TestShared goes through shared data, metrics, the clock and the log level.
func TestShared(t *testing.T) {
	m, _ := perform(t, newABI(t, Config{}), script{onRequestHeaders: func(p *player) uint32 {
		p.must("set_shared_data", "k", "one", 0)
		got := p.must("get_shared_data", "k")
		if a := p.call("set_shared_data", "k", "two", int(got.num[0])+1); a.Status != CasMismatch {
			t.Errorf("another version: %v", a.Status)
		}
		p.must("set_shared_data", "k", "", int(got.num[0]))
		if a := p.must("get_shared_data", "k"); a.data != "" || a.num[0] == got.num[0] {
			t.Errorf("got %+v", a)
		}
		counter, gauge := int(p.must("define_metric", 0, "c").num[0]), int(p.must("define_metric", 1, "g").num[0])
		p.must("increment_metric", counter, 1<<40)
		p.must("record_metric", gauge, 7)
		p.must("increment_metric", gauge, -2)
		if n := p.must("get_metric", counter).num[0]; n != 1<<40 {
			t.Errorf("counter %d", n)
		}
		if n := p.must("get_metric", gauge).num[0]; n != 5 {
			t.Errorf("gauge %d", n)
		}
		if a := p.call("increment_metric", counter, -1); a.Status != BadArgument {
			t.Errorf("a counter that falls: %v", a.Status)
		}
		if level := p.must("get_log_level").num[0]; level != 1 {
			t.Errorf("log level %d, expected 1", level)
		}
		if now := p.must("get_current_time_nanoseconds").num[0]; time.Since(time.Unix(0, int64(now))).Abs() > time.Minute {
			t.Errorf("the time is %d", now)
		}
		return 0
	}})
	begin(t, m).request(true).ok()
}

// TestConfiguration reads both configurations where they are to be read.
func TestConfiguration(t *testing.T) {
	m, l := perform(t, newABI(t, Config{}), script{
		onVMStart: func(p *player) uint32 {
			p.log("vm %d %s %s", p.args[1], p.body(vmConfigurationBuffer), p.must("get_configuration").data)
			return 1
		},
		onConfigure: func(p *player) uint32 {
			p.log("plugin %d %s %s", p.args[1], p.body(pluginConfigurationBuffer), p.must("get_configuration").data)
			return 1
		},
	}, func(s *plugin.Spec) { s.Config, s.VM.Config = []byte("mine"), []byte("ours!") })
	l.has(t, "vm 5 ours! ours!")
	l.has(t, "plugin 4 mine mine")
	_ = m
}

// TestProperties reads what the host itself knows.
func TestProperties(t *testing.T) {
	want := map[string]string{
		"plugin_name": "properties", "plugin_root_id": "properties", "plugin_vm_id": "vm",
		"request.path": "/p?q=1", "request.url_path": "/p", "request.query": "q=1", "request.method": "GET",
		"request.host": "example.com", "request.scheme": "http", "request.headers.x-a": "1,2", "request.headers.absent": "(NOT_FOUND)",
		"request": "(NOT_FOUND)", "nothing": "(NOT_FOUND)", "mine": "(NOT_FOUND)",
	}
	look := func(p *player, path string) string {
		a := p.call("get_property", strings.ReplaceAll(path, ".", "\x00"))
		if a.Status != OK {
			return "(" + a.Status.String() + ")"
		}
		return a.data
	}
	m, _ := perform(t, newABI(t, Config{}), script{
		onRequestHeaders: func(p *player) uint32 {
			for path, want := range want {
				if got := look(p, path); got != want {
					t.Errorf("%s is %q, expected %q", path, got, want)
				}
			}
			p.must("set_property", "mine", "1")
			p.must("set_property", "a\x00b", "2")
			return 0
		},
		onResponseHeaders: func(p *player) uint32 {
			for path, want := range map[string]string{"mine": "1", "a.b": "2", "response.code": "\xc8\x00\x00\x00\x00\x00\x00\x00", "request.method": "(NOT_FOUND)"} {
				if got := look(p, path); got != want {
					t.Errorf("%s is %q, expected %q", path, got, want)
				}
			}
			return 0
		},
	}, func(s *plugin.Spec) { s.Name, s.VM.ID = "properties", "vm" })
	begin(t, m).request(true, "x-a: 1", "x-a: 2").ok().response(true).ok()
	begin(t, m).request(true, "x-a: 1,2").ok() // what was set is gone
}

// told is what a proxy tells of an exchange.
type told map[string]plugin.Value

func (a told) Attribute(name string) (plugin.Value, bool) { v, ok := a[name]; return v, ok }

func (a told) Metadata(namespace string) (plugin.Value, bool) {
	v, ok := a["metadata "+namespace]
	return v, ok
}

// TestAttributes reads what the proxy tells, in all the kinds there are, also
// when a callout has come back.
func TestAttributes(t *testing.T) {
	want := map[string]string{
		"source\x00address":     "1.2.3.4:5",
		"source\x00port":        "\x05\x00\x00\x00\x00\x00\x00\x00",
		"connection\x00mtls":    "\x01",
		"xds\x00node\x00id":     "n",
		"xds\x00node":           words(1, 2, 1) + "id\x00n\x00",
		"xds\x00list":           words(2, 1, 0, 1, 0) + "a\x00\x00b\x00\x00",
		"xds\x00none":           "(SERIALIZATION_FAILURE)",
		"xds\x00node\x00absent": "(NOT_FOUND)",
		"metadata\x00filter_metadata\x00a.b\x00k\x00l": "m",
		"metadata\x00filter_metadata\x00a.c\x00k":      "(NOT_FOUND)",
	}
	look := func(p *player) {
		for path, want := range want {
			a := p.call("get_property", path)
			if a.Status != OK {
				a.data = "(" + a.Status.String() + ")"
			}
			if a.data != want {
				t.Errorf("%q is %q, expected %q", path, a.data, want)
			}
		}
	}
	stream := 0
	m, _ := perform(t, newABI(t, Config{}), script{
		onRequestHeaders: func(p *player) uint32 {
			stream = int(p.args[0])
			look(p)
			p.must("http_call", "up", list(":method: GET", ":path: /", ":authority: a"), "", plugin.Headers(nil), 0)
			return 1
		},
		onHTTPCallResponse: func(p *player) uint32 {
			p.must("set_effective_context", stream)
			look(p)
			p.must("set_property", "mine", "1")
			p.must("continue_stream", 0)
			return 0
		},
	}, upstream(t, func(http.ResponseWriter, *http.Request) {}))
	c := begin(t, m)
	c.ex.Attributes = told{
		"source.address": plugin.Text("1.2.3.4:5"), "source.port": {Kind: plugin.IntValue, Int: 5},
		"connection.mtls": {Kind: plugin.BoolValue, Int: 1},
		"xds.node":        {Kind: plugin.MapValue, Map: map[string]plugin.Value{"id": plugin.Text("n")}},
		"xds.list":        {Kind: plugin.ListValue, List: []plugin.Value{plugin.Text("a"), plugin.Text("b")}},
		"xds.none":        {},
		"metadata a.b":    {Kind: plugin.MapValue, Map: map[string]plugin.Value{"k": {Kind: plugin.MapValue, Map: map[string]plugin.Value{"l": plugin.Text("m")}}}},
	}
	c.request(true).is(plugin.Request, "held").wait().is(plugin.Request, requestText+"untouched")
	if got, ok := c.ex.Property("mine"); !ok || got.Text != "1" {
		t.Errorf("the property is %q", got.Text)
	}
	if n := m.Needs(); len(n.Attributes[0]) != 0 || len(n.Writes) != 0 {
		t.Errorf("a module that imports no properties needs %v", n)
	}
}

// TestCapabilities denies a hostcall, a function of WASI and a callback.
func TestCapabilities(t *testing.T) {
	l := &logs{}
	spec := performing(t, l, script{onRequestBody: func(*player) uint32 { t.Error("a callback that is denied"); return 0 }}, func(s *plugin.Spec) {
		s.VM.Capabilities = []string{"proxy_call_foreign_function", "proxy_on_context_create", "proxy_on_request_headers"}
	})
	m := mustLoad(t, newABI(t, Config{}), puppet(func(a *asm) {
		a.imports = append(a.imports, asmImport{"env", "proxy_done", nil, n(1)}, asmImport{"wasi_unstable", "sched_yield", nil, n(1)})
		without("proxy_on_request_headers")(a)
		// Carries on if the statuses are those of denied functions.
		const opXor, opOr = 0x73, 0x72
		a.funcs = append(a.funcs, asmFunc{name: "proxy_on_request_headers", params: n(3), results: n(1), body: join(
			opCall, 1, uint32(InternalFailure), opXor, opCall, 2, uint32(errNotcapa), opXor, opOr)})
	}), spec)
	begin(t, m).request(false).ok().is(plugin.Request, requestText+"untouched")
	l.has(t, "ERROR the plugin may not call proxy_done")
	l.has(t, "ERROR the plugin may not call sched_yield")
}
