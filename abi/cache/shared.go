package cache

import (
	"context"
	"errors"
	"sync"
)

// Shared has what is dear to make and the same for all who ask for it by one key.
// It is made for the first of them and freed when the last has dropped it. It is
// safe for concurrent use.
type Shared[K comparable, V any] struct {
	free func(context.Context, V) error

	mu   sync.Mutex
	kept map[K]*kept[V]
}

// kept is a value that is there or being made.
type kept[V any] struct {
	users int           // under Shared.mu
	made  chan struct{} // closed when the following are set
	value V
	err   error
	// calledOff says that the maker's context had ended, so that err is no news for
	// others.
	calledOff bool
}

// NewShared makes an empty one. free frees a value that has no users left.
func NewShared[K comparable, V any](free func(context.Context, V) error) *Shared[K, V] {
	return &Shared[K, V]{free: free, kept: map[K]*kept[V]{}}
}

// Take is the value of a key, to be dropped by who has got it. It calls make if
// there is none, or else waits for one that is being made.
func (s *Shared[K, V]) Take(ctx context.Context, key K, make func(context.Context) (V, error)) (V, error) {
	var none V
	for {
		e, first := s.use(key)
		if first {
			return s.fill(ctx, key, e, make)
		}
		select {
		case <-e.made:
			if e.err == nil || !e.calledOff {
				return e.value, e.err
			}
		case <-ctx.Done():
			return none, errors.Join(context.Cause(ctx), s.drop(ctx, key, e))
		}
		if ctx.Err() != nil {
			return none, context.Cause(ctx)
		}
	}
}

// use finds a value or the place for one, and says if it is empty.
func (s *Shared[K, V]) use(key K) (e *kept[V], first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e = s.kept[key]; e != nil {
		e.users++
		return e, false
	}
	e = &kept[V]{users: 1, made: make(chan struct{})}
	s.kept[key] = e
	return e, true
}

func (s *Shared[K, V]) fill(ctx context.Context, key K, e *kept[V], make func(context.Context) (V, error)) (V, error) {
	defer close(e.made)
	value, err := make(ctx)
	if err != nil {
		e.err, e.calledOff = err, ctx.Err() != nil
		s.mu.Lock()
		delete(s.kept, key) // the next may have more luck
		s.mu.Unlock()
		return value, err
	}
	e.value = value
	return value, nil
}

// Drop gives up a value that was taken; the last one frees it.
func (s *Shared[K, V]) Drop(ctx context.Context, key K) error {
	s.mu.Lock()
	e := s.kept[key]
	s.mu.Unlock()
	return s.drop(ctx, key, e)
}

func (s *Shared[K, V]) drop(ctx context.Context, key K, e *kept[V]) error {
	s.mu.Lock()
	e.users--
	last := e.users == 0 // of a value that could not be made there is none
	if last {
		delete(s.kept, key)
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	return s.free(context.WithoutCancel(ctx), e.value)
}

// Len is how many values there are, those that are being made included.
func (s *Shared[K, V]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}
