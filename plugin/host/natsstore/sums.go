package natsstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/extproc/extproc/plugin/host"
)

// sums put together what callers in this process want to add to the same number,
// who would be in each other's way otherwise. The zero value is ready.
type sums struct {
	mu   sync.Mutex
	keys map[number]*series
}

// number is one that is added to, and how long the sum is to live.
type number struct {
	subject  string
	lifetime time.Duration
}

// series is what is added to one number, one batch after the other.
type series struct{ running, next *batch }

type batch struct {
	total   int64
	callers int
	done    chan struct{}
	sum     int64
	err     error
}

// largest is the most that is put together: nobody's sum is to overflow on behalf of
// another.
const largest = 1 << 40

// add adds to the number of a key with f, for this caller or several.
func (s *sums) add(ctx context.Context, key number, by int64, f func(context.Context, int64) (int64, error)) (int64, error) {
	if by > largest || by < -largest {
		return f(ctx, by)
	}
	b, upTo := s.join(ctx, key, by, f)
	select {
	case <-b.done:
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", host.ErrUnavailable, ctx.Err())
	}
	if b.callers > 1 && errors.Is(b.err, host.ErrBadArgument) {
		return f(ctx, by)
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.sum - b.total + upTo, nil
}

// join adds to the batch that waits, or begins one. upTo is what its callers add up
// to this one.
func (s *sums) join(ctx context.Context, key number, by int64, f func(context.Context, int64) (int64, error)) (b *batch, upTo int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[number]*series{}
	}
	q := s.keys[key]
	if q == nil {
		q = &series{}
		s.keys[key] = q
	}
	if q.next == nil {
		q.next = &batch{done: make(chan struct{})}
	}
	b = q.next
	b.total += by
	b.callers++
	upTo = b.total
	if q.running == nil {
		s.start(context.WithoutCancel(ctx), key, q, f)
	}
	return b, upTo
}

// start runs the batch that waits. It is nobody's own any more, so that the end of
// one caller is not that of the others. The lock is held.
func (s *sums) start(ctx context.Context, key number, q *series, f func(context.Context, int64) (int64, error)) {
	b := q.next
	q.running, q.next = b, nil
	if b == nil {
		delete(s.keys, key)
		return
	}
	go func() {
		b.sum, b.err = f(ctx, b.total)
		close(b.done)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.start(ctx, key, q, f)
	}()
}
