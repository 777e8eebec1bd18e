package proxywasm

import (
	"context"
	"sync"

	"github.com/extproc/extproc/plugin/host"
)

// queueIDs are the numbers by which the guests of a machine know queues.
type queueIDs struct {
	mu     sync.Mutex
	ids    map[queueName]uint32
	queues []host.Queue // the one of id 1 first
}

type queueName struct{ space, name string }

// of is the id of a queue, which is never 0. Of two with the same name, one of
// which must be gone, it is the same.
func (q *queueIDs) of(name queueName, found host.Queue) uint32 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if id := q.ids[name]; id != 0 {
		q.queues[id-1] = found
		return id
	}
	if q.ids == nil {
		q.ids = map[queueName]uint32{}
	}
	q.queues = append(q.queues, found)
	id := uint32(len(q.queues))
	q.ids[name] = id
	return id
}

// find is the queue of an id, or nil.
func (q *queueIDs) find(id uint32) host.Queue {
	q.mu.Lock()
	defer q.mu.Unlock()
	if id == 0 || int64(id) > int64(len(q.queues)) {
		return nil
	}
	return q.queues[id-1]
}

func registerQueue(c *call) Status {
	root := c.cx.root
	if root.id == 0 {
		return InternalFailure
	}
	m := root.vm.machine
	name := queueName{m.vmID, root.vm.name(c.bytes(0))}
	queue, err := m.store.Queues.Open(m.ctx, name.space, name.name)
	if err != nil {
		return statusOf(err)
	}
	id := m.queues.of(name, queue)
	unregister := queue.Subscribe(func() {
		root.vm.post(func() { root.queueReady(id) })
	})
	if earlier := root.queues[id]; earlier != nil {
		earlier() // it hears of the queue once, however often it registers
	}
	if root.queues == nil {
		root.queues = map[uint32]func(){}
	}
	root.queues[id] = unregister
	c.num[0] = uint64(id)
	return OK
}

func (cx *Context) queueReady(id uint32) {
	if cx.gone() {
		return
	}
	cx.lines = 0
	_, _ = cx.vm.invoke(cx, onQueueReady, uint64(cx.id), uint64(id)) // a failed VM has taken note
}

func resolveQueue(c *call) Status {
	m := c.cx.vm.machine
	name := queueName{m.vmID, c.cx.vm.name(c.bytes(1))}
	if other := c.bytes(0); len(other) > 0 {
		name.space = c.cx.vm.name(other)
	}
	queue, err := m.store.Queues.Find(m.ctx, name.space, name.name)
	if err != nil {
		return statusOf(err)
	}
	c.num[0] = uint64(m.queues.of(name, queue))
	return OK
}

func enqueue(c *call) Status {
	m := c.cx.vm.machine
	queue := m.queues.find(c.u32(0))
	if queue == nil {
		return NotFound
	}
	return statusOf(queue.Enqueue(m.ctx, c.bytes(1)))
}

// dequeue takes an item for good: the ABI has nothing to acknowledge one with.
func dequeue(c *call) Status {
	m := c.cx.vm.machine
	queue := m.queues.find(c.u32(0))
	if queue == nil {
		return NotFound
	}
	item, err := queue.Dequeue(m.ctx)
	if err != nil {
		return statusOf(err)
	}
	defer item.Release()
	if err := item.Acknowledge(context.WithoutCancel(m.ctx)); err != nil {
		return statusOf(err)
	}
	c.data = item.Data()
	return OK
}
