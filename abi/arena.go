package abi

import "unsafe"

// arena hands out slices of Values that live until the outermost call of the
// instance has returned.
type arena struct {
	chunk []Value
	used  int
}

const arenaChunk = 256

// take returns n zero Values with no spare capacity.
func (a *arena) take(n int) []Value {
	if a.used+n > len(a.chunk) {
		a.chunk = make([]Value, max(arenaChunk, n, 2*len(a.chunk)))
		a.used = 0
	}
	s := a.chunk[a.used : a.used+n : a.used+n]
	a.used += n
	return s
}

// reset forgets all slices. They are cleared so that nothing a guest or host
// handed over stays reachable.
func (a *arena) reset() {
	clear(a.chunk[:a.used])
	a.used = 0
}

// bytesAsString views b as a string without copying.
func bytesAsString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
