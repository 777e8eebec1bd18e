package host

import "sync"

// QueueLimits bounds the shared queues of one vm_id.
type QueueLimits struct {
	Queues int
	Items  int // in one queue
	Bytes  int // in all of them, and itemCost for each item
}

// DefaultQueueLimits are in force unless others are given.
var DefaultQueueLimits = QueueLimits{Queues: 1024, Items: 65_536, Bytes: 64 << 20}

// itemCost is what an item takes beside its bytes.
const itemCost = 24

// Queues are named queues of byte strings, over which guests of different
// plugins and vm_ids talk to each other. They are safe for concurrent use, and
// live as long as the process.
type Queues struct {
	limits QueueLimits

	mu    sync.Mutex
	byID  map[uint32]*queue
	owned map[string]*owned // by vm_id
	last  uint32
}

// owned is the queues of one vm_id.
type owned struct {
	byName map[string]*queue
	bytes  int
}

type queue struct {
	id          uint32
	owner       *owned
	items       [][]byte
	head        int
	subscribers []*subscriber
}

type subscriber struct{ notify func(id uint32) }

// NewQueues makes a set of queues without any. Limits that are 0 are the default
// ones.
func NewQueues(limits QueueLimits) *Queues {
	if limits.Queues == 0 {
		limits.Queues = DefaultQueueLimits.Queues
	}
	if limits.Items == 0 {
		limits.Items = DefaultQueueLimits.Items
	}
	if limits.Bytes == 0 {
		limits.Bytes = DefaultQueueLimits.Bytes
	}
	return &Queues{limits: limits, byID: map[uint32]*queue{}, owned: map[string]*owned{}}
}

// Register makes the queue if there is none and subscribes to it. Of all
// subscribers the latest hears of each item, as in Envoy: notify is called on
// the goroutine that enqueued and must not block. When that one unregisters, the
// one before it takes its place. The id is the same for all; 0 says that there
// are too many queues.
func (q *Queues) Register(vmID, name string, notify func(id uint32)) (id uint32, unregister func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o := q.owned[vmID]
	if o == nil {
		o = &owned{byName: map[string]*queue{}}
		q.owned[vmID] = o
	}
	queued := o.byName[name]
	if queued == nil {
		if len(o.byName) >= q.limits.Queues {
			return 0, func() {}
		}
		queued = &queue{id: q.nextID(), owner: o}
		o.byName[name], q.byID[queued.id] = queued, queued
	}
	s := &subscriber{notify}
	queued.subscribers = append(queued.subscribers, s)
	return queued.id, func() { q.unregister(queued, s) }
}

func (q *Queues) nextID() uint32 {
	for {
		q.last++
		if _, taken := q.byID[q.last]; !taken && q.last != 0 {
			return q.last
		}
	}
}

func (q *Queues) unregister(queued *queue, s *subscriber) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, other := range queued.subscribers {
		if other == s {
			queued.subscribers = append(queued.subscribers[:i:i], queued.subscribers[i+1:]...)
			return
		}
	}
}

// Resolve finds a queue that somebody registered.
func (q *Queues) Resolve(vmID, name string) (uint32, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if o := q.owned[vmID]; o != nil {
		if queued := o.byName[name]; queued != nil {
			return queued.id, true
		}
	}
	return 0, false
}

// Enqueue appends a copy of data. The errors are ErrNotFound and ErrFull.
func (q *Queues) Enqueue(id uint32, data []byte) error {
	item := append(make([]byte, 0, len(data)), data...)
	notify, err := q.push(id, item)
	if notify != nil {
		notify(id)
	}
	return err
}

func (q *Queues) push(id uint32, item []byte) (notify func(uint32), err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	queued := q.byID[id]
	if queued == nil {
		return nil, ErrNotFound
	}
	o := queued.owner
	if len(queued.items)-queued.head >= q.limits.Items || o.bytes+len(item)+itemCost > q.limits.Bytes {
		return nil, ErrFull
	}
	o.bytes += len(item) + itemCost
	queued.items = append(queued.items, item)
	if n := len(queued.subscribers); n > 0 {
		notify = queued.subscribers[n-1].notify
	}
	return notify, nil
}

// Dequeue removes the oldest item, which is the caller's then. The errors are
// ErrNotFound and ErrEmpty.
func (q *Queues) Dequeue(id uint32) ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	queued := q.byID[id]
	switch {
	case queued == nil:
		return nil, ErrNotFound
	case queued.head == len(queued.items):
		return nil, ErrEmpty
	}
	item := queued.items[queued.head]
	queued.items[queued.head] = nil
	queued.head++
	queued.owner.bytes -= len(item) + itemCost
	queued.compact()
	return item, nil
}

// compact moves the items to the front once most of the slice is behind them, so
// that a queue that is never empty doesn't grow.
func (q *queue) compact() {
	if q.head < 64 && q.head < len(q.items) || 2*q.head < len(q.items) {
		return
	}
	n := copy(q.items, q.items[q.head:])
	clear(q.items[n:])
	q.items, q.head = q.items[:n], 0
}

// Forget drops the queues of a vm_id and what they hold.
func (q *Queues) Forget(vmID string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if o := q.owned[vmID]; o != nil {
		for _, queued := range o.byName {
			delete(q.byID, queued.id)
		}
		delete(q.owned, vmID)
	}
}
