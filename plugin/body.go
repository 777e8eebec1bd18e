package plugin

import "github.com/extproc/extproc/plugin/buffer"

// Body is a queue of chunks between the proxy and a guest, and how it ended.
type Body struct {
	chunks []Chunk
	head   int
	size   int
	total  uint64 // pushed so far
	taken  bool   // some of it was removed, other than to be moved on

	// Ended is set when no further chunk will be pushed.
	Ended bool
	// Trailers came after the last chunk; nil when there were none. They count
	// once Ended is set.
	Trailers Headers
}

// Chunk is a piece of a body, which may have been lent.
type Chunk = buffer.Chunk

// Push appends a chunk, which the queue then owns. Empty chunks vanish.
func (b *Body) Push(chunk []byte) { b.PushChunk(Chunk{Bytes: chunk}) }

// PushChunk is Push of a chunk that may have been lent.
func (b *Body) PushChunk(c Chunk) {
	if len(c.Bytes) == 0 {
		return
	}
	b.chunks = append(b.chunks, c)
	b.size += len(c.Bytes)
	b.total += uint64(len(c.Bytes))
}

// Pop removes the first chunk; nil when the queue is empty. Whoever takes bytes alone
// may do with them what he likes.
func (b *Body) Pop() []byte { return b.PopChunk().Bytes }

// PopChunk is Pop for who says when he is done.
func (b *Body) PopChunk() Chunk {
	if b.head == len(b.chunks) {
		return Chunk{}
	}
	b.taken = true
	return b.shift()
}

// shift is Pop for a queue that isn't empty, of a chunk that is not lost.
func (b *Body) shift() Chunk {
	chunk := b.chunks[b.head]
	b.chunks[b.head] = Chunk{}
	b.head++
	b.size -= len(chunk.Bytes)
	if b.head == len(b.chunks) {
		b.chunks, b.head = b.chunks[:0], 0
	}
	return chunk
}

// Take removes up to n bytes, from the first chunk only; nil when the queue is
// empty.
func (b *Body) Take(n int) []byte { return b.TakeChunk(n).Bytes }

// TakeChunk is Take for who says when he is done.
func (b *Body) TakeChunk(n int) Chunk {
	if b.head == len(b.chunks) || n <= 0 {
		return Chunk{}
	}
	first := &b.chunks[b.head]
	if n >= len(first.Bytes) {
		return b.PopChunk()
	}
	chunk := Chunk{Bytes: first.Bytes[:n:n], From: first.From}
	first.Bytes = first.Bytes[n:]
	b.size -= n
	b.taken = true
	return chunk
}

// Len is the number of bytes queued.
func (b *Body) Len() int { return b.size }

// Total is the number of bytes that have been queued so far.
func (b *Body) Total() uint64 { return b.total }

// Intact says whether nothing has been removed.
func (b *Body) Intact() bool { return !b.taken }

// moveTo appends what is queued to another queue.
func (b *Body) moveTo(to *Body) {
	for b.head < len(b.chunks) {
		to.PushChunk(b.shift())
	}
}

// prepend moves what another queue holds before what is queued.
func (b *Body) prepend(from *Body) {
	if from.size == 0 {
		return
	}
	b.chunks = append(append([]Chunk(nil), from.chunks[from.head:]...), b.chunks[b.head:]...)
	b.head = 0
	b.size += from.size
	from.chunks, from.head, from.size = nil, 0, 0
}

// Discard drops what is queued.
func (b *Body) Discard() {
	b.taken = b.taken || b.size > 0
	for _, c := range b.chunks[b.head:] {
		c.Done()
	}
	clear(b.chunks)
	b.chunks, b.head, b.size = b.chunks[:0], 0, 0
}
