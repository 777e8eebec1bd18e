package proxywasm

import (
	"context"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// BenchmarkStream is one exchange of headers only, from its context's creation to
// its end, on a VM that is warm.
func BenchmarkStream(b *testing.B) {
	for _, parts := range [][]string{
		{"envoy", "examples", "proxy-wasm-headers", "c", "plugin.wasm"},
		{"envoy", "examples", "proxy-wasm-headers", "assemblyscript", "plugin.wasm"},
		{"envoy", "examples", "proxy-wasm-plugins", "rust", "plugin.wasm"},
	} {
		b.Run(parts[3], func(b *testing.B) {
			spec := newSpec(&logs{}, func(s *plugin.Spec) { s.Name = "headers"; s.Log = nil })
			benchmarkStream(b, mustLoad(b, newABI(b, Config{}), file(b, parts...), spec))
		})
	}
	b.Run("no callbacks", func(b *testing.B) {
		var names []string
		for _, cb := range callbacks {
			names = append(names, cb.name)
		}
		spec := newSpec(&logs{}, func(s *plugin.Spec) { s.Log = nil })
		benchmarkStream(b, mustLoad(b, newABI(b, Config{}), puppet(without(names...)), spec))
	})
	b.Run("isolated", func(b *testing.B) {
		spec := newSpec(&logs{}, func(s *plugin.Spec) {
			s.Name, s.Log, s.VM.Isolation = "headers", nil, plugin.PerStream
		})
		wasm := file(b, "envoy", "examples", "proxy-wasm-plugins", "rust", "plugin.wasm")
		benchmarkStream(b, mustLoad(b, newABI(b, Config{}), wasm, spec))
	})
}

func benchmarkStream(b *testing.B, m *Module) {
	ctx := context.Background()
	request := list(":method: GET", ":scheme: http", ":authority: example.com", ":path: /", "user-agent: bench", "accept: */*", "x-request-id: 1", "x-secret: 1")
	response := list(":status: 200", "content-type: text/plain", "content-length: 5", "date: today", "server-secret: 1")
	var ex plugin.Exchange
	b.ReportAllocs()
	for b.Loop() {
		ex = plugin.Exchange{}
		g, err := m.Start(&ex)
		if err != nil {
			b.Fatal(err)
		}
		for d, headers := range [2]plugin.Headers{request, response} {
			msg := ex.Message(plugin.Direction(d))
			msg.Arrived, msg.NoBody, msg.Original = true, true, headers
			if _, err := g.Step(ctx); err != nil {
				b.Fatal(err)
			}
		}
		if !ex.Response.Released {
			b.Fatal("the response is held")
		}
		g.Close()
	}
}

// frugal are hostcalls that need no memory of the host.
var frugal = []struct {
	name string
	args []any
}{
	{"log", []any{0, "not to be logged"}},
	{"get_log_level", nil},
	{"get_current_time_nanoseconds", nil},
	{"set_effective_context", []any{0}},
	{"get_buffer_bytes", []any{vmConfigurationBuffer, 0, 100}},
	{"get_buffer_status", []any{0}},
	{"get_header_map_size", []any{0}},
	{"get_header_map_pairs", []any{0}},
	{"get_header_map_value", []any{0, ":path"}},
	{"remove_header_map_value", []any{0, "absent"}},
	{"continue_stream", []any{1}},
	{"get_status", nil},
	{"get_shared_data", []any{"key"}},
	{"resolve_shared_queue", []any{"", "absent"}},
	{"increment_metric", []any{4, 1}},
	{"record_metric", []any{4, 1}},
	{"get_metric", []any{4}},
	{"get_property", []any{"plugin_root_id"}},
	{"get_property", []any{"request\x00path"}},
	{"get_property", []any{"absent\x00property"}},
	{"call_foreign_function", []any{"clear_route_cache", ""}},
}

// prepared runs f in a callback with a row and a stack for each frugal hostcall.
func prepared(tb testing.TB, f func(name string, v *vm, row *hostcall, stack []uint64)) {
	tb.Helper()
	m, _ := perform(tb, newABI(tb, Config{}), script{onRequestHeaders: func(p *player) uint32 {
		p.must("set_shared_data", "key", "value", 0)
		p.must("define_metric", 0, "m")
		scratch := p.scratch
		for _, c := range frugal {
			p.scratch = scratch
			var stack []uint64
			var row *hostcall
			args := c.args
			for i := range hostcalls {
				if hostcalls[i].name == "proxy_"+c.name {
					row = &hostcalls[i]
				}
			}
			stack = p.harmless(row)
			at := 0
			for _, k := range row.params {
				if kinds[k].out {
					break
				}
				switch v := args[0].(type) {
				case int:
					stack[at] = uint64(uint32(v))
				case string:
					stack[at], stack[at+1] = uint64(p.put([]byte(v))), uint64(len(v))
				}
				args, at = args[1:], at+len(kinds[k].slots)
			}
			f(c.name, p.cx.vm, row, stack)
		}
		return 0
	}}, func(s *plugin.Spec) {
		s.Name, s.VM.Config, s.Limits.Timeout = "prepared", []byte("configuration"), time.Hour
	})
	begin(tb, m).request(true).ok()
}

// TestHostcallAllocations: what needs no memory of the host takes none.
func TestHostcallAllocations(t *testing.T) {
	prepared(t, func(name string, v *vm, row *hostcall, stack []uint64) {
		if n := testing.AllocsPerRun(100, func() { v.hostcall(row, stack) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	})
}

// BenchmarkHostcall is a hostcall without the way from the guest and back.
func BenchmarkHostcall(b *testing.B) {
	prepared(b, func(name string, v *vm, row *hostcall, stack []uint64) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v.hostcall(row, stack)
			}
		})
	})
}

// BenchmarkCall is a hostcall from a guest: a thousand of them in a tick.
func BenchmarkCall(b *testing.B) {
	m := mustLoad(b, newABI(b, Config{}), puppet(func(a *asm) {
		a.imports = append(a.imports, asmImport{"env", "proxy_get_buffer_status", n(3), n(1)})
		without("proxy_on_tick")(a)
		a.funcs = append(a.funcs, asmFunc{name: "proxy_on_tick", params: n(1), locals: 1, body: join(
			uint32(1000), opSet, 1, opLoop, opVoidBlock,
			uint32(0), uint32(1024), uint32(1028), opCall, 1, opDrop,
			opGet, 1, uint32(1), opSub, opTee, 1, opBrIf, 0, opEnd,
		)})
	}), newSpec(&logs{}, func(s *plugin.Spec) { s.Limits.Timeout = 0; s.Log = nil }))
	b.ReportAllocs()
	for b.Loop() {
		m.tickNow(b)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/call")
}
