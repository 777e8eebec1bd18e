package hostile

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/extproc/extproc/plugin/proxywasm"
)

// module is a proxy-wasm module: code that does harm in one of its callbacks, in
// exchanges whose request has a body.
type module struct {
	on   string // the callback, without proxy_on_
	code string
	// result is what the callback returns; 1 pauses the message.
	result int
	malloc string // its allocator's code, if it isn't well-behaved
	more   string // further fields of the module
	memory string // its limits in pages
	always bool   // harm is done in exchanges without a body too
}

// callbackTypes are the callbacks by name: their parameters, whether they have a
// result, and which parameter says that the message ends with its headers.
var callbackTypes = map[string]struct {
	params string
	result string
	end    int
}{
	"vm_start":          {"i32 i32", "i32", -1},
	"configure":         {"i32 i32", "i32", -1},
	"context_create":    {"i32 i32", "", -1},
	"tick":              {"i32", "", -1},
	"done":              {"i32", "i32", -1},
	"log":               {"i32", "", -1},
	"delete":            {"i32", "", -1},
	"request_headers":   {"i32 i32 i32", "i32", 2},
	"request_body":      {"i32 i32 i32", "i32", -1},
	"request_trailers":  {"i32 i32", "i32", -1},
	"response_headers":  {"i32 i32 i32", "i32", 2},
	"response_body":     {"i32 i32 i32", "i32", -1},
	"response_trailers": {"i32 i32", "i32", -1},
}

// wasiTypes are the functions of WASI that guests here call.
var wasiTypes = map[string]string{
	"random_get":        "i32 i32",
	"fd_write":          "i32 i32 i32 i32",
	"environ_get":       "i32 i32",
	"environ_sizes_get": "i32 i32",
	"args_sizes_get":    "i32 i32",
	"clock_time_get":    "i32 i64 i32",
	"poll_oneoff":       "i32 i32 i32 i32",
	"fd_fdstat_get":     "i32 i32",
	"path_open":         "i32 i32 i32 i32 i32 i64 i64 i32 i32",
	"proc_exit":         "i32",
}

// kindTypes are the core types of hostcalls' parameters.
var kindTypes = map[string]string{
	"num32": "i32", "num64": "i64", "map": "i32", "buffer": "i32", "stream": "i32", "level": "i32",
	"bytes": "i32 i32", "pairs": "i32 i32", "out32": "i32", "out64": "i32",
	"bytesOut": "i32 i32", "pairsOut": "i32 i32", "bytesMaybe": "i32 i32",
}

var called = regexp.MustCompile(`\$(proxy|wasi)_\w+`)

// imports are the fields for the functions that a text calls.
func imports(text string) string {
	var b strings.Builder
	seen := map[string]bool{}
	for _, name := range called.FindAllString(text, -1) {
		if seen[name] {
			continue
		}
		seen[name] = true
		if call, ok := strings.CutPrefix(name, "$wasi_"); ok {
			result := " (result i32)"
			if call == "proc_exit" {
				result = ""
			}
			fmt.Fprintf(&b, "(import \"wasi_snapshot_preview1\" %q (func %s (param %s)%s))\n", call, name, wasiTypes[call], result)
			continue
		}
		for _, s := range proxywasm.Signatures() {
			if "$"+s.Name == name {
				var types []string
				for _, kind := range s.Params {
					types = append(types, kindTypes[kind])
				}
				fmt.Fprintf(&b, "(import \"env\" %q (func %s (param %s) (result i32)))\n", s.Name, name, strings.Join(types, " "))
			}
		}
	}
	return b.String()
}

// goodMalloc hands out the memory from the fourth page on, in turns.
const goodMalloc = `
	(local $at i32)
	(if (i32.gt_u (i32.add (global.get $heap) (local.get 0)) (i32.const 262000)) (then (global.set $heap (i32.const 131072))))
	(local.set $at (global.get $heap))
	(global.set $heap (i32.and (i32.add (i32.add (global.get $heap) (local.get 0)) (i32.const 15)) (i32.const -16)))
	(local.get $at)`

// moduleText is a module as text. What it has in its memory: "text" at 1024, "x" at
// 1032; its results go to 2048 and on.
func moduleText(m module) string {
	on := m.on
	if on == "" {
		on = "request_headers"
	}
	t := callbackTypes[on]
	code := m.code
	if t.end >= 0 && !m.always {
		code = fmt.Sprintf("(if (i32.eqz (local.get %d)) (then %s))", t.end, code)
	}
	result := ""
	if t.result != "" {
		result = " (result i32)"
		value := m.result
		if on == "vm_start" || on == "configure" || on == "done" {
			value = 1
		}
		code += fmt.Sprintf(" (i32.const %d)", value)
	}
	malloc := m.malloc
	if malloc == "" {
		malloc = goodMalloc
	}
	memory := m.memory
	if memory == "" {
		memory = "4"
	}
	body := fmt.Sprintf(`
	(memory (export "memory") %s)
	(data (i32.const 1024) "text\00\00\00\00x")
	(global $heap (mut i32) (i32.const 131072))
	(global $n (mut i32) (i32.const 0))
	(func $expect (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then (unreachable))))
	(func (export "proxy_abi_version_0_2_1"))
	(func $malloc (export "malloc") (param i32) (result i32) %s)
	(func (export "proxy_on_%s") (param %s)%s %s)
	%s`, memory, malloc, on, t.params, result, code, m.more)
	return "(module " + imports(body) + body + ")"
}

// times repeats code.
func times(n int, code string) string {
	return fmt.Sprintf(`(global.set $n (i32.const 0)) (loop $again %s
		(global.set $n (i32.add (global.get $n) (i32.const 1)))
		(br_if $again (i32.lt_u (global.get $n) (i32.const %d))))`, code, n)
}

// expect is a call that has to give a status.
func expect(status proxywasm.Status, call string, args ...any) string {
	return fmt.Sprintf("(call $expect (call $%s %s) (i32.const %d))", call, constants(args), status)
}

// ignore is a call whatever it gives.
func ignore(call string, args ...any) string {
	return fmt.Sprintf("(drop (call $%s %s))", call, constants(args))
}

// constants are arguments: numbers, or code.
func constants(args []any) string {
	var list []string
	for _, a := range args {
		switch a := a.(type) {
		case int:
			list = append(list, fmt.Sprintf("(i32.const %d)", int32(uint32(a))))
		case int64:
			list = append(list, fmt.Sprintf("(i64.const %d)", a))
		case string:
			list = append(list, a)
		default:
			panic(a)
		}
	}
	return strings.Join(list, " ")
}
