package host

import (
	"cmp"
	"context"
	"sync"
)

// QueueLimits bounds the queues of one space.
type QueueLimits struct {
	Queues int
	Items  int // in one queue
	Bytes  int // in all of them, and itemCost for each item
}

// DefaultQueueLimits are in force unless others are given.
var DefaultQueueLimits = QueueLimits{Queues: 1024, Items: 65_536, Bytes: 64 << 20}

func (l QueueLimits) orDefault() QueueLimits {
	d := DefaultQueueLimits
	return QueueLimits{Queues: cmp.Or(l.Queues, d.Queues), Items: cmp.Or(l.Items, d.Items), Bytes: cmp.Or(l.Bytes, d.Bytes)}
}

// itemCost is what an item takes beside its bytes.
const itemCost = 64

// MemoryQueues are queues in this process. They live as long as the process.
type MemoryQueues struct {
	mu     sync.Mutex
	limits QueueLimits
	spaces map[string]*queueSpace
}

// queueSpace is the queues of one space.
type queueSpace struct {
	queues map[string]*memoryQueue
	bytes  int // of items that are not acknowledged
}

// NewMemoryQueues makes a set of queues without any. Limits that are 0 are the
// default ones.
func NewMemoryQueues(limits QueueLimits) *MemoryQueues {
	m := &MemoryQueues{spaces: map[string]*queueSpace{}}
	m.limit(limits)
	return m
}

// limit changes the limits. What is there already stays.
func (m *MemoryQueues) limit(limits QueueLimits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limits = limits.orDefault()
}

// Open implements Queues.
func (m *MemoryQueues) Open(_ context.Context, space, name string) (Queue, error) {
	if err := CheckQueueName(name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.spaces[space]
	if s == nil {
		s = &queueSpace{queues: map[string]*memoryQueue{}}
		m.spaces[space] = s
	}
	q := s.queues[name]
	if q == nil {
		if len(s.queues) >= m.limits.Queues {
			return nil, ErrTooMany
		}
		q = &memoryQueue{all: m, space: s}
		s.queues[name] = q
	}
	return q, nil
}

// Find implements Queues.
func (m *MemoryQueues) Find(_ context.Context, space, name string) (Queue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.spaces[space]; s != nil {
		if q := s.queues[name]; q != nil {
			return q, nil
		}
	}
	return nil, ErrNotFound
}

// Forget implements Queues.
func (m *MemoryQueues) Forget(space string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.spaces[space]; s != nil {
		for _, q := range s.queues {
			q.gone, q.items = true, nil
		}
		delete(m.spaces, space)
	}
}

type queueCount struct{ items, bytes int }

func (m *MemoryQueues) count() queueCount {
	m.mu.Lock()
	defer m.mu.Unlock()
	var c queueCount
	for _, s := range m.spaces {
		c.bytes += s.bytes
		for _, q := range s.queues {
			c.items += len(q.items) - q.head + q.taken
		}
	}
	return c
}

type memoryQueue struct {
	all         *MemoryQueues
	space       *queueSpace
	subscribers Subscribers

	// The rest is under all.mu. The items before head have been taken.
	items []*memoryItem
	head  int
	taken int // and not acknowledged
	gone  bool
}

// Enqueue implements Queue.
func (q *memoryQueue) Enqueue(_ context.Context, data []byte) error {
	i := &memoryItem{queue: q, data: append(make([]byte, 0, len(data)), data...)}
	if err := q.push(i); err != nil {
		return err
	}
	q.subscribers.Notify()
	return nil
}

func (q *memoryQueue) push(i *memoryItem) error {
	m := q.all
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case q.gone:
		return ErrNotFound
	case len(q.items)-q.head+q.taken >= m.limits.Items, q.space.bytes+i.size() > m.limits.Bytes:
		return ErrFull
	}
	q.space.bytes += i.size()
	q.items = append(q.items, i)
	return nil
}

// Dequeue implements Queue.
func (q *memoryQueue) Dequeue(context.Context) (Item, error) {
	q.all.mu.Lock()
	defer q.all.mu.Unlock()
	switch {
	case q.gone:
		return nil, ErrNotFound
	case q.head == len(q.items):
		return nil, ErrEmpty
	}
	i := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	q.taken++
	i.taken = true
	q.compact()
	return i, nil
}

// compact moves the items to the front once most of the slice is behind them, so
// that a queue that is never empty doesn't grow.
func (q *memoryQueue) compact() {
	if q.head < 64 && q.head < len(q.items) || 2*q.head < len(q.items) {
		return
	}
	n := copy(q.items, q.items[q.head:])
	clear(q.items[n:])
	q.items, q.head = q.items[:n], 0
}

// Subscribe implements Queue.
func (q *memoryQueue) Subscribe(notify func()) (unsubscribe func()) {
	leave := q.subscribers.Add(notify)
	q.remind()
	return func() {
		if leave() {
			q.remind() // the one who was told of what is left may not have come to it
		}
	}
}

// remind tells of what is in the queue.
func (q *memoryQueue) remind() {
	q.all.mu.Lock()
	some := q.head < len(q.items)
	q.all.mu.Unlock()
	if some {
		q.subscribers.Notify()
	}
}

type memoryItem struct {
	queue *memoryQueue
	data  []byte
	taken bool // under queue.all.mu
}

func (i *memoryItem) size() int { return len(i.data) + itemCost }

// Data implements Item.
func (i *memoryItem) Data() []byte { return i.data }

// Acknowledge implements Item.
func (i *memoryItem) Acknowledge(context.Context) error {
	q := i.queue
	q.all.mu.Lock()
	defer q.all.mu.Unlock()
	if q.gone {
		return nil
	}
	if !i.taken {
		return ErrNotFound // it has been given back
	}
	i.taken = false
	q.taken--
	q.space.bytes -= i.size()
	return nil
}

// Release implements Item.
func (i *memoryItem) Release() {
	if i.queue.putBack(i) {
		i.queue.subscribers.Notify()
	}
}

func (q *memoryQueue) putBack(i *memoryItem) bool {
	q.all.mu.Lock()
	defer q.all.mu.Unlock()
	if q.gone || !i.taken {
		return false
	}
	// Whoever still holds this one can't do anything with it any more.
	fresh := &memoryItem{queue: q, data: i.data}
	i.taken = false
	q.taken--
	if q.head > 0 {
		q.head--
		q.items[q.head] = fresh
	} else {
		q.items = append([]*memoryItem{fresh}, q.items...)
	}
	return true
}
