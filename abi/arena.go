package abi

import "unsafe"

// arena hands out slices of Values, last in first out.
type arena struct {
	chunk []Value
	used  int
}

const arenaChunk = 64

// arenaMark is a point an arena can go back to.
type arenaMark struct {
	chunk *Value
	used  int
}

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

func (a *arena) mark() arenaMark { return arenaMark{unsafe.SliceData(a.chunk), a.used} }

// release takes back what was handed out since m, and clears it so that nothing
// a guest or host handed over stays reachable. If the chunk was replaced
// meanwhile the old one is left to the collector.
func (a *arena) release(m arenaMark) {
	from := m.used
	if m.chunk != unsafe.SliceData(a.chunk) {
		from = 0
	}
	clear(a.chunk[from:a.used])
	a.used = from
}

// bytesAsString views b as a string without copying.
func bytesAsString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
