package natsstore

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/extproc/extproc/plugin/host"
)

// ears listen for notices of a queue as long as somebody in this process has
// subscribed.
type ears struct {
	queue       *queue
	subscribers host.Subscribers

	mu    sync.Mutex
	count int
	look  chan struct{} // look for items now
	close context.CancelFunc
}

// add adds a subscriber.
func (e *ears) add(notify func()) (leave func()) {
	left := e.subscribers.Add(notify)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.count++; e.count == 1 {
		e.open()
	}
	e.lookNow()
	return sync.OnceFunc(func() {
		left()
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.count--; e.count == 0 {
			e.close()
		} else {
			e.lookNow() // the one that has left may have been told of items
		}
	})
}

// open begins to listen. The lock is held.
func (e *ears) open() {
	ctx, cancel := context.WithCancel(context.Background())
	e.look = make(chan struct{}, 1)
	heard := make(chan struct{}, 1)
	sub, err := e.queue.conn.QueueSubscribe(e.queue.notices, "extproc", func(*nats.Msg) {
		e.subscribers.Notify()
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	e.close = func() {
		cancel()
		if err == nil {
			_ = sub.Unsubscribe() // fails only if the connection is closed
		}
	}
	go e.listen(ctx, e.look, heard)
}

func (e *ears) lookNow() {
	if e.look == nil {
		return
	}
	select {
	case e.look <- struct{}{}:
	default:
	}
}

// remind has all queues looked at whose notices may have been lost.
func (s *store) remind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.open {
		q.ears.mu.Lock()
		q.ears.lookNow()
		q.ears.mu.Unlock()
	}
}

const (
	// lookAround is how often a subscriber looks for items of which it has not heard:
	// notices may be lost, and items come again whose taker is gone.
	lookAround = 2 * time.Second
	// lookAgain is how long after a notice it looks whether an item is left: one that
	// was just added may not have been seen by a taker.
	lookAgain = 50 * time.Millisecond
)

// listen looks for items every now and then.
func (e *ears) listen(ctx context.Context, look, notices <-chan struct{}) {
	heard := notices
	timer := time.NewTimer(lookAround)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-heard:
			heard = nil // until after the look
			timer.Reset(lookAgain)
			continue
		case <-look:
		case <-timer.C:
		}
		heard = notices
		if e.queue.some(ctx) {
			e.subscribers.Notify()
		}
		timer.Reset(lookAround)
	}
}

// some says whether there may be items: some that nobody has taken, or that were
// taken by somebody who may be gone.
func (q *queue) some(ctx context.Context) bool {
	found := false
	_ = q.Do(ctx, "look", func(ctx context.Context) error { // the next look may do better
		c, err := q.js.Consumer(ctx, q.stream.Name, q.consumer)
		if err == nil {
			info := c.CachedInfo()
			found = info.NumPending > 0 || info.NumAckPending > 0
		}
		return answer(err)
	})
	return found
}
