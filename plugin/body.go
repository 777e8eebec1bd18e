package plugin

// Body is a queue of chunks between the proxy and a guest, and how it ended.
type Body struct {
	chunks [][]byte
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

// Push appends a chunk, which the queue then owns. Empty chunks vanish.
func (b *Body) Push(chunk []byte) {
	if len(chunk) == 0 {
		return
	}
	b.chunks = append(b.chunks, chunk)
	b.size += len(chunk)
	b.total += uint64(len(chunk))
}

// Pop removes the first chunk; nil when the queue is empty.
func (b *Body) Pop() []byte {
	if b.head == len(b.chunks) {
		return nil
	}
	b.taken = true
	return b.shift()
}

// shift is Pop for a queue that isn't empty, of a chunk that is not lost.
func (b *Body) shift() []byte {
	chunk := b.chunks[b.head]
	b.chunks[b.head] = nil
	b.head++
	b.size -= len(chunk)
	if b.head == len(b.chunks) {
		b.chunks, b.head = b.chunks[:0], 0
	}
	return chunk
}

// Take removes up to n bytes, from the first chunk only; nil when the queue is
// empty.
func (b *Body) Take(n int) []byte {
	if b.head == len(b.chunks) || n <= 0 {
		return nil
	}
	chunk := b.chunks[b.head]
	if n >= len(chunk) {
		return b.Pop()
	}
	b.chunks[b.head] = chunk[n:]
	b.size -= n
	b.taken = true
	return chunk[:n:n]
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
		to.Push(b.shift())
	}
}

// prepend moves what another queue holds before what is queued.
func (b *Body) prepend(from *Body) {
	if from.size == 0 {
		return
	}
	b.chunks = append(append([][]byte(nil), from.chunks[from.head:]...), b.chunks[b.head:]...)
	b.head = 0
	b.size += from.size
	from.chunks, from.head, from.size = nil, 0, 0
}

// Discard drops what is queued.
func (b *Body) Discard() {
	b.taken = b.taken || b.size > 0
	clear(b.chunks)
	b.chunks, b.head, b.size = b.chunks[:0], 0, 0
}
