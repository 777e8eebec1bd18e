package validate_test

import (
	"strings"
	"testing"
)

const (
	preamble = "\x00asm\x0d\x00\x01\x00"
	// A function type (func (param "s" string) (result u32)).
	lenType = "\x07\x08\x01\x40\x01\x01s\x73\x00\x79"
)

// value is a value section with one value.
func value(typ, bytes string) string {
	content := "\x01" + typ + string(rune(len(bytes))) + bytes
	return "\x0c" + string(rune(len(content))) + content
}

// TestValues checks values, which no toolchain emits yet.
func TestValues(t *testing.T) {
	const (
		exportA  = "\x0b\x07\x01\x00\x01a\x02\x00\x00"
		exportAB = "\x0b\x0d\x02\x00\x01a\x02\x00\x00\x00\x01b\x02\x00\x00"
	)
	for _, tt := range []struct{ name, wasm, want string }{
		{"u32", value("\x79", "\xff\xff\xff\xff\x0f") + exportA, ""},
		{"u32 too large", value("\x79", "\xff\xff\xff\xff\x1f"), "a number is malformed"},
		{"s16", value("\x7c", "\x80\x80\x7e") + exportA, ""},
		{"s16 too small", value("\x7c", "\xff\xff\x7d"), "a number is malformed"},
		{"bool", value("\x7f", "\x02"), "its bytes are not a bool: 2 is not less than 2"},
		{"NaN", value("\x76", "\x01\x00\xc0\x7f"), "NaN has one form only"},
		{"char", value("\x74", "\xe2\x98\x83") + exportA, ""},
		{"surrogate", value("\x74", "\xed\xa0\x80"), "a char is malformed"},
		{"string too short", value("\x73", "\x03hi"), "it ends too early"},
		{"bytes left", value("\x73", "\x01hi"), "1 bytes are left"},
		{"tuple", "\x07\x05\x01\x6f\x02\x7d\x7f" + value("\x00", "\x07\x01") + exportA, ""},
		{"case out of range", "\x07\x07\x01\x6d\x02\x01x\x01y" + value("\x00", "\x02"), "2 is not less than 2"},
		{"list", "\x07\x03\x01\x70\x7d" + value("\x00", "\x03abc") + exportA, ""},
		{"list of endless length", "\x07\x03\x01\x70\x7d" + value("\x00", "\xff\xff\xff\xff\x0f"), "it ends too early"},
		{"not used", value("\x7f", "\x01"), "value 0: is never used"},
		{"used twice", value("\x7f", "\x01") + exportAB, "value 0 is used more than once"},
		{"start", lenType + "\x0a\x06\x01\x00\x01f\x01\x00" + value("\x73", "\x02hi") + "\x09\x04\x00\x01\x00\x01" +
			"\x0b\x07\x01\x00\x01n\x02\x01\x00", ""},
		{"start with a wrong type", lenType + "\x0a\x06\x01\x00\x01f\x01\x00" + value("\x7f", "\x01") + "\x09\x04\x00\x01\x00\x01",
			"start > argument 0: expected string, found bool"},
		{"start without its result", lenType + "\x0a\x06\x01\x00\x01f\x01\x00" + value("\x73", "\x00") + "\x09\x04\x00\x01\x00\x00",
			"1 arguments and 0 results do not fit func(s: string) -> u32"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := check([]byte(preamble + tt.wasm))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
