package proxywasm

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/extproc/extproc/plugin"
)

const (
	requestText  = ":method: GET\n:scheme: http\n:authority: example.com\n:path: /p?q=1\n"
	responseText = ":status: 200\n"
)

// give answers a callback with an action.
func give(action uint32) func(*player) uint32 {
	return func(*player) uint32 { return action }
}

// TestActions drives a request and a response through every action of every
// callback. The steps are the proxy's; "+" continues a paused message from
// outside of its callbacks.
func TestActions(t *testing.T) {
	for _, c := range []struct {
		name            string
		headers, body   []uint32 // actions of the callbacks in turn, the last one for all that follow
		trailers        uint32
		steps           string // h headers, H with end, a b c chunks, E end, t trailers, + continue
		want, callbacks string
	}{
		{name: "headers carry on", steps: "H", want: "untouched", callbacks: "h1"},
		{name: "headers pause", headers: []uint32{1}, steps: "H", want: "held", callbacks: "h1"},
		{name: "headers pause and go on", headers: []uint32{1}, steps: "H+", want: "untouched", callbacks: "h1"},
		{name: "an unknown action of headers pauses", headers: []uint32{77}, steps: "hab", want: "held", callbacks: "h0"},
		{name: "negative actions pause", headers: []uint32{0xffffffff}, steps: "h", want: "held", callbacks: "h0"},
		{name: "chunks carry on", steps: "habE", want: "[a][b]end", callbacks: "h0 a0 b0 E1"},
		{name: "no chunk at all", steps: "hE", want: "end", callbacks: "h0 E1"},
		{name: "the body waits for paused headers", headers: []uint32{1}, steps: "hab", want: "held", callbacks: "h0"},
		{name: "and comes as one", headers: []uint32{1}, steps: "hab+c", want: "[ab][c]", callbacks: "h0 ab0 c0"},
		{name: "with its end", headers: []uint32{1}, steps: "habE+", want: "[ab]end", callbacks: "h0 ab1"},
		{name: "a buffered body is seen whole", body: []uint32{1, 1, 0}, steps: "habE", want: "[ab]end", callbacks: "h0 a0 ab0 ab1"},
		{name: "and nothing goes on before", body: []uint32{1}, steps: "hab", want: "", callbacks: "h0 a0 ab0"},
		{name: "it goes on from outside", body: []uint32{1}, steps: "habE+", want: "[ab]end", callbacks: "h0 a0 ab0 ab1"},
		{name: "in the middle", body: []uint32{1, 0}, steps: "ha+b", want: "[a][b]", callbacks: "h0 a0 b0"},
		{name: "a body behind a watermark is seen in parts", body: []uint32{2, 2, 0}, steps: "habE", want: "[ab]end", callbacks: "h0 a0 b0 E1"},
		{name: "any other action drops the chunk", body: []uint32{3, 0}, steps: "habE", want: "[b]end", callbacks: "h0 a0 b0 E1"},
		{name: "trailers carry on", steps: "hat", want: "[a]end t: 1", callbacks: "h0 a0 t1"},
		{name: "trailers without a body", steps: "ht", want: "end t: 1", callbacks: "h0 t1"},
		{name: "trailers pause", trailers: 1, steps: "hat", want: "[a]", callbacks: "h0 a0 t1"},
		{name: "trailers go on", trailers: 1, steps: "hat+", want: "[a]end t: 1", callbacks: "h0 a0 t1"},
		{name: "trailers release a buffered body", body: []uint32{1}, steps: "habt", want: "[ab]end t: 1", callbacks: "h0 a0 ab0 t1"},
		{name: "or hold it too", body: []uint32{1}, trailers: 1, steps: "habt", want: "", callbacks: "h0 a0 ab0 t1"},
		{name: "until both go on", body: []uint32{1}, trailers: 1, steps: "habt+", want: "[ab]end t: 1", callbacks: "h0 a0 ab0 t1"},
		{name: "trailers wait for paused headers", headers: []uint32{1}, steps: "hat+", want: "[a]end t: 1", callbacks: "h0 a0 t1"},
	} {
		for _, d := range []plugin.Direction{plugin.Request, plugin.Response} {
			t.Run(c.name+"/"+[]string{"request", "response"}[d], func(t *testing.T) {
				var calls []string
				var id uint32
				next := func(actions []uint32, i int) uint32 {
					if len(actions) == 0 {
						return 0
					}
					return actions[min(i, len(actions)-1)]
				}
				heads, bodies := 0, 0
				s := script{
					phaseCallbacks[d][plugin.HeadersPart]: func(p *player) uint32 {
						id = p.args[0]
						calls = append(calls, "h"+string('0'+rune(p.args[2])))
						heads++
						return next(c.headers, heads-1)
					},
					phaseCallbacks[d][plugin.BodyPart]: func(p *player) uint32 {
						text := p.body(int(d))
						if len(text) != int(p.args[1]) {
							t.Errorf("the callback tells of %d bytes, there are %d", p.args[1], len(text))
						}
						if text == "" {
							text = "E"
						}
						calls = append(calls, text+string('0'+rune(p.args[2])))
						bodies++
						return next(c.body, bodies-1)
					},
					phaseCallbacks[d][plugin.TrailersPart]: func(p *player) uint32 {
						calls = append(calls, "t"+string('0'+rune(p.args[1])))
						return c.trailers
					},
					onTick: func(p *player) uint32 {
						p.must("set_tick_period_milliseconds", 0)
						p.must("set_effective_context", int(id))
						p.must("continue_stream", int(d))
						return 0
					},
				}
				m, _ := perform(t, newABI(t, Config{}), s)
				conv := begin(t, m)
				if d == plugin.Response {
					conv.request(true).ok()
				}
				for _, step := range c.steps {
					switch step {
					case 'h', 'H':
						if d == plugin.Request {
							conv.request(step == 'H')
						} else {
							conv.response(step == 'H')
						}
					case 'E':
						conv.chunk(d, "", true)
					case 't':
						conv.trailers(d, "t: 1")
					case '+':
						m.tickNow(t)
						conv.wait()
					default:
						conv.chunk(d, string(step), false)
					}
					conv.ok()
				}
				want := c.want
				if want != "held" {
					want = []string{requestText, responseText}[d] + want
				}
				conv.is(d, want)
				if got := strings.Join(calls, " "); got != c.callbacks {
					t.Errorf("callbacks %q, expected %q", got, c.callbacks)
				}
			})
		}
	}
}

// TestUnseen: what the proxy does not send of an exchange costs the guest those
// callbacks and no others.
func TestUnseen(t *testing.T) {
	var calls []string
	note := func(name string) func(*player) uint32 {
		return func(*player) uint32 { calls = append(calls, name); return 0 }
	}
	m, _ := perform(t, newABI(t, Config{}), script{
		onRequestHeaders: note("request"), onRequestBody: note("request body"), onResponseHeaders: note("response"),
	})
	begin(t, m).response(true).ok()
	c := begin(t, m)
	c.ex.Request.Unseen = true
	c.headers(plugin.Request, false).ok()
	c.chunk(plugin.Request, "a", true).ok()
	c.is(plugin.Request, "[a]end")
	c.response(true).ok()
	if got := strings.Join(calls, ", "); got != "response, request body, response" {
		t.Errorf("callbacks %s", got)
	}
}

// tickNow has the tick of the plugin come in its first VM.
func (p *Module) tickNow(tb testing.TB) {
	tb.Helper()
	v := p.machine.workers[0].vm
	v.mu.Lock()
	defer v.mu.Unlock()
	root := v.roots[p]
	root.setTick(1 << 40)
	root.runTick()
}

// TestLocalResponses answers from every phase.
func TestLocalResponses(t *testing.T) {
	const (
		local = ":status: 403\nx: y\ncontent-length: 2\ncontent-type: text/plain\n"
		no    = 0xffffffff
	)
	send := func(p *player) uint32 {
		p.must("send_local_response", 403, "details", "no", list("X: y"), no)
		return 0
	}
	seen := func(p *player) uint32 {
		p.log("response %s", p.get(responseHeadersMap, ":status"))
		p.must("add_header_map_value", responseHeadersMap, "seen", "1")
		return 0
	}
	for _, c := range []struct {
		name  string
		at    callbackID
		steps func(c *conversation)
		want  string // "" is a failure
	}{
		{"request headers", onRequestHeaders, func(c *conversation) { c.request(false) }, local + "seen: 1\n[no]end"},
		{"request body", onRequestBody, func(c *conversation) { c.request(false); c.chunk(plugin.Request, "a", false) }, local + "seen: 1\n[no]end"},
		{"request trailers", onRequestTrailers, func(c *conversation) { c.request(false); c.trailers(plugin.Request, "t: 1") }, local + "seen: 1\n[no]end"},
		{"response headers", onResponseHeaders, func(c *conversation) { c.request(true); c.response(false, "gone: 1") }, local + "[no]end"},
		{"response body", onResponseBody, func(c *conversation) {
			c.request(true)
			c.response(false)
			c.chunk(plugin.Response, "a", false)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := script{onResponseHeaders: seen}
			s[c.at] = send
			m, _ := perform(t, newABI(t, Config{}), s)
			conv := begin(t, m)
			c.steps(conv)
			if c.want == "" {
				if !errors.Is(conv.err, plugin.ErrTrap) {
					t.Fatalf("error %v", conv.err)
				}
				return
			}
			conv.is(plugin.Response, c.want)
			if !conv.status.Done && conv.ex.Response.Out.Ended == false {
				t.Error("the response is not whole")
			}
		})
	}
	t.Run("without a body", func(t *testing.T) {
		m, _ := perform(t, newABI(t, Config{}), script{onRequestHeaders: func(p *player) uint32 {
			p.must("send_local_response", 204, "", "", list("content-length: 9", "content-type: a/b"), no)
			return 1
		}})
		begin(t, m).request(true).is(plugin.Response, ":status: 204\nend")
	})
	t.Run("to a gRPC request", func(t *testing.T) {
		m, _ := perform(t, newABI(t, Config{}), script{onRequestHeaders: func(p *player) uint32 {
			p.must("send_local_response", 403, "", "a%\n", plugin.Headers(nil), no)
			return 1
		}})
		begin(t, m).request(true, "content-type: application/grpc+proto").
			is(plugin.Response, ":status: 200\ncontent-type: application/grpc\ngrpc-status: 7\ngrpc-message: a%25%0A\nend")
	})
	t.Run("from outside", func(t *testing.T) {
		var id uint32
		m, _ := perform(t, newABI(t, Config{}), script{
			onRequestHeaders: func(p *player) uint32 { id = p.args[0]; return 1 },
			onTick: func(p *player) uint32 {
				p.must("set_effective_context", int(id))
				return send(p)
			},
		})
		c := begin(t, m).request(true).is(plugin.Request, "held")
		m.tickNow(t)
		c.wait().is(plugin.Response, local+"[no]end")
	})
	t.Run("twice", func(t *testing.T) {
		m, _ := perform(t, newABI(t, Config{}), script{onRequestHeaders: send, onResponseHeaders: func(p *player) uint32 {
			p.must("send_local_response", 500, "", "", plugin.Headers(nil), no)
			return 0
		}})
		begin(t, m).request(true).is(plugin.Response, ":status: 500\nend")
	})
}

// TestMaps looks at the maps from every callback.
func TestMaps(t *testing.T) {
	look := func(next uint32) func(p *player) uint32 {
		return func(p *player) uint32 {
			p.log("%s %s %s %s", p.get(0, ":path"), p.get(1, "t"), p.get(2, ":status"), p.get(3, "t"))
			return next
		}
	}
	m, l := perform(t, newABI(t, Config{}), script{
		onRequestHeaders: look(0), onRequestBody: look(0), onRequestTrailers: look(0),
		onResponseHeaders: look(0), onResponseBody: look(0), onResponseTrailers: look(0),
		onLog: look(0), onDone: look(1), onDelete: look(0),
	})
	c := begin(t, m).request(false).ok()
	c.chunk(plugin.Request, "a", false).ok().trailers(plugin.Request, "t: 1").ok()
	c.response(false).ok().chunk(plugin.Response, "a", false).ok().trailers(plugin.Response, "t: 2").ok()
	c.guest.Close()
	const no = "(BAD_ARGUMENT)"
	want := []string{
		"/p?q=1 " + no + " " + no + " " + no,
		no + " " + no + " " + no + " " + no,
		no + " 1 " + no + " " + no,
		no + " " + no + " 200 " + no,
		no + " " + no + " " + no + " " + no,
		no + " " + no + " " + no + " 2",
		"/p?q=1 (NOT_FOUND) 200 2",
		no + " " + no + " " + no + " " + no,
		no + " " + no + " " + no + " " + no,
	}
	got := l.all()
	for i, line := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], "INFO "+line+" context=") {
			t.Fatalf("line %d of %q, expected %q", i, got, line)
		}
	}
}

// TestEdits changes headers and looks at what becomes of them.
func TestEdits(t *testing.T) {
	m, _ := perform(t, newABI(t, Config{}), script{onRequestHeaders: func(p *player) uint32 {
		p.must("add_header_map_value", 0, "Added", "1")
		p.must("add_header_map_value", 0, "multi", "3")
		p.must("replace_header_map_value", 0, "REPLACED", "new")
		p.must("replace_header_map_value", 0, ":path", "/other")
		p.must("replace_header_map_value", 0, "fresh", "1")
		p.must("remove_header_map_value", 0, "Removed")
		p.must("remove_header_map_value", 0, "absent")
		return 0
	}})
	c := begin(t, m).request(true, "multi: 1", "replaced: old", "replaced: older", "removed: 1", "multi: 2")
	c.is(plugin.Request, ":method: GET\n:scheme: http\n:authority: example.com\n:path: /other\n"+
		"multi: 1\nmulti: 2\nadded: 1\nmulti: 3\nreplaced: new\nfresh: 1\nuntouched")
	if path, _ := c.ex.Request.Original.Get(":path"); string(path) != "/p?q=1" || len(c.ex.Request.Original) != 9 {
		t.Errorf("the original has changed: %s", c.ex.Request.Original)
	}
}

// TestBuffers changes bodies in the ways there are.
func TestBuffers(t *testing.T) {
	for _, c := range []struct {
		name        string
		start, size int
		data        string
		want        string
		status      Status
	}{
		{"prepend", 0, 0, "x", "xabc", OK},
		{"append", 3, 0, "x", "abcx", OK},
		{"append far behind", 1<<32 - 1, 0, "x", "abcx", OK},
		{"replace", 0, 3, "x", "x", OK},
		{"replace more", 0, 1<<32 - 1, "x", "x", OK},
		{"clear", 0, 3, "", "", OK},
		{"inject", 1, 0, "x", "abc", BadArgument},
		{"replace a part", 0, 2, "x", "abc", BadArgument},
		{"too much", 3, 0, strings.Repeat("x", 2000), "abc", InternalFailure},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _ := perform(t, newABI(t, Config{BodyLimit: 1000}), script{onRequestBody: func(p *player) uint32 {
				if a := p.call("set_buffer_bytes", 0, c.start, c.size, c.data); a.Status != c.status {
					t.Errorf("status %v, expected %v", a.Status, c.status)
				}
				if got := p.must("get_buffer_status", 0).num[0]; got != uint64(len(c.want)) {
					t.Errorf("%d bytes, expected %d", got, len(c.want))
				}
				return 0
			}})
			want := "end"
			if c.want != "" {
				want = "[" + c.want + "]end"
			}
			begin(t, m).request(false).ok().chunk(plugin.Request, "abc", true).is(plugin.Request, requestText+want)
		})
	}
}

// TestTooLarge buffers more than the host keeps.
func TestTooLarge(t *testing.T) {
	m, _ := perform(t, newABI(t, Config{BodyLimit: 10}), script{onRequestBody: give(1)})
	c := begin(t, m).request(false).ok().chunk(plugin.Request, "123456", false).ok().chunk(plugin.Request, "123456", false)
	c.contains(plugin.Response, ":status: 413\n")
	m, _ = perform(t, newABI(t, Config{BodyLimit: 10}), script{onResponseBody: give(1)}, func(s *plugin.Spec) { s.Name = "response" })
	c = begin(t, m).request(true).ok().response(false).ok().chunk(plugin.Response, "123456", false).ok()
	if c.chunk(plugin.Response, "123456", false); !errors.Is(c.err, plugin.ErrTrap) {
		t.Errorf("error %v", c.err)
	}
	// Behind a watermark the proxy has to wait instead.
	m, _ = perform(t, newABI(t, Config{BodyLimit: 10}), script{onRequestBody: give(2)}, func(s *plugin.Spec) { s.Name = "watermark" })
	c = begin(t, m).request(false).ok()
	for range 4 {
		c.chunk(plugin.Request, "123456", false).ok()
	}
	if left := c.ex.Request.In.Len(); left != 12 {
		t.Errorf("%d bytes wait with the proxy, expected 12", left)
	}
}

// TestAddedTrailers adds trailers to a body that ends without.
func TestAddedTrailers(t *testing.T) {
	m, _ := perform(t, newABI(t, Config{}), script{onRequestBody: func(p *player) uint32 {
		want := BadArgument
		if p.args[2] == 1 {
			want = OK
		}
		if a := p.call("add_header_map_value", requestTrailersMap, "t", "1"); a.Status != want {
			t.Errorf("status %v, expected %v", a.Status, want)
		}
		return 0
	}})
	begin(t, m).request(false).ok().chunk(plugin.Request, "a", false).ok().chunk(plugin.Request, "b", true).
		is(plugin.Request, requestText+"[a][b]end t: 1")
}

// TestClose resets a stream, which is a failure from here.
func TestClose(t *testing.T) {
	m, _ := perform(t, newABI(t, Config{}), script{onRequestHeaders: func(p *player) uint32 {
		p.must("close_stream", 0)
		return 0
	}})
	if c := begin(t, m).request(true); !errors.Is(c.err, plugin.ErrTrap) || !strings.Contains(c.err.Error(), "closed the stream") {
		t.Errorf("error %v", c.err)
	}
}

// TestGrowingBody adds to a body little by little, which ends where adding at once
// does.
func TestGrowingBody(t *testing.T) {
	for name, start := range map[string]int{"append": math.MaxInt32, "prepend": 0} {
		t.Run(name, func(t *testing.T) {
			m, _ := perform(t, newABI(t, Config{BodyLimit: 1000}), script{onRequestBody: func(p *player) uint32 {
				scratch := p.scratch
				for range 100 {
					p.scratch = scratch
					p.call("set_buffer_bytes", 0, start, 0, strings.Repeat("x", 100))
				}
				if size := p.must("get_buffer_status", 0).num[0]; size != 1003 {
					t.Errorf("the body grew to %d bytes", size)
				}
				p.must("set_buffer_bytes", 0, 0, 1<<30, "y")
				return 0
			}})
			begin(t, m).request(false).ok().chunk(plugin.Request, "abc", true).is(plugin.Request, requestText+"[y]end")
		})
	}
}
