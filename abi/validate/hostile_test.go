package validate_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func leb(n int) string {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return string(append(b, byte(n)))
}

// typeIdx is a type index, a signed number, in two bytes.
func typeIdx(n int) string { return string([]byte{byte(n) | 0x80, byte(n >> 7)}) }

// vec is a section that holds a vector of items.
func vec(id byte, items ...string) string {
	content := leb(len(items)) + strings.Join(items, "")
	return string(rune(id)) + leb(len(content)) + content
}

// repeat is n items made from their numbers.
func repeat(n int, item func(i int) string) []string {
	items := make([]string, n)
	for i := range items {
		items[i] = item(i)
	}
	return items
}

func name(s string) string { return leb(len(s)) + s }

// TestHostile validates small components whose types multiply. Whether they
// are refused or accepted, it must take neither long nor much memory.
func TestHostile(t *testing.T) {
	// 3,000 exported records in an instance type.
	bigInstance := "\x42" + leb(6000) + strings.Join(repeat(3000, func(i int) string {
		return "\x01\x72\x01\x01x" + leb(0x7d) + "\x04\x00" + name(fmt.Sprint("r", i)) + "\x03\x00" + leb(2*i)
	}), "")
	importOf := func(typ string) func(int) string {
		return func(i int) string { return "\x00" + name(fmt.Sprint("i", i)) + typ }
	}
	// A module type with 20,000 exports, and a component that imports it.
	bigModule := "\x50" + leb(20001) + "\x01\x60\x00\x00" + strings.Join(repeat(20000, func(i int) string {
		return "\x03" + name(fmt.Sprint("f", i)) + "\x00\x00"
	}), "")
	needsModule := preamble + "\x06\x06\x01\x00\x10\x02\x01\x00" + vec(10, "\x00\x01m\x00\x11\x00")
	for _, tt := range []struct{ name, wasm, want string }{
		{"variants double", vec(7, repeat(90, func(i int) string {
			if i == 0 {
				return "\x7d"
			}
			return "\x71\x02\x01a\x01" + typeIdx(i-1) + "\x00\x01b\x01" + typeIdx(i-1) + "\x00"
		})...), "written out, the type has more than 65536 parts"},
		{"lists in lists", vec(7, repeat(1000, func(i int) string {
			if i == 0 {
				return "\x7d"
			}
			return "\x70" + typeIdx(i-1)
		})...), "types are nested more than 100 deep"},
		{"instances double", "\x05\x03\x01\x01\x00" + vec(5, repeat(40, func(i int) string {
			return "\x01\x02\x00\x01a\x05" + leb(i) + "\x00\x01b\x05" + leb(i)
		})...), "written out, the type has more than"},
		{"instances in instances", "\x05\x03\x01\x01\x00" + vec(5, repeat(1000, func(i int) string {
			return "\x01\x01\x00\x01a\x05" + leb(i)
		})...), "types are nested more than 200 deep"},
		{"a large instance imported often", vec(7, bigInstance) + vec(10, repeat(5000, importOf("\x05\x00"))...),
			"too complex"},
		{"a large instance exported often", vec(7, bigInstance) + vec(10, importOf("\x05\x00")(0)) +
			vec(11, repeat(5000, func(i int) string { return "\x00" + name(fmt.Sprint("e", i)) + "\x05" + leb(i) + "\x00" })...),
			"too complex"},
		{"a large module matched often", vec(3, bigModule) + vec(10, "\x00\x01m\x00\x11\x00") +
			"\x04" + name(needsModule) +
			vec(5, repeat(10000, func(int) string { return "\x00\x00\x01\x01m\x00\x11\x00" })...), "too complex"},
		{"long names in a long path", vec(7, strings.Repeat("\x42\x01\x01", 90)+"\x72\x01"+name(strings.Repeat("a", 90000))+"\x01"),
			"type index 1 is out of bounds"},
		{"many components", strings.Repeat("\x04"+name(preamble), 130000), ""},
		{"wide types", vec(7, repeat(60000, func(i int) string {
			if i == 0 {
				return "\x6f\x11" + strings.Repeat("\x7d", 17)
			}
			return "\x6f\x01\x00"
		})...), ""},
		{"many types", vec(7, repeat(60000, func(int) string { return "\x6f\x01\x7d" })...), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			err := check([]byte(preamble + tt.wasm))
			runtime.ReadMemStats(&after)
			t.Logf("%d bytes: %v, %d MB", len(tt.wasm), time.Since(start), (after.TotalAlloc-before.TotalAlloc)>>20)
			if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 256 {
				t.Errorf("allocated %d MB", mb)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %.300v, want %q", err, tt.want)
			}
			if err != nil && len(err.Error()) > 1<<18 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
		})
	}
}
