package proxywasm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/extproc/extproc/plugin"
)

// harmless is a stack for a row that is in order: texts of four bytes, results to
// the scratch page, the first value of enums.
func (p *player) harmless(row *hostcall) []uint64 {
	text := p.put([]byte("text"))
	var stack []uint64
	for _, k := range row.params {
		switch k {
		case bytesIn:
			stack = append(stack, uint64(text), 4)
		case pairsIn:
			stack = append(stack, 0, 0)
		case num32, num64, mapID, bufferID, streamID, logLevelID:
			stack = append(stack, 0)
		default:
			at := p.put(make([]byte, 8))
			stack = append(stack, uint64(at), uint64(at)+4)[:len(stack)+len(kinds[k].slots)]
		}
	}
	return append(stack, 0) // room for the result
}

// mutation is a change of a stack that a row has to refuse.
type hostileCall struct {
	what  string
	at    int
	words []uint64
	want  Status
}

// hostile derives calls from a row: each is harmless but for one parameter.
func (p *player) hostile(row *hostcall) []hostileCall {
	size := uint64(p.cx.vm.memory.Size())
	const most = math.MaxUint32
	var list []hostileCall
	at := 0
	add := func(what string, want Status, words ...uint64) {
		list = append(list, hostileCall{what, at, words, want})
	}
	for _, k := range row.params {
		switch k {
		case bytesIn, pairsIn:
			add("behind the end", InvalidMemoryAccess, size, 1)
			add("over the end", InvalidMemoryAccess, size-1, 2)
			add("as long as there is", InvalidMemoryAccess, 1, size)
			add("overflowing", InvalidMemoryAccess, most, most)
			add("overflowing by one", InvalidMemoryAccess, most, 1)
			add("endless", InvalidMemoryAccess, 0, most)
		case mapID, bufferID, streamID, logLevelID:
			for _, v := range []uint64{uint64(kinds[k].most) + 1, 1000, 1 << 31, most} {
				add(fmt.Sprint(v), BadArgument, v)
			}
		case out32:
			add("behind the end", InvalidMemoryAccess, size)
			add("over the end", InvalidMemoryAccess, size-3)
			add("far away", InvalidMemoryAccess, most)
		case out64:
			add("over the end", InvalidMemoryAccess, size-7)
			add("far away", InvalidMemoryAccess, most)
		case bytesOut, pairsOut, bytesMaybe:
			add("pointer over the end", InvalidMemoryAccess, size-3, 1024)
			add("length over the end", InvalidMemoryAccess, 1024, size-3)
			add("both far away", InvalidMemoryAccess, most, most)
		}
		if k == pairsIn {
			for what, blob := range hostilePairs {
				add(what, BadArgument, uint64(p.put([]byte(blob))), uint64(len(blob)))
			}
		}
		at += len(kinds[k].slots)
	}
	return list
}

// words is 32-bit numbers as a map has them.
func words(n ...uint32) string {
	var b []byte
	for _, v := range n {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return string(b)
}

var hostilePairs = map[string]string{
	"cut in its count":         "\x01\x00",
	"more pairs than bytes":    words(1000, 1, 1),
	"too many pairs":           words(maxPairs+1) + string(make([]byte, 8*(maxPairs+1))),
	"an endless count":         words(math.MaxUint32),
	"a name that is endless":   words(1, math.MaxUint32, 0) + "a\x00\x00",
	"a value that is too long": words(1, 1, 5) + "a\x00b\x00",
	"a name without its end":   words(1, 1, 1) + "ab\x00c",
	"a value without its end":  words(1, 1, 1) + "a\x00bc",
	"bytes at the end":         words(1, 1, 1) + "a\x00b\x00c",
	"no pairs and bytes":       words(0) + "x",
}

// TestHostile makes every hostile call from every kind of context. Each has the
// status that the specification names, and none has any effect.
func TestHostile(t *testing.T) {
	tried := 0
	try := func(where string) func(*player) uint32 {
		return func(p *player) uint32 {
			scratch := p.scratch
			for i := range hostcalls {
				row := &hostcalls[i]
				for _, h := range p.hostile(row) {
					stack := p.harmless(row)
					copy(stack[h.at:], h.words)
					if got := p.cx.vm.hostcall(row, stack); got != h.want {
						t.Errorf("in %s: %s with parameter %d %s: %v, expected %v", where, row.name, h.at, h.what, got, h.want)
					}
					tried++
				}
				p.scratch = scratch
			}
			if where == "configure" || where == "vm start" || where == "done" {
				return 1
			}
			return 0
		}
	}
	s := script{
		onVMStart: try("vm start"), onConfigure: try("configure"), onTick: try("tick"),
		onRequestHeaders: try("request headers"), onRequestBody: try("request body"),
		onResponseTrailers: try("response trailers"), onLog: try("log"), onDone: try("done"), onDelete: try("delete"),
	}
	m := mustLoad(t, newABI(t, Config{}), puppet(func(a *asm) { a.memory = 4 }), performing(t, &logs{}, s))
	c := begin(t, m).request(false).ok().chunk(plugin.Request, "a", true).is(plugin.Request, requestText+"[a]end")
	c.response(false).ok().trailers(plugin.Response, "t: 1").is(plugin.Response, responseText+"end t: 1")
	m.tickNow(t)
	c.guest.Close()
	v := m.machine.workers[0].vm
	if v == nil || len(v.contexts) != 1 || len(v.roots[m].calls) != 0 || len(v.roots[m].queues) != 0 || v.roots[m].tick.period != 1<<40 {
		t.Error("something is left of the calls")
	}
	if tried < 3000 {
		t.Errorf("only %d calls were made", tried)
	}
}

// TestContexts calls what needs a stream from where there is none, and the other
// way round.
func TestContexts(t *testing.T) {
	var ended uint32
	m, _ := perform(t, newABI(t, Config{}), script{
		onTick: func(p *player) uint32 {
			for _, c := range []struct {
				name string
				args []any
				want Status
			}{
				{"get_header_map_value", []any{0, "a"}, BadArgument},
				{"add_header_map_value", []any{0, "a", "b"}, BadArgument},
				{"set_header_map_pairs", []any{0, list("a: b")}, BadArgument},
				{"get_header_map_pairs", []any{0}, OK},
				{"get_header_map_size", []any{0}, BadArgument},
				{"set_buffer_bytes", []any{0, 0, 0, "x"}, BadArgument},
				{"set_buffer_bytes", []any{vmConfigurationBuffer, 0, 0, "x"}, BadArgument},
				{"get_buffer_bytes", []any{0, 0, 9}, OK},
				{"get_buffer_bytes", []any{0, 1<<32 - 1, 1}, BadArgument},
				{"get_buffer_bytes", []any{pluginConfigurationBuffer, 0, 9}, NotFound},
				{"get_buffer_bytes", []any{callBodyBuffer, 0, 9}, NotFound},
				{"set_property", []any{"a", "b"}, NotFound},
				{"get_property", []any{"request\x00path"}, NotFound},
				{"get_property", []any{""}, NotFound},
				{"continue_stream", []any{0}, OK},
				{"continue_stream", []any{3}, Unimplemented},
				{"send_local_response", []any{200, "", "", plugin.Headers(nil), 0}, OK},
				{"set_effective_context", []any{99}, BadArgument},
				{"set_effective_context", []any{int(ended)}, BadArgument},
				{"done", nil, NotFound},
				{"http_call", []any{"nowhere", list(":method: GET", ":path: /", ":authority: a"), "", plugin.Headers(nil), 1000}, BadArgument},
				{"http_call", []any{"nowhere", plugin.Headers(nil), "", plugin.Headers(nil), -1}, BadArgument},
				{"grpc_call", []any{"nowhere", "s", "m", plugin.Headers(nil), "", 1000}, ParseFailure},
				{"grpc_stream", []any{"nowhere", "s", "m", plugin.Headers(nil)}, ParseFailure},
				{"grpc_send", []any{1, "", 0}, BadArgument},
				{"grpc_send", []any{2, "", 0}, NotFound},
				{"grpc_cancel", []any{4}, BadArgument},
				{"grpc_cancel", []any{5}, NotFound},
				{"grpc_close", []any{7}, BadArgument},
				{"define_metric", []any{3, "m"}, BadArgument},
				{"increment_metric", []any{400, 1}, NotFound},
				{"record_metric", []any{401, 1}, NotFound},
				{"get_metric", []any{400}, NotFound},
				{"get_shared_data", []any{"absent"}, NotFound},
				{"resolve_shared_queue", []any{"", "absent"}, NotFound},
				{"enqueue_shared_queue", []any{77, "x"}, NotFound},
				{"dequeue_shared_queue", []any{77}, NotFound},
				{"call_foreign_function", []any{"absent", ""}, NotFound},
			} {
				if a := p.call(c.name, c.args...); a.Status != c.want {
					t.Errorf("%s%v: %v, expected %v", c.name, c.args, a.Status, c.want)
				}
			}
			return 0
		},
		onRequestHeaders: func(p *player) uint32 { ended = p.args[0]; return 0 },
	})
	begin(t, m).request(true).ok().guest.Close()
	m.tickNow(t)
}

// TestAllocator calls the host from the allocator: what logs and tells the time
// may be called there, the rest ends the VM.
func TestAllocator(t *testing.T) {
	for _, c := range []struct {
		name  string
		slots int
		ok    bool
	}{{"proxy_log", 3, true}, {"proxy_get_current_time_nanoseconds", 1, true}, {"proxy_get_header_map_value", 5, false}, {"proxy_send_local_response", 8, false}} {
		t.Run(c.name, func(t *testing.T) {
			var args []any
			for range c.slots {
				args = append(args, uint32(0))
			}
			m := mustLoad(t, newABI(t, Config{}), puppet(func(a *asm) {
				a.imports = append(a.imports, asmImport{"env", c.name, n(c.slots), n(1)})
				a.funcs[0].body = append(join(append(args, opCall, 1, opDrop)...), a.funcs[0].body...)
			}), performing(t, &logs{}, script{onRequestHeaders: func(p *player) uint32 {
				if got := p.get(0, ":path"); got != "/p?q=1" {
					t.Errorf("the path is %q", got)
				}
				return 0
			}}, func(s *plugin.Spec) { s.Name = t.Name() }))
			if conv := begin(t, m).request(true); (conv.err == nil) != c.ok {
				t.Errorf("error %v", conv.err)
			}
		})
	}
}

// TestBadAllocator has an allocator that gives what is not its to give.
func TestBadAllocator(t *testing.T) {
	for _, at := range []uint32{0, 1 << 20, 0xfffffff0, puppetPages<<16 - 2} {
		m := mustLoad(t, newABI(t, Config{}), puppet(func(a *asm) {
			a.funcs[0].body = join(at)
		}), performing(t, &logs{}, script{onRequestHeaders: func(p *player) uint32 {
			if a := p.call("get_header_map_pairs", 0); a.Status != InvalidMemoryAccess {
				t.Errorf("allocated at %#x: %v", at, a.Status)
			}
			return 0
		}}, func(s *plugin.Spec) { s.Name = fmt.Sprint(t.Name(), at) }))
		begin(t, m).request(true).ok()
	}
}

// TestMemoryBomb refuses memory above the limit, and says so when the guest gives
// up.
func TestMemoryBomb(t *testing.T) {
	const opGrow = 0x40
	m := mustLoad(t, newABI(t, Config{}), puppet(trapping(onRequestHeaders,
		opLoop, opVoidBlock, uint32(16), opGrow, 0, uint32(0xffffffff), 0x46, opIf, opVoidBlock, opTrap, opEnd, opBr, 0, opEnd, opTrap)),
		performing(t, &logs{}, nil))
	var f *plugin.Failure
	if c := begin(t, m).request(true); c.err == nil || !errors.As(c.err, &f) || f.Kind != plugin.OutOfMemory {
		t.Errorf("error %v", c.err)
	}
}

// FuzzHostcalls calls rows with any stack from a stream's callback. The VM has to
// survive all of them.
func FuzzHostcalls(f *testing.F) {
	for i := range hostcalls {
		f.Add(uint8(i), []byte("\x00\x00\x01\x00\x04\x00\x00\x00\x00\x00\x01\x00\x04\x00\x00\x00"))
	}
	a, err := New(f.Context(), Config{Workers: 1})
	if err != nil {
		f.Fatal(err)
	}
	var row *hostcall
	var stack []uint64
	m := mustLoad(f, a, puppet(), performing(f, &logs{}, script{onRequestBody: func(p *player) uint32 {
		if s := p.cx.vm.hostcall(row, stack); s > Unimplemented {
			panic(fmt.Sprint("no such status: ", uint32(s)))
		}
		return 1
	}}))
	f.Fuzz(func(t *testing.T, i uint8, b []byte) {
		row = &hostcalls[int(i)%len(hostcalls)]
		if row.name == "proxy_call_foreign_function" {
			return // the puppet's own string
		}
		stack = make([]uint64, 16)
		for i := range stack {
			if len(b) >= 4*i+4 {
				stack[i] = uint64(binary.LittleEndian.Uint32(b[4*i:]))
			}
		}
		c := begin(t, m).request(false)
		c.chunk(plugin.Request, "body", true)
		c.guest.Close()
		if v := m.machine.workers[0].vm; v == nil {
			t.Fatal("the VM is lost: ", c.err)
		}
	})
}

// FuzzPairs reads serialized maps: what can be read is written as it was.
func FuzzPairs(f *testing.F) {
	for _, blob := range hostilePairs {
		f.Add([]byte(blob))
	}
	good := list("a: 1", ":path: /", "b: ")
	b := make([]byte, pairsSize(good))
	writePairs(b, good)
	f.Add(b)
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		pairs, ok := parsePairs(b)
		if !ok || len(pairs) == 0 {
			return
		}
		again := make([]byte, pairsSize(pairs))
		writePairs(again, pairs)
		if len(again) != len(b) {
			t.Fatalf("%d bytes became %d", len(b), len(again))
		}
		for i := range b {
			c := b[i]
			if 'A' <= c && c <= 'Z' && again[i] != c {
				c += 'a' - 'A' // a name
			}
			if again[i] != c {
				t.Fatalf("byte %d: %q became %q", i, b, again)
			}
		}
	})
}
