package plugin

import "unsafe"

// Copies makes copies of what guests hand over, names and values, many of them in one
// piece of memory. That is never used again: what goes on outlives the guest.
type Copies struct{ free []byte }

const copiesChunk = 512

// Bytes is a copy of s.
func (t *Copies) Bytes(s string) []byte {
	if len(s) > len(t.free) {
		if len(s) > copiesChunk/2 {
			return []byte(s)
		}
		t.free = make([]byte, copiesChunk)
	}
	b := t.free[:len(s):len(s)]
	t.free = t.free[len(s):]
	copy(b, s)
	return b
}

// String is a copy of s.
func (t *Copies) String(s string) string { return view(t.Bytes(s)) }

// Lower is a copy of a name in lower case.
func (t *Copies) Lower(s string) string {
	b := t.Bytes(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return view(b)
}

func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
