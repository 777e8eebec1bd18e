package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrPoolClosed is the error of a lease from a pool that has been closed.
var ErrPoolClosed = errors.New("the plugin is closed")

// PoolConfig says how a pool makes and ends what it pools.
type PoolConfig[T any] struct {
	New   func(ctx context.Context) (T, error)
	Close func(T)
	// Warm is how many are kept ready, at least one.
	Warm int
	// Max is how many may exist at once, 0 for any number; leases beyond wait.
	Max int
}

// Pool leases things that are dear to make, one user at a time. The one used
// last is leased first, for the sake of caches. It is safe for concurrent use.
type Pool[T any] struct {
	cfg PoolConfig[T]

	mu      sync.Mutex
	idle    []T
	live    int // idle, leased or being made
	waiting []chan grant[T]
	closed  bool
	empty   chan struct{} // closed when a closed pool's last one is gone
}

// grant is what a waiting lease gets: one of the pool's, or leave to make one.
type grant[T any] struct {
	value T
	make  bool
	err   error
}

// NewPool makes a pool with cfg.Warm things in it, so that what can't be made
// fails here.
func NewPool[T any](ctx context.Context, cfg PoolConfig[T]) (*Pool[T], error) {
	cfg.Warm = max(cfg.Warm, 1)
	if cfg.Max > 0 {
		cfg.Warm = min(cfg.Warm, cfg.Max)
	}
	p := &Pool[T]{cfg: cfg, empty: make(chan struct{})}
	for range cfg.Warm {
		v, err := cfg.New(ctx)
		if err != nil {
			for _, v := range p.idle {
				cfg.Close(v)
			}
			return nil, err
		}
		p.idle = append(p.idle, v)
		p.live++
	}
	return p, nil
}

// Lease hands out one that nobody else uses until it is given back with Return
// or Discard. It waits while Max are in use.
func (p *Pool[T]) Lease(ctx context.Context) (T, error) { return p.LeaseBy(ctx, 0) }

// LeaseBy is Lease that waits until due at the latest.
func (p *Pool[T]) LeaseBy(ctx context.Context, due Instant) (T, error) {
	var none T
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return none, ErrPoolClosed
	}
	if n := len(p.idle); n > 0 {
		v := p.idle[n-1]
		p.idle[n-1] = none
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return v, nil
	}
	if p.cfg.Max == 0 || p.live < p.cfg.Max {
		p.live++
		p.mu.Unlock()
		return p.make(ctx)
	}
	wait := make(chan grant[T], 1)
	p.waiting = append(p.waiting, wait)
	p.mu.Unlock()

	ctx, cancel := due.Context(ctx)
	defer cancel()
	select {
	case g := <-wait:
		return p.accept(ctx, g)
	case <-ctx.Done():
		p.leave(wait)
		return none, fmt.Errorf("all %d are in use: %w", p.cfg.Max, context.Cause(ctx))
	}
}

func (p *Pool[T]) accept(ctx context.Context, g grant[T]) (T, error) {
	if g.make {
		return p.make(ctx)
	}
	return g.value, g.err
}

// leave gives up a place in the queue, and passes on what came meanwhile.
func (p *Pool[T]) leave(wait chan grant[T]) {
	p.mu.Lock()
	if i := slices.Index(p.waiting, wait); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	switch g := <-wait; {
	case g.make:
		p.gone()
	case g.err == nil:
		p.Return(g.value)
	}
}

// make makes one whose place in live is taken already.
func (p *Pool[T]) make(ctx context.Context) (T, error) {
	v, err := p.cfg.New(ctx)
	if err != nil {
		p.gone()
	}
	return v, err
}

// Return gives back one that is as good as new.
func (p *Pool[T]) Return(v T) {
	p.mu.Lock()
	if wait := p.next(); wait != nil {
		p.mu.Unlock()
		wait <- grant[T]{value: v}
		return
	}
	if p.closed {
		p.mu.Unlock()
		p.cfg.Close(v)
		p.gone()
		return
	}
	p.idle = append(p.idle, v)
	p.mu.Unlock()
}

// Discard gives back one that must not be used again.
func (p *Pool[T]) Discard(v T) {
	p.cfg.Close(v)
	p.gone()
}

// Drain ends what is idle, so that it is made anew. What is leased is its user's
// to discard.
func (p *Pool[T]) Drain() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, v := range idle {
		p.Discard(v)
	}
}

// gone takes note that there is one less, and sees to its successor.
func (p *Pool[T]) gone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.next(); wait != nil {
		wait <- grant[T]{make: true} // has room, so this can't block
		return
	}
	p.live--
	if p.closed {
		if p.live == 0 {
			close(p.empty)
		}
		return
	}
	if p.live < p.cfg.Warm {
		p.live++
		go p.refill()
	}
}

// refill replaces one that was discarded. Failing, it leaves the next lease to
// try again and to report why.
func (p *Pool[T]) refill() {
	v, err := p.cfg.New(context.Background())
	if err == nil {
		p.Return(v)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait := p.next(); wait != nil {
		wait <- grant[T]{make: true}
		return
	}
	p.live--
	if p.closed && p.live == 0 {
		close(p.empty)
	}
}

// next takes the first waiting lease from the queue.
func (p *Pool[T]) next() chan grant[T] {
	if len(p.waiting) == 0 {
		return nil
	}
	wait := p.waiting[0]
	p.waiting = slices.Delete(p.waiting, 0, 1)
	return wait
}

// Live is how many exist.
func (p *Pool[T]) Live() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}

// Count is how many are leased or being made, and how many are not.
func (p *Pool[T]) Count() (busy, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live - len(p.idle), len(p.idle)
}

// Close ends the pool: what is idle is closed now, what is leased when it is
// given back. It waits for that until ctx is done.
func (p *Pool[T]) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.live -= len(idle)
	for wait := p.next(); wait != nil; wait = p.next() {
		wait <- grant[T]{err: ErrPoolClosed}
	}
	if p.live == 0 {
		close(p.empty)
	}
	p.mu.Unlock()
	for _, v := range idle {
		p.cfg.Close(v)
	}
	select {
	case <-p.empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
