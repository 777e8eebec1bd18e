package hostile

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/proxywasm"
)

const (
	endless  = "(loop (br 0))"
	readPath = `(drop (call $proxy_get_header_map_value (i32.const 0) (i32.const 1040) (i32.const 5) (i32.const 2048) (i32.const 2056)))`
	pathData = `(data (i32.const 1040) ":path")`
)

// moduleGuests are the proxy-wasm modules.
func moduleGuests() []guest {
	var list []guest
	add := func(class, name string, want outcome, m module, change ...func(*guest)) {
		g := guest{name: name, class: class, text: moduleText(m), want: want}
		for _, c := range change {
			c(&g)
		}
		list = append(list, g)
	}
	loops(add)
	memories(add)
	allocators(add)
	fields(add)
	answersOf(add)
	plenty(add)
	wasiCalls(add)
	traps(add)
	return append(list, notLoaded()...)
}

type adder func(class, name string, want outcome, m module, change ...func(*guest))

func advisory(id string) func(*guest) { return func(g *guest) { g.advisory = id } }

// soon has a guest's time be over soon.
func soon(g *guest) { g.timeout = 100 * time.Millisecond }

// loops never end, wherever they begin.
func loops(add adder) {
	const class = "endless loop"
	for _, on := range []string{"request_headers", "request_body", "response_headers", "response_body"} {
		add(class, "a loop in "+on, timesOut, module{on: on, code: endless})
	}
	for _, on := range []string{"log", "done", "delete"} {
		add(class, "a loop in "+on, harmless, module{on: on, code: "(if (i32.gt_u (local.get 0) (i32.const 1)) (then " + endless + "))"}, soon)
	}
	for _, on := range []string{"vm_start", "configure", "context_create"} {
		add(class, "a loop in "+on, refused("ran for longer than"), module{on: on, code: endless})
	}
	add(class, "a loop in a stream's create", timesOut, module{
		on: "context_create", code: "(if (local.get 1) (then " + endless + "))",
	}, func(g *guest) { g.starting = true })
	add(class, "a loop in the start section", refused("ran for longer than"), module{more: "(func $forever " + endless + ") (start $forever)"})
	add(class, "a loop in _initialize", refused("ran for longer than"), module{more: `(func (export "_initialize") ` + endless + ")"})
	add(class, "a loop in the allocator", timesOut, module{malloc: endless + "(i32.const 0)", code: readPath, more: pathData})
	add(class, "a loop in tick", trap("its VM was lost"), module{
		code: expect(proxywasm.OK, "proxy_set_tick_period_milliseconds", 1) + "(return (i32.const 1))",
		more: `(func (export "proxy_on_tick") (param i32) ` + endless + ")",
	})
	add(class, "a loop with a hostcall", timesOut, module{code: "(loop " + ignore("proxy_get_current_time_nanoseconds", 2048) + "(br 0))"})
	add(class, "a loop that logs", timesOut, module{code: "(loop " + ignore("proxy_log", 2, 1024, 4) + "(br 0))"})
	add(class, "a loop of tail calls", timesOut, module{code: "(call $round (i32.const 0))", more: "(func $round (param i32) (return_call $round (local.get 0)))"})
	add(class, "a loop by indirect calls", timesOut, module{
		code: "(loop (call_indirect (type $v) (i32.const 0)) (br 0))", more: "(type $v (func)) (func $nothing) (table funcref (elem $nothing))",
	})
	add(class, "a loop that copies 64 KiB", timesOut, module{code: "(loop (memory.copy (i32.const 0) (i32.const 65536) (i32.const 65536)) (br 0))"})
	add(class, "a loop that catches what it throws", timesOut, module{
		code: "(loop (block $caught (try_table (catch_all $caught) (throw $e))) (br 0))", more: "(tag $e)",
	})
}

// memories take all there is.
func memories(add adder) {
	grow := "(memory.grow (i32.const %d))"
	add("memory bomb", "memory page by page until refused, then a trap", outOfMemory, module{
		code: "(loop (br_if 0 (i32.ne " + fmt.Sprintf(grow, 1) + " (i32.const -1)))) (unreachable)",
	})
	add("memory bomb", "memory page by page until refused", harmless, module{
		code: "(loop (br_if 0 (i32.ne " + fmt.Sprintf(grow, 1) + " (i32.const -1))))",
	})
	add("memory bomb", "all memory at once", harmless, module{code: "(call $expect " + fmt.Sprintf(grow, 65000) + " (i32.const -1))"})
	add("memory bomb", "more memory than there can be", harmless, module{code: "(call $expect " + fmt.Sprintf(grow, -1) + " (i32.const -1))"})
	add("memory bomb", "memory that starts above the limit", refused("its memory starts with"), module{memory: "1000"})
	add("table growth", "a table of 10 million", harmless, module{
		code: "(drop (table.grow $t (ref.null func) (i32.const 10000000)))", more: "(table $t 1 funcref)",
	})
	add("table growth", "a table that grows for ever", harmless, module{
		code: "(loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1))))", more: "(table $t 1 funcref)",
	})
	add("table growth", "a table that starts with 100 million", refused("100000000 table elements"), module{more: "(table 100000000 funcref)"})
	add("table growth", "forty tables of a million", refused("its tables start with 40000000 elements"), module{more: strings.Repeat("(table 1000000 funcref)\n", 40)})
	add("deep recursion", "a recursion without end", trap("stack overflow"), module{code: "(call $deep)", more: "(func $deep (call $deep))"})
	add("deep recursion", "a recursion with large frames", trap("stack overflow"), module{
		code: "(call $deep)", more: "(func $deep (local " + strings.Repeat("i64 ", 1000) + ") (call $deep))",
	})
	add("deep recursion", "a recursion through the allocator", trap("stack overflow"), module{
		malloc: "(call $malloc (local.get 0))", code: readPath, more: pathData,
	})
}

// allocators give what isn't theirs to give, or do what they must not.
func allocators(add adder) {
	const class = "re-entering malloc"
	value := func(want proxywasm.Status) string {
		return expect(want, "proxy_get_header_map_value", 0, 1040, 5, 2048, 2056)
	}
	for name, at := range map[string]int{"nothing": 0, "the end": size, "the last address": most, "an odd place over the end": size - 2} {
		add("pointers and lengths", "an allocator that gives "+name, harmless, module{
			malloc: fmt.Sprintf("(i32.const %d)", int32(uint32(at))), code: value(proxywasm.InvalidMemoryAccess), more: pathData,
		})
	}
	add("pointers and lengths", "an allocator that gives where the results go", harmless, module{
		malloc: "(i32.const 2048)", code: value(proxywasm.OK), more: pathData,
	})
	add(class, "an allocator that asks for headers", trap("from its allocator"), module{malloc: readPath + goodTail, code: readPath, more: pathData})
	add(class, "an allocator that answers", trap("from its allocator"), module{
		malloc: ignore("proxy_send_local_response", 200, 0, 0, 0, 0, 0, 0, 0) + goodTail, code: readPath, more: pathData,
	})
	add(class, "an allocator that logs", harmless, module{malloc: ignore("proxy_log", 2, 1024, 4) + goodTail, code: readPath, more: pathData})
	add(class, "an allocator that exits", outcome{fails: true, kind: plugin.Exited}, module{
		malloc: "(call $wasi_proc_exit (i32.const 0)) (i32.const 0)", code: readPath, more: pathData,
	})
	add(class, "an allocator that traps", trap("unreachable"), module{malloc: "(unreachable)", code: readPath, more: pathData})
	add(class, "an allocator that grows the memory", harmless, module{
		malloc: "(drop (memory.grow (i32.const 1)))" + goodTail, code: value(proxywasm.OK), more: pathData,
	})
}

const goodTail = "(i32.const 131072)"

// bytesAt has the bytes of a text in the memory, at an address.
func bytesAt(at int, text string) string {
	var b strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&b, `\%02x`, text[i])
	}
	return fmt.Sprintf("(data (i32.const %d) \"%s\")", at, b.String())
}

// fields are headers that a proxy would choke on. They are not passed on.
func fields(add adder) {
	for name, f := range map[string][2]string{
		"NUL in a name":           {"a\x00b", "v"},
		"NUL in a value":          {"x-a", "a\x00b"},
		"a line break in a name":  {"a\nb", "v"},
		"CR LF in a value":        {"x-a", "v\r\nx-smuggled: 1"},
		"LF in a value":           {"x-a", "v\nx-smuggled: 1"},
		"upper case in a name":    {"X-UPPER", "v"},
		"a leading colon":         {":x-pseudo", "v"},
		"a second :path":          {":path", "/smuggled"},
		"an empty name":           {"", "v"},
		"a space in a name":       {"x a", "v"},
		"invalid UTF-8":           {"x-a", "\xff\xfe\xed\xa0\x80"},
		"invalid UTF-8 in a name": {"x-\xff", "v"},
		"DEL in a value":          {"x-a", "\x7f"},
		"content-length":          {"content-length", "5"},
		"transfer-encoding":       {"transfer-encoding", "chunked"},
		"host":                    {"host", "elsewhere"},
	} {
		data := bytesAt(1100, f[0]) + bytesAt(1200, f[1])
		for call, on := range map[string]string{"add": "request_headers", "replace": "response_headers"} {
			id := 0
			if on == "response_headers" {
				id = 2
			}
			add("header syntax", fmt.Sprintf("%s, %s in %s", name, call, on), harmless, module{
				on:   on,
				code: ignore("proxy_"+call+"_header_map_value", id, 1100, len(f[0]), 1200, len(f[1])), more: data,
			})
		}
		add("header syntax", name+", in a local response", answers(200), module{
			code: "(i32.store (i32.const 3000) (i32.const 1))" +
				fmt.Sprintf("(i32.store (i32.const 3004) (i32.const %d)) (i32.store (i32.const 3008) (i32.const %d))", len(f[0]), len(f[1])) +
				fmt.Sprintf("(memory.copy (i32.const 3012) (i32.const 1100) (i32.const %d))", len(f[0])) +
				fmt.Sprintf("(memory.copy (i32.const %d) (i32.const 1200) (i32.const %d))", 3013+len(f[0]), len(f[1])) +
				expect(proxywasm.OK, "proxy_send_local_response", 200, 0, 0, 1024, 4, 3000, 14+len(f[0])+len(f[1]), -1),
			more: data,
		})
	}
	many := times(32769, ignore("proxy_add_header_map_value", 0, 1024, 4, 1032, 1))
	add("many fields", "32,769 fields", unanswered("too large"), module{code: many}, advisory("CVE-2026-27572"))
	add("many fields", "32,769 response fields", unanswered("too large"), module{
		on: "response_headers", code: times(32769, ignore("proxy_add_header_map_value", 2, 1024, 4, 1032, 1)),
	}, advisory("CVE-2026-27572"))
	add("large fields", "a value of 128 KiB", unanswered("too large"), module{
		code: "(memory.fill (i32.const 65536) (i32.const 97) (i32.const 131072))" + expect(proxywasm.OK, "proxy_add_header_map_value", 0, 1024, 4, 65536, 128<<10),
	})
	add("large fields", "a name of 128 KiB", harmless, module{ // of NULs: it isn't sent
		code: expect(proxywasm.OK, "proxy_add_header_map_value", 0, 65536, 128<<10, 1032, 1),
	})
	add("large pairs", "1,025 pairs", harmless, module{
		code: "(i32.store (i32.const 65536) (i32.const 1025))" + expect(proxywasm.BadArgument, "proxy_set_header_map_pairs", 0, 65536, 4+1025*10),
	})
	add("large pairs", "pairs of more than 1 MiB", harmless, module{
		memory: "40", code: "(i32.store (i32.const 65536) (i32.const 1))" + expect(proxywasm.BadArgument, "proxy_set_header_map_pairs", 0, 65536, 1<<20+1),
	})
	add("large pairs", "pairs whose sizes overflow", harmless, module{
		code: "(i32.store (i32.const 3000) (i32.const 2)) (memory.fill (i32.const 3004) (i32.const 255) (i32.const 16))" +
			expect(proxywasm.BadArgument, "proxy_set_header_map_pairs", 0, 3000, 100),
	})
}

// answersOf reply twice, too late or in the wrong place.
func answersOf(add adder) {
	reply := func(status int) string {
		return ignore("proxy_send_local_response", status, 0, 0, 1024, 4, 0, 0, -1)
	}
	add("replying twice", "two local responses at once", answers(201), module{code: reply(201) + reply(202)})
	add("replying twice", "a local response and then on", answers(201), module{code: reply(201) + ignore("proxy_continue_stream", 0) + ignore("proxy_continue_stream", 1)})
	add("replying twice", "a local response to the local response", answers(202), module{
		code: reply(201),
		more: `(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) ` + reply(202) + " (i32.const 0))",
	})
	add("replying after the end", "a local response in log", harmless, module{on: "log", code: reply(201)})
	add("replying after the end", "a local response in done", harmless, module{on: "done", code: reply(201)})
	add("replying after the end", "on in delete", harmless, module{on: "delete", code: ignore("proxy_continue_stream", 0) + ignore("proxy_continue_stream", 1)})
	for _, status := range []int{0, 99, 100, 101, 1000, 70000, most} {
		add("our answers", fmt.Sprintf("a local response of status %d", status), unanswered("status"), module{code: reply(status)}, advisory("CVE-2026-47207"))
	}
	for _, status := range []int{204, 304} {
		add("our answers", fmt.Sprintf("a body with %d", status), answers(status), module{code: reply(status)}, advisory("CVE-2026-48743"))
	}
	add("replying twice", "the stream closed and answered", unanswered("closed the stream"), module{code: ignore("proxy_close_stream", 0) + ignore("proxy_continue_stream", 0)})
	add("other contexts", "an effective context of another", harmless, module{
		code: times(1000, "(drop (call $proxy_set_effective_context (global.get $n)))"),
	})
	add("other contexts", "done without being asked", harmless, module{code: expect(proxywasm.NotFound, "proxy_done")})
}

// plenty wants a million of everything.
func plenty(to adder) {
	const class = "a million of everything"
	add := func(class, name string, want outcome, m module, change ...func(*guest)) {
		to(class, name, want, m, append(change, func(g *guest) { g.timeout = 30 * time.Second })...)
	}
	// numbered has a number in the text at 1024.
	numbered := "(i32.store (i32.const 1024) (global.get $n))"
	const million = 1_000_000
	add(class, "a million log lines", harmless, module{code: times(million, ignore("proxy_log", 2, 1024, 4))})
	add(class, "a million timers", harmless, module{code: times(million, ignore("proxy_set_tick_period_milliseconds", "(global.get $n)"))})
	add(class, "a million queues", harmless, module{code: times(million, numbered+ignore("proxy_register_shared_queue", 1024, 4, 2048))})
	add(class, "a million messages in a queue", harmless, module{
		code: ignore("proxy_register_shared_queue", 1024, 4, 2048) + times(million, ignore("proxy_enqueue_shared_queue", "(i32.load (i32.const 2048))", 0, 1024)),
	})
	add(class, "a million metrics", harmless, module{code: times(million, numbered+ignore("proxy_define_metric", 0, 1024, 4, 2048))})
	add(class, "a million shared keys", harmless, module{code: times(million, numbered+ignore("proxy_set_shared_data", 1024, 4, 0, 1024, 0))})
	add(class, "a million properties", harmless, module{code: times(million, numbered+ignore("proxy_set_property", 1024, 4, 0, 1024))})
	add(class, "a million fields read", harmless, module{code: times(million, readPath), more: pathData})
	add(class, "100,000 calls to nowhere", harmless, module{
		code: times(100_000, ignore("proxy_http_call", 1024, 4, 0, 0, 0, 0, 0, 0, 1000, 2048)),
	})
	add(class, "100,000 gRPC streams to nowhere", harmless, module{
		code: times(100_000, ignore("proxy_grpc_stream", 1024, 4, 1024, 4, 1024, 4, 0, 0, 2048)),
	})
	add("large bodies", "a body that grows for ever", harmless, module{
		on:   "request_body",
		code: times(2000, ignore("proxy_set_buffer_bytes", 0, math.MaxInt32, 0, 0, 131072)),
	})
	add("large bodies", "a local response of 64 MiB", unanswered(""), module{
		memory: "1100",
		code:   ignore("proxy_send_local_response", 200, 0, 0, 0, 64<<20, 0, 0, -1),
	}, func(g *guest) { g.memory = 128 << 20 })
	add("large bodies", "a body from far beyond the end", harmless, module{
		on: "request_body", code: ignore("proxy_get_buffer_bytes", 0, most, most, 2048, 2056) + ignore("proxy_get_buffer_bytes", 0, 1, most, 2048, 2056),
	})
}

// wasiCalls go through WASI.
func wasiCalls(add adder) {
	const class, fault, invalid = "pointers and lengths", 21, 28
	wasi := func(errno int, call string, args ...any) string {
		return fmt.Sprintf("(call $expect (call $wasi_%s %s) (i32.const %d))", call, constants(args), errno)
	}
	add("random_get of 4 GiB", "random_get of 4 GiB", harmless, module{code: wasi(invalid, "random_get", 0, most)})
	add("random_get of 4 GiB", "random_get over the end", harmless, module{code: wasi(fault, "random_get", size-1, 2)})
	add("random_get of 4 GiB", "random numbers a hundred times", harmless, module{code: times(100, wasi(0, "random_get", 65536, 65536))})
	add(class, "fd_write of a list behind the end", harmless, module{code: wasi(fault, "fd_write", 1, size, 1, 2048)})
	add(class, "fd_write of an endless list", harmless, module{code: wasi(invalid, "fd_write", 1, 0, most, 2048)})
	add(class, "fd_write of an endless text", harmless, module{
		code: "(i32.store (i32.const 3000) (i32.const 1024)) (i32.store (i32.const 3004) (i32.const -1))" + wasi(fault, "fd_write", 1, 3000, 1, 2048),
	})
	add(class, "fd_write with its result behind the end", harmless, module{
		code: "(i32.store (i32.const 3000) (i32.const 1024)) (i32.store (i32.const 3004) (i32.const 4))" + wasi(fault, "fd_write", 1, 3000, 1, size-3),
	})
	add(class, "environ_get behind the end", harmless, module{code: ignoreWASI("environ_get", size, most)})
	add(class, "environ_sizes_get behind the end", harmless, module{code: wasi(fault, "environ_sizes_get", size, most)})
	add(class, "args_sizes_get behind the end", harmless, module{code: wasi(fault, "args_sizes_get", size-3, 0)})
	add(class, "clock_time_get behind the end", harmless, module{code: wasi(fault, "clock_time_get", 0, int64(0), size-7)})
	add(class, "fd_fdstat_get behind the end", harmless, module{code: wasi(fault, "fd_fdstat_get", 1, size-3)})
	add(class, "poll_oneoff of an endless list", harmless, module{code: ignoreWASI("poll_oneoff", 0, 0, most, 2048)})
	add(class, "poll_oneoff behind the end", harmless, module{code: ignoreWASI("poll_oneoff", size, size, 1, most)})
	add("endless sleep", "a sleep of 500 years", timesOut, module{
		code: "(memory.fill (i32.const 3000) (i32.const 0) (i32.const 96)) (i32.store (i32.const 3016) (i32.const 1)) (i64.store (i32.const 3024) (i64.const 0x7fffffffffffffff))" +
			ignoreWASI("poll_oneoff", 3000, 3200, 1, 2048),
	})
	add("exits", "exit with 0", outcome{fails: true, kind: plugin.Exited}, module{code: "(call $wasi_proc_exit (i32.const 0))"})
	add("exits", "exit with 1", outcome{fails: true, kind: plugin.Exited}, module{code: "(call $wasi_proc_exit (i32.const 1))"})
	add("exits", "exit while it starts", refused("exited with code 7"), module{more: `(func (export "_initialize") (call $wasi_proc_exit (i32.const 7)))`})
}

func ignoreWASI(call string, args ...any) string {
	return fmt.Sprintf("(drop (call $wasi_%s %s))", call, constants(args))
}

// traps are the ways in which code ends.
func traps(add adder) {
	const class = "traps"
	for name, c := range map[string]struct{ code, more, want string }{
		"unreachable":                        {"(unreachable)", "", "unreachable"},
		"a division by zero":                 {"(drop (i32.div_u (i32.const 1) (i32.const 0)))", "", "divide by zero"},
		"a division that overflows":          {"(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "", "overflow"},
		"a conversion of NaN":                {"(drop (i32.trunc_f32_s (f32.const nan)))", "", "invalid conversion"},
		"a read behind the end":              {"(drop (i32.load (i32.const -4)))", "", "out of bounds"},
		"a write behind the end":             {"(i64.store offset=0xffffffff (i32.const -1) (i64.const 0))", "", "out of bounds"},
		"a fill behind the end":              {"(memory.fill (i32.const 1) (i32.const 0) (i32.const -1))", "", "out of bounds"},
		"a call of nothing":                  {"(call_indirect (i32.const 0))", "(table 1 funcref)", "table"},
		"a call behind the table":            {"(call_indirect (i32.const 9))", "(table 1 funcref)", "table"},
		"a call of another type":             {"(drop (call_indirect (param i32) (result i32) (i32.const 1) (i32.const 0)))", "(func $v) (table funcref (elem $v))", "type mismatch"},
		"an exception that nobody catches":   {"(throw $e)", "(tag $e)", ""},
		"an unaligned atomic of its own VM":  {"(drop (i32.load align=1 (i32.const 262143)))", "", "out of bounds"},
		"a table entry behind the end":       {"(drop (table.get $t (i32.const 5)))", "(table $t 1 funcref)", "table"},
		"a copy between tables too long":     {"(table.copy $t $t (i32.const 0) (i32.const 0) (i32.const 5))", "(table $t 1 funcref)", "table"},
		"a segment that was dropped is read": {"(data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))", `(data $d "x")`, "out of bounds"},
	} {
		add(class, name, trap(c.want), module{code: c.code, more: c.more})
	}
}
