package hostile

import (
	"fmt"
	"strings"
	"time"

	"github.com/extproc/extproc/plugin"
)

const (
	theRequest = "(local.get $request)"
	theOut     = "(local.get $out)"
)

// componentGuests are the components of wasi:http/proxy.
func componentGuests() []guest {
	var list []guest
	add := func(class, name string, want outcome, c component, change ...func(*guest)) {
		g := guest{name: name + " (component)", class: class, text: componentText(c), want: want}
		for _, f := range change {
			f(&g)
		}
		list = append(list, g)
	}
	handles(add)
	strs(add)
	lists(add)
	reallocs(add)
	componentLoops(add)
	return append(list, treeGuests()...)
}

type componentAdder func(class, name string, want outcome, c component, change ...func(*guest))

// handles are used twice, of the wrong type, too late or in great number.
func handles(add componentAdder) {
	const twice, other = "handles dropped twice", "handles of another type"
	add("harmless", "nothing out of the ordinary", answers(200), component{})
	add(twice, "the request dropped twice", trap("unknown handle"), component{code: do("drop-request", theRequest) + do("drop-request", theRequest)}, advisory("CVE-2026-34943"))
	add(twice, "fields dropped twice", trap("unknown handle"), component{code: "(local.set $request " + do("fields") + ")" + do("drop-fields", theRequest) + do("drop-fields", theRequest)})
	add(twice, "fields given away and dropped", trap("used with the wrong type"), component{code: "(local.set $request " + do("fields") + ")" + forget("response", theRequest) + do("drop-fields", theRequest)})
	add(twice, "fields given away twice", trap("used with the wrong type"), component{code: "(local.set $request " + do("fields") + ")" + forget("response", theRequest) + forget("response", theRequest)})
	add(other, "the request as fields", trap("handle"), component{code: do("drop-fields", theRequest)})
	add(other, "the outparam as a request", trap("handle"), component{code: do("method", theOut, 16)})
	add(other, "a handle of the guest's own resource as fields", trap("handle"), component{code: "(local.set $request " + do("own-new", 7) + ")" + do("drop-fields", theRequest)})
	add(other, "fields as the guest's own resource", trap("handle"), component{code: "(local.set $request " + do("fields") + ")" + forget("own-rep", theRequest)})
	for _, h := range []int{0, 77, 1 << 16, 1 << 28, 1 << 30, most} {
		add("handles of another instance", fmt.Sprintf("handle %d that it never got", h), trap("unknown handle index"), component{code: do("method", h, 16)})
		add("handles of another instance", fmt.Sprintf("handle %d dropped that it never got", h), trap("unknown handle index"), component{code: do("drop-fields", h)})
	}
	add("handles leaked", "a hundred fields leaked", answers(200), component{code: times(100, forget("fields"))})
	add("handles leaked", "the request leaked", answers(200), component{code: forget("headers", theRequest)})
	add("a million handles", "a million fields", trap(""), component{code: times(1_000_000, forget("fields"))}, advisory("CVE-2026-27204"))
	add("a million handles", "a million pollables", trap(""), component{code: times(1_000_000, forget("subscribe", int64(1<<40)))}, advisory("CVE-2026-27204"))
	add("a million handles", "a million of its own", trap("handle"), component{code: times(1_000_000, forget("own-new", 1))}, advisory("CVE-2026-27204"))
	add("a million handles", "a million made and dropped", answers(200), component{code: times(1_000_000, do("drop-fields", do("fields")))}, long)
	add("borrows that outlive a call", "the request used after it was dropped", trap("unknown handle"), component{code: do("drop-request", theRequest) + do("method", theRequest, 16)})
	add("borrows that outlive a call", "headers used after their request", trap(""), component{code: "(local.set $out " + do("headers", theRequest) + ")" + do("drop-request", theRequest) + do("entries", theOut, 16) + "(unreachable)"})
	add("replying twice", "two answers", harmlessAfter, component{code: "(call $answer (local.get $out))"})
	add("replying twice", "the outparam dropped", trap("handle"), component{code: do("drop-outparam", theOut)})
}

func long(g *guest) { g.timeout = 30 * time.Second }

// strs are strings in all encodings that aren't any.
func strs(add componentAdder) {
	const class = "strings"
	utf8 := advisory("CVE-2026-34941")
	try := func(name string, want outcome, encoding string, at, length int, data string) {
		more := ""
		if data != "" {
			more = bytesAt(1100, data)
		}
		add(class, fmt.Sprintf("%s in %s", name, encoding), want, component{
			encoding: encoding, more: more,
			code: do("append", do("fields"), at, length, 1032, 1, 16) + "(call $expect (i32.load8_u (i32.const 16)) (i32.const 0))",
		}, utf8)
	}
	const bounds = "out of bounds"
	pages := 20 * 65536
	for _, encoding := range []string{"utf8", "utf16", "latin1+utf16"} {
		try("a string behind the end", trap(bounds), encoding, pages, 2, "")
		try("a string over the end", trap(bounds), encoding, pages-2, 16, "")
		try("a pointer and a length that overflow", trap("string"), encoding, most&^1, most, "")
		try("a string of half the memory there can be", trap("string"), encoding, 2, 1<<30, "")
		try("an empty string behind the end", trap(bounds), encoding, pages+2, 0, "")
	}
	try("a byte that is none", trap("utf-8"), "utf8", 1100, 2, "a\xff")
	try("a sequence cut short", trap("utf-8"), "utf8", 1100, 1, "\xc3\xa9")
	try("a surrogate", trap("utf-8"), "utf8", 1100, 3, "\xed\xa0\x80")
	try("an overlong slash", trap("utf-8"), "utf8", 1100, 2, "\xc0\xaf")
	try("a code point beyond the last", trap("utf-8"), "utf8", 1100, 4, "\xf4\x90\x80\x80")
	try("a high surrogate at the end", trap("surrogate"), "utf16", 1100, 1, "\x3c\xd8\x70\xdf")
	try("a low surrogate first", trap("surrogate"), "utf16", 1100, 2, "\x70\xdf\x3c\xd8")
	try("a surrogate and a letter", trap("surrogate"), "utf16", 1100, 2, "\x3c\xd8a\x00")
	try("an odd pointer", trap("unaligned"), "utf16", 1101, 2, "")
	try("an odd pointer", trap("unaligned"), "latin1+utf16", 1101, 2, "")
	try("a cut surrogate that is tagged", trap("surrogate"), "latin1+utf16", 1100, 1<<31|1, "\x3c\xd8")
	try("a tagged length that is too long", trap("string"), "latin1+utf16", 1100, most, "")
	try("letters", answers(200), "utf16", 1100, 2, "a\x00b\x00")
	try("letters", answers(200), "latin1+utf16", 1100, 2, "ab")
	try("tagged letters", answers(200), "latin1+utf16", 1100, 1<<31|2, "a\x00b\x00")
	for name, text := range map[string]string{"NUL": "a\x00b", "a line break": "a\r\nb", "nothing": "", "a colon first": ":path", "a space": "a b"} {
		add("header syntax", "a name with "+name, answers(200), component{ // header-error
			more: bytesAt(1100, text),
			code: do("append", do("fields"), 1100, len(text), 1032, 1, 16) + "(call $expect (i32.load8_u (i32.const 16)) (i32.const 1))",
		})
	}
	for name, text := range map[string]string{"NUL": "a\x00b", "a line break": "a\r\nb", "LF": "a\nb"} {
		add("header syntax", "a value with "+name, answers(200), component{
			more: bytesAt(1100, text),
			code: do("append", do("fields"), 1024, 4, 1100, len(text), 16) + "(call $expect (i32.load8_u (i32.const 16)) (i32.const 1))",
		})
	}
}

// lists are lists and variants out of range, and results that go to the wrong place.
func lists(add componentAdder) {
	const class = "pointers and lengths"
	pages := 20 * 65536
	for name, l := range map[string][2]int{
		"behind the end": {pages + 4, 1}, "over the end": {pages - 4, 2}, "that overflows": {most &^ 3, most}, "whose size wraps": {0, 1 << 28},
		"as long as 32 bits go": {0, most}, "that isn't aligned": {2, 1},
	} {
		add(class, "a list of fields "+name, trap(""), component{code: do("from-list", l[0], l[1], 16) + "(unreachable)"}, advisory("CVE-2026-35195"))
		add(class, "a list of handles "+name, trap(""), component{code: do("poll", l[0], l[1], 16) + "(unreachable)"}, advisory("CVE-2026-35195"))
	}
	for name, at := range map[string]int{"behind the end": pages, "over the end": pages - 4, "at the last address": most &^ 7, "not aligned": 17} {
		add(class, "a result "+name, trap(""), component{code: do("path", theRequest, at) + "(unreachable)"})
	}
	add(class, "a value behind the end", trap("out of bounds"), component{code: do("append", do("fields"), 1024, 4, pages, 1, 16)})
	add(class, "a write behind the end", trap(""), component{
		code: "(local.set $request " + do("response", do("fields")) + ")" + do("body", theRequest, 16) + do("write", "(i32.load (i32.const 20))", 32) +
			do("write-stream", "(i32.load (i32.const 36))", pages-1, 2, 48) + "(unreachable)",
	})
	const enums = "flags and variants out of range"
	adv := advisory("CVE-2026-34943")
	for _, n := range []int{10, 255, 256, 1 << 16, most} {
		add(enums, fmt.Sprintf("method %d", n), trap("invalid variant discriminant"), component{code: forget("set-method", do("request", do("fields")), n, 0, 0)}, adv)
	}
	add(enums, "an option that is neither", trap("invalid variant discriminant"), component{code: forget("set-path", do("request", do("fields")), 2, 0, 0)}, adv)
	add(enums, "a scheme out of range", trap("invalid variant discriminant"), component{code: forget("set-scheme", do("request", do("fields")), 1, 3, 0, 0)}, adv)
	add(enums, "a result that is neither", trap("invalid variant discriminant"), component{code: do("set", theOut, 2, 0, 0, int64(0), 0, 0, 0, 0)}, adv)
	add(enums, "an error code out of range", trap("invalid variant discriminant"), component{code: do("set", theOut, 1, 39, 0, int64(0), 0, 0, 0, 0)}, adv)
	add("our answers", "a status out of range", trap("unreachable"), component{
		code: "(call $expect " + do("set-status", do("response", do("fields")), 65535) + " (i32.const 0))",
	}, advisory("CVE-2026-47207"))
	add("random_get of 4 GiB", "4 GiB of random numbers", trap("4294967296 bytes asked for"), component{code: do("random", int64(1<<32), 16)})
	add("random_get of 4 GiB", "random numbers as long as 64 bits go", trap("bytes asked for"), component{code: do("random", int64(-1), 16)})
	add("many fields", "32,769 fields", trap("more than 32768 fields"), component{
		code: "(local.set $request " + do("fields") + ")" + times(32769, do("append", theRequest, 1032, 1, 1032, 0, 16)),
	}, advisory("CVE-2026-27572"))
	add("large fields", "a value of 128 KiB", trap("more than 128 KiB"), component{
		more: `(func $fill (memory.fill (i32.const 65536) (i32.const 97) (i32.const 400000)))`,
		code: "(call $fill)" + do("append", do("fields"), 1024, 4, 65536, 128<<10+1, 16) + do("append", do("fields"), 1024, 4, 65536, 400000, 16),
	}, advisory("CVE-2026-27572"))
}

// reallocs give what isn't theirs, and call the host.
func reallocs(add componentAdder) {
	const class = "re-entering malloc"
	path := do("path", theRequest, 16)
	for name, at := range map[string]int{"the end": 20 * 65536, "the last address": most, "4 GiB less a page": -65536} {
		add("pointers and lengths", "a realloc that gives "+name, trap(""), component{realloc: fmt.Sprintf("(i32.const %d)", int32(uint32(at))), code: path})
	}
	add(class, "a realloc that traps", trap("unreachable"), component{realloc: "(unreachable)", code: path})
	add(class, "a realloc without end", timesOut, component{realloc: endless + "(i32.const 0)", code: path})
	add(class, "a realloc without end that calls the host", timesOut, component{
		realloc: "(loop (drop (call $h.now)) (br 0)) (i32.const 0)", reallocImports: []string{"now"}, code: path,
	})
	add(class, "a realloc that recurses", trap("stack"), component{realloc: "(call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1))", code: path})
	add("calling from realloc and post-return", "a realloc that makes fields", trap("cannot leave component instance"), component{
		realloc: "(drop (call $h.fields)) (i32.const 65536)", reallocImports: []string{"fields"}, code: path,
	})
	add("calling from realloc and post-return", "a realloc that reads the clock", answers(200), component{
		realloc: "(drop (call $h.now)) (i32.const 65536)", reallocImports: []string{"now"}, code: path,
	})
	add("calling from realloc and post-return", "a post-return that makes fields", harmlessAfter, component{post: forget("fields")})
	add("calling from realloc and post-return", "a post-return that reads the clock", harmlessAfter, component{post: forget("now")})
	add("endless loop", "a post-return without end", harmlessAfter, component{post: endless}, soon)
}

// harmlessAfter is for what fails when the answer was given: it is in the log.
var harmlessAfter = answers(200).logging("failed after it had answered")

// componentLoops never end, or take all there is.
func componentLoops(add componentAdder) {
	add("endless loop", "a loop", timesOut, component{code: endless})
	add("endless loop", "a loop with a host call", timesOut, component{code: "(loop " + forget("now") + "(br 0))"})
	add("endless loop", "a loop that makes and drops", timesOut, component{code: "(loop " + do("drop-fields", do("fields")) + "(br 0))"})
	add("memory bomb", "all memory, then a trap", outOfMemory, component{code: "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)"})
	add("memory bomb", "all memory", answers(200), component{code: "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))"})
	add("table growth", "a table that grows for ever", answers(200), component{
		code: "(loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1))))", more: "(table $t 1 funcref)",
	})
	add("deep recursion", "a recursion without end", trap("stack overflow"), component{code: "(call $deep)", more: "(func $deep (call $deep))"})
	add("a proxy that loses patience", "a pollable that is never ready", unanswered(""), component{
		code: do("block", do("subscribe", int64(1<<62))),
	}, func(g *guest) { g.want = waits })
	for _, c := range []struct{ name, more string }{{"a start function without end", "(func $f " + endless + ") (start $f)"}, {"a start function that traps", "(func $f (unreachable)) (start $f)"}} {
		add("endless loop", c.name, refused("does not start"), component{more: c.more})
	}
	add("artefacts", "a table of 2 million", refused("table"), component{more: "(table 20000000 funcref)"})
	add("artefacts", "memory that starts above the limit", refused("memory"), component{memory: "60000"})
}

// waits is for a guest that waits for what never comes.
var waits = outcome{waits: true}

// treeGuests are modes of guests that stand in the tree.
func treeGuests() []guest {
	const guests = "internal/guests/"
	var list []guest
	for _, c := range []struct {
		class, guest, path string
		want               outcome
	}{
		{"traps", "trap", "/trap", trap("unreachable")},
		{"endless loop", "loop", "/loop", timesOut},
		{"endless loop", "loop", "/loop-hostcalls", timesOut},
		{"memory bomb", "memory-bomb", "/bomb", outOfMemory},
		{"exits", "exit", "/exit", outcome{fails: true, kind: plugin.Exited}},
		{"exits", "exit", "/exit-failure", outcome{fails: true, kind: plugin.Exited}},
		{"many fields", "hostile", "/many-fields", trap("more than 32768 fields")},
		{"large fields", "hostile", "/large-field", trap("more than 128 KiB")},
		{"a million handles", "hostile", "/many-lists", trap("more header fields held at once")},
		{"a million handles", "hostile", "/pollables", trap("handle")},
		{"handles dropped twice", "hostile", "/drop-twice", trap("")},
		{"handles dropped twice", "hostile", "/drop-parent", trap("before its child resources")},
		{"handles dropped twice", "hostile", "/finish-parent", trap("before its child resources")},
		{"handles leaked", "hostile", "/leak", answers(200)},
		{"random_get of 4 GiB", "hostile", "/random", trap("4294967296 bytes asked for")},
		{"pointers and lengths", "hostile", "/poll-nothing", trap("the list is empty")},
		{"large bodies", "hostile", "/over-budget", trap("more than check-write permitted")},
		{"our answers", "hostile", "/short", unanswered("before it was finished")},
		{"our answers", "hostile", "/long", unanswered("before it was finished")},
		{"our answers", "hostile", "/unfinished", unanswered("before it was finished")},
		{"our answers", "hostile", "/silent", unanswered("without setting response-outparam")},
		{"replying after the end", "hostile", "/trap-after", answers(200).logging("failed after it had answered")},
		{"replying after the end", "hostile", "/exit-after", answers(200)},
	} {
		g := guest{
			name: strings.TrimPrefix(c.path, "/") + " (Rust)", class: c.class, file: guests + c.guest + "/rust.wasm", path: c.path, want: c.want,
		}
		list = append(list, g)
	}
	return list
}
