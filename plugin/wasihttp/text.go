package wasihttp

import (
	"strings"
	"unicode/utf8"
	"unsafe"
)

// isToken marks the characters of a token (RFC 9110, 5.6.2).
var isToken = func() (table [256]bool) {
	for c := range table {
		table[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			c < utf8.RuneSelf && strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return table
}()

func validName(name string) bool {
	for i := range len(name) {
		if !isToken[name[i]] {
			return false
		}
	}
	return name != ""
}

// validValue follows RFC 9110, 5.5, and lets blanks stand at either end.
func validValue(value string) bool {
	for i := range len(value) {
		if b := value[i]; b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) < 19
}

// equalFold compares a lower-case name with one that a guest wrote.
func equalFold(name, other string) bool {
	if len(name) != len(other) {
		return false
	}
	for i := range len(name) {
		if name[i] != other[i] && lowerByte(name[i]) != lowerByte(other[i]) {
			return false
		}
	}
	return true
}

func lowerByte(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b | 0x20
	}
	return b
}

// lower is strings.ToLower for ASCII, without a copy where none is needed.
func lower(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			return strings.ToLower(s)
		}
	}
	return s
}

// view is b as a string, without a copy. b must not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// shown is a value as a string: guests get UTF-8 where they expect a string.
func shown(value []byte) string {
	if utf8.Valid(value) {
		return view(value)
	}
	return string([]rune(string(value)))
}

// raw is s as bytes, without a copy. Nobody may change them.
func raw(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
