// Package buffer has memory for messages and bodies that is used again while it is
// still in the processor's cache. Memory that is not given back is left to Go's heap:
// whoever hands on what is in it may forget where it came from.
package buffer

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers have as many bytes as a power of two and some more, for what is around a body
// that is one. Smaller ones are not worth the trouble, larger ones are seldom needed. None
// has more than twice the bytes that it was asked for: only those are counted.
const (
	spare    = 8 << 10
	smallest = 15 // powers of two
	largest  = 18
	worth    = (1<<smallest + spare) / 2
)

var kept [largest - smallest + 1]sync.Pool

// Buffer is memory, of which parts are lent.
type Buffer struct {
	memory []byte
	class  int
	lent   int // bytes
}

// New is a buffer with room for n bytes, or nil if that is none of the sizes that are
// kept.
func New(n int) *Buffer {
	if n <= worth || n > 1<<largest+spare {
		return nil
	}
	class := max(bits.Len(uint(max(n-spare, 1)-1))-smallest, 0)
	if b, ok := kept[class].Get().(*Buffer); ok {
		return b
	}
	return &Buffer{memory: make([]byte, 1<<(smallest+class)+spare), class: class}
}

// Memory is the whole of it, with whatever was there before.
func (b *Buffer) Memory() []byte { return b.memory }

// Lend says how many of its bytes are about to be handed on.
func (b *Buffer) Lend(n int) {
	if b != nil {
		b.lent = n
	}
}

// Chunk is bytes, and the memory that they are in if that is to be given back, or nil.
type Chunk struct {
	Bytes []byte
	From  *Buffer
}

// Room is an empty chunk with room for n bytes.
func Room(n int) Chunk {
	if b := New(n); b != nil {
		return Chunk{b.memory[:0], b}
	}
	return Chunk{Bytes: make([]byte, 0, n)}
}

// Done gives back what nobody looks at any more. It need not be called.
func (c Chunk) Done() { c.From.Return(len(c.Bytes)) }

var spoils atomic.Bool

// Spoil has all that is given back overwritten from now on, for tests: who still looks
// at it sees something else.
func Spoil() { spoils.Store(true) }

// Return gives back n of the bytes that are lent: nobody looks at them any more. With
// the last of them all of the buffer is. Those of nil are Go's.
func (b *Buffer) Return(n int) {
	if b == nil || n == 0 {
		return
	}
	if b.lent -= n; b.lent != 0 {
		return
	}
	if spoils.Load() {
		for i := range b.memory {
			b.memory[i] = '!'
		}
	}
	kept[b.class].Put(b)
}
