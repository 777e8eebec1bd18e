package abi

import "unsafe"

// arena hands out slices of Values, last in first out.
type arena struct {
	chunk []Value
	used  int
	high  int // Values of chunk that were in use since forget
}

const arenaChunk = 64

// arenaMark is a point an arena can go back to.
type arenaMark struct {
	chunk *Value
	used  int
}

// take returns n Values with no spare capacity; their content is arbitrary.
func (a *arena) take(n int) []Value {
	from, to := a.used, a.used+n
	if to > len(a.chunk) {
		return a.grow(n)
	}
	a.used = to
	return a.chunk[from:to:to]
}

// grow is take with a new chunk. The old one is left to the collector.
func (a *arena) grow(n int) []Value {
	a.chunk = make([]Value, max(arenaChunk, n, 2*len(a.chunk)))
	a.used, a.high = n, 0
	return a.chunk[:n:n]
}

func (a *arena) mark() arenaMark { return arenaMark{unsafe.SliceData(a.chunk), a.used} }

// release takes back what was handed out since m.
func (a *arena) release(m arenaMark) {
	a.high = max(a.high, a.used)
	a.used = m.used
	if m.chunk != unsafe.SliceData(a.chunk) {
		a.used = 0
	}
}

// forget clears what was taken back.
func (a *arena) forget() {
	clear(a.chunk[a.used:max(a.used, a.high)])
	a.high = a.used
}

// bytesAsString views b as a string without copying.
func bytesAsString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
