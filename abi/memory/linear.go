package memory

import (
	"errors"
	"fmt"
	"sync"
)

// Linear is one linear memory. Only one goroutine may use it at a time, but Free
// may be called by any, and more than once. After Free no slice of the memory
// may be used.
type Linear struct {
	set  *Set
	most uint64 // declared maximum, in bytes

	mu      sync.Mutex // guards against a Free from elsewhere
	res     *reservation
	started bool
	freed   bool
	size    uint64 // in bytes
	image   *Image
	// grown is the size that Shrink has found, when Reset has yet to clear it.
	grown int
	// shrinking makes Reallocate answer with the size that Shrink wants.
	shrinking bool
	history   history
	runner    runner
}

// Reallocate implements experimental.LinearMemory: it changes the size to size
// bytes, or returns nil if a limit forbids that. The first call, by which wazero
// creates the memory, always succeeds.
func (l *Linear) Reallocate(size uint64) []byte {
	if size == TickBytes && l.started && !l.shrinking {
		l.tick()
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.freed {
		return nil
	}
	if !l.started {
		l.started = true
		return l.start(size)
	}
	if l.shrinking {
		return l.res.bytes(int(l.size))
	}
	if size < l.size || size > l.set.most || size > uint64(l.res.size()) {
		l.set.refused = true
		return nil
	}
	if l.set.charge(size-l.size) != nil {
		l.set.refused = true
		return nil
	}
	if l.res.commit(int(size)) != nil {
		l.set.refused = true
		l.set.refund(size - l.size)
		return nil
	}
	l.size = size
	return l.res.bytes(int(size))
}

// start creates the memory with its first size. A size over a limit is noted in
// the set and granted: the caller has to close the instance.
func (l *Linear) start(size uint64) []byte {
	a := l.set.alloc
	if size > l.set.most {
		l.refuse(fmt.Errorf("memory: a guest starts with %d bytes, its limit is %d", size, l.set.most))
	} else if err := l.set.charge(size); err != nil {
		l.refuse(err)
	} else {
		l.size = size
	}
	res, err := a.take(int(max(min(l.most, a.cfg.MaxBytes), size)))
	if err == nil {
		if err = res.commit(int(size)); err != nil {
			res.unmap()
		}
	}
	if err != nil {
		l.refuse(fmt.Errorf("memory: cannot reserve %d bytes: %w", size, err))
		res = onHeap(int(size))
	}
	l.res = res
	return res.bytes(int(size))
}

func (l *Linear) refuse(err error) {
	if l.set.err == nil {
		l.set.err = err
	}
}

// Free implements experimental.LinearMemory.
func (l *Linear) Free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.freed {
		return
	}
	l.freed = true
	if !l.started {
		return
	}
	l.set.refund(l.size)
	if l.res.clear(l.image) {
		l.set.alloc.give(l.res)
	}
	l.res = nil
	if l.image != nil {
		l.image.release()
		l.image = nil
	}
}

// Bytes is the memory's content. It stays valid until the memory is freed or
// grows.
func (l *Linear) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.res == nil {
		return nil
	}
	return l.res.bytes(int(l.size))
}

var errFreed = errors.New("memory: the memory is freed")

// Adopt makes the memory's content that of the image, and Reset go back to it.
// The memory must have the image's size, and be a memory of another instance of
// the same component in the same state, as only its content changes. It must not
// have adopted an image before.
func (l *Linear) Adopt(img *Image) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.adopt(img)
}

func (l *Linear) adopt(img *Image) error {
	switch {
	case l.res == nil:
		return errFreed
	case l.image != nil:
		return errors.New("memory: the memory has an image already")
	case l.size != uint64(img.size):
		return fmt.Errorf("memory: a memory of %d bytes cannot adopt an image of %d", l.size, img.size)
	}
	if !img.retain() {
		return errors.New("memory: the image is closed")
	}
	if err := l.res.adopt(img); err != nil {
		img.release()
		return fmt.Errorf("memory: cannot map an image: %w", err)
	}
	l.image = img
	l.history = history{fresh: true}
	return nil
}

// Reset takes the memory's content back to its image. It reports how many pages
// had been written, as far as the system tells them apart. It fails, and the
// instance must be closed, if the memory has grown, has no image, or is freed.
func (l *Linear) Reset() (dirty int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.res == nil || l.image == nil || l.size != uint64(l.image.size) {
		return 0, false
	}
	grown := max(l.grown, l.image.size)
	l.grown = 0
	return l.res.reset(l.image, grown, &l.history)
}

// growable is what Shrink needs of the engine's view of a memory.
type growable interface {
	Grow(pages uint32) (previous uint32, ok bool)
}

// Shrink takes a memory that has grown back to its image's size. Reset is to
// follow: it makes what lies behind zero. The engine has
// no operation for that, but on a growth it adopts whatever size Reallocate
// answers with: so mem, its view of the memory, is grown by a page, and gets
// less. Shrink returns false if the engine refuses, as for a memory at its
// maximum.
func (l *Linear) Shrink(mem growable) bool {
	l.mu.Lock()
	if l.res == nil || l.image == nil {
		l.mu.Unlock()
		return false
	}
	was, size := l.size, uint64(l.image.size)
	if was == size {
		l.mu.Unlock()
		return true
	}
	if mem == nil {
		l.mu.Unlock()
		return false
	}
	l.size, l.shrinking = size, true
	l.mu.Unlock()
	_, ok := mem.Grow(1) // calls Reallocate
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shrinking = false
	if !ok {
		l.size = was
		return false
	}
	l.grown = int(was)
	l.set.refund(was - size)
	return true
}
