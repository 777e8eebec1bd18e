package cache_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/extproc/extproc/abi/cache"
)

// thing is what is shared in these tests.
type thing struct{ freed atomic.Bool }

func newThing(context.Context) (*thing, error) { return &thing{}, nil }

// TestSharedStorm: whoever has taken a value finds it alive until it drops it, and
// nothing is left when all have.
func TestSharedStorm(t *testing.T) {
	const users, rounds, keys = 8, 5000, 3
	var made, freed atomic.Int64
	s := cache.NewShared[int](func(_ context.Context, v *thing) error {
		if v.freed.Swap(true) {
			t.Error("freed twice")
		}
		freed.Add(1)
		return nil
	})
	failing := errors.New("fails")
	var all sync.WaitGroup
	for range users {
		all.Go(func() {
			for range rounds {
				ctx, cancel := context.WithCancel(t.Context())
				if rand.IntN(4) == 0 {
					cancel()
				}
				key := rand.IntN(keys)
				v, err := s.Take(ctx, key, func(ctx context.Context) (*thing, error) {
					if err := ctx.Err(); err != nil {
						return nil, err
					}
					if rand.IntN(8) == 0 {
						return nil, failing
					}
					made.Add(1)
					return &thing{}, nil
				})
				switch {
				case err == nil:
					if v.freed.Load() {
						t.Error("got what was freed")
					}
					if err := s.Drop(ctx, key); err != nil {
						t.Error(err)
					}
				case errors.Is(err, failing):
				case ctx.Err() == nil:
					t.Errorf("%v, although nobody has called this one off", err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if n := s.Len(); n != 0 || made.Load() != freed.Load() || made.Load() == 0 {
		t.Errorf("%d are left, %d were made and %d freed", n, made.Load(), freed.Load())
	}
}

// TestSharedOnce: those who wait for one that is being made get that one, and one
// that is called off has the next make its own.
func TestSharedOnce(t *testing.T) {
	s := cache.NewShared[string](func(context.Context, *thing) error { return nil })
	begun, calledOff := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(calledOff)
		_, err := s.Take(ctx, "a", func(ctx context.Context) (*thing, error) {
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the one called off: %v", err)
		}
	}()
	<-begun
	const waiting = 4
	got := make(chan *thing, waiting)
	for range waiting {
		go func() {
			v, err := s.Take(t.Context(), "a", newThing)
			if err != nil {
				t.Error(err)
			}
			got <- v
		}()
	}
	cancel()
	<-calledOff
	first := <-got
	for range waiting - 1 {
		if v := <-got; v != first {
			t.Error("another one")
		}
	}
	for range waiting {
		if err := s.Drop(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	}
	if s.Len() != 0 {
		t.Error("it is kept")
	}
}
