// Package memory allocates the linear memories of guests and takes them back to
// an earlier state. A memory lies in a reservation of address space, so it never
// moves; its state after instantiation becomes an Image that all instances of a
// component share; and Reset undoes what one exchange wrote, at a cost that
// depends on how much that was. Where the system lacks what this needs, memories
// are plain slices and Reset compares all of them with the image.
package memory

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
)

// Config limits an Allocator.
type Config struct {
	// MaxBytes is the size that one memory can reach. memory.grow beyond it
	// yields -1 in the guest.
	MaxBytes uint64
	// Budget is the size that all memories together can reach; 0 is no limit.
	Budget uint64
	// Idle is how many freed reservations are kept for the next memories.
	Idle int
}

// Allocator hands out linear memories. It is safe for concurrent use.
type Allocator struct {
	cfg Config

	mu   sync.Mutex
	used uint64
	idle map[int][]*reservation // by size
	kept int                    // reservations in idle
}

// NewAllocator makes an allocator.
func NewAllocator(cfg Config) *Allocator {
	return &Allocator{cfg: cfg, idle: map[int][]*reservation{}}
}

// MaxBytes is the size that one memory can reach.
func (a *Allocator) MaxBytes() uint64 { return a.cfg.MaxBytes }

// Used is the size of all memories now, in bytes.
func (a *Allocator) Used() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// Close gives idle reservations back to the system. Memories in use stay so;
// they can still be freed.
func (a *Allocator) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, list := range a.idle {
		for _, r := range list {
			r.unmap()
		}
	}
	clear(a.idle)
	a.kept, a.cfg.Idle = 0, 0
}

// charge counts more bytes as used.
func (a *Allocator) charge(more uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cfg.Budget > 0 && (more > a.cfg.Budget || a.used > a.cfg.Budget-more) {
		return fmt.Errorf("memory: %d bytes more on top of %d in use exceed the budget of %d for all guests",
			more, a.used, a.cfg.Budget)
	}
	a.used += more
	return nil
}

func (a *Allocator) refund(bytes uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= bytes
}

// take finds an idle reservation or makes one.
func (a *Allocator) take(size int) (*reservation, error) {
	size = roundUp(size)
	a.mu.Lock()
	list := a.idle[size]
	if n := len(list); n > 0 {
		r := list[n-1]
		list[n-1] = nil
		a.idle[size] = list[:n-1]
		a.kept--
		a.mu.Unlock()
		return r, nil
	}
	a.mu.Unlock()
	return reserve(size)
}

// give keeps a cleared reservation, or not if enough are kept.
func (a *Allocator) give(r *reservation) {
	a.mu.Lock()
	keep := a.kept < a.cfg.Idle
	if keep {
		a.idle[r.size()] = append(a.idle[r.size()], r)
		a.kept++
	}
	a.mu.Unlock()
	if !keep {
		r.unmap()
	}
}

// Set is the memories of one instance. It is the allocator to instantiate with:
//
//	set := alloc.NewSet()
//	ctx = experimental.WithMemoryAllocator(ctx, set)
//	... instantiate the core modules with ctx
//	if err := set.Err(); err != nil { ... close the instance, set.Free() }
//
// wazero has no way for a memory to be refused at instantiation, so a memory
// over a limit is handed out nevertheless and Err tells.
type Set struct {
	alloc   *Allocator
	most    uint64 // that one memory can reach
	linears []*Linear
	err     error
	refused bool
	rouse   chan struct{} // wakes a guest that waits for its turn
	count   *atomic.Int64 // of bytes, for whom it may concern; or nil
}

var _ experimental.MemoryAllocator = (*Set)(nil)

// NewSet makes an empty set.
func (a *Allocator) NewSet() *Set {
	return &Set{alloc: a, most: a.cfg.MaxBytes, rouse: make(chan struct{}, 1)}
}

// Limit lowers the size that one memory of the set can reach, which is the
// allocator's MaxBytes otherwise.
func (s *Set) Limit(bytes uint64) { s.most = min(s.most, bytes) }

// Count has the bytes of the set added to n as long as they are in use.
func (s *Set) Count(n *atomic.Int64) { s.count = n }

func (s *Set) charge(more uint64) error {
	err := s.alloc.charge(more)
	if err == nil && s.count != nil {
		s.count.Add(int64(more))
	}
	return err
}

func (s *Set) refund(bytes uint64) {
	s.alloc.refund(bytes)
	if s.count != nil {
		s.count.Add(-int64(bytes))
	}
}

// Linears are the memories in the order of their allocation. Memories that can
// hold nothing, such as those of metered modules without any, are left out.
func (s *Set) Linears() []*Linear { return s.linears }

// Err is the first limit that a memory of the set was over from its start.
func (s *Set) Err() error { return s.err }

// Refused reports whether a memory of the set was not allowed to grow. A guest
// that then traps has most likely run out of memory.
func (s *Set) Refused() bool { return s.refused }

// Free frees all memories of the set. Closing the instances does so too, but
// wazero forgets those whose instantiation fails.
func (s *Set) Free() {
	for _, l := range s.linears {
		l.Free()
	}
}

// Allocate implements experimental.MemoryAllocator.
func (s *Set) Allocate(_, most uint64) experimental.LinearMemory {
	if most == 0 {
		return empty{}
	}
	l := &Linear{set: s, most: most}
	s.linears = append(s.linears, l)
	return l
}

// empty is a memory of no pages.
type empty struct{}

func (empty) Reallocate(size uint64) []byte {
	if size > 0 {
		return nil
	}
	return []byte{}
}

func (empty) Free() {}
