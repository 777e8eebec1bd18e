package wasihttp

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/plugin/host"
)

// maxSubscriptions is how many queues a plugin may hear of.
const maxSubscriptions = 1000

// maxItems is how many items a guest may hold at once.
const maxItems = 1024

// queue is the resource of that name.
type queue struct {
	name  string // of the plugin's own space; "" of another's
	queue host.Queue
}

func queueOpen(g *guest, c *abi.Call) error {
	name := strings.Clone(c.Args[0].Str)
	found, err := g.mod.services.Store.Queues.Open(c.Context(), g.mod.services.Space, name)
	return g.queue(c, &queue{name, found}, err)
}

func queueFind(g *guest, c *abi.Call) error {
	space, name := strings.Clone(c.Args[0].Str), strings.Clone(c.Args[1].Str)
	own := ""
	if space == g.mod.services.Space {
		own = name
	}
	found, err := g.mod.services.Store.Queues.Find(c.Context(), space, name)
	return g.queue(c, &queue{own, found}, err)
}

func (g *guest) queue(c *abi.Call, q *queue, err error) error {
	if err != nil {
		c.Result = c.Err(queueError(c, c.ResultType().Cases[1].Type, err))
		return nil
	}
	c.ReturnOkOwn(q)
	return nil
}

// queueError is the variant t for an error of a queue.
func queueError(c *abi.Call, t *canon.Type, err error) abi.Value {
	switch {
	case errors.Is(err, host.ErrNotFound):
		return c.Case(t, "no-such-queue")
	case errors.Is(err, host.ErrFull):
		return c.Case(t, "full")
	case errors.Is(err, host.ErrTooMany):
		return c.Case(t, "too-many")
	case errors.Is(err, host.ErrBadArgument):
		return c.Case(t, "invalid-name")
	}
	return c.Case(t, "unavailable", abi.String(err.Error()))
}

// queueResult sets the result of a function that has none but an error.
func queueResult(c *abi.Call, err error) error {
	if err != nil {
		c.Result = c.Err(queueError(c, c.ResultType().Cases[1].Type, err))
		return nil
	}
	c.ReturnOk()
	return nil
}

func queueEnqueue(_ *guest, c *abi.Call) error {
	return queueResult(c, c.Args[0].Obj.(*queue).queue.Enqueue(c.Context(), raw(c.Args[1].Str)))
}

// item is the resource of that name.
type item struct{ host.Item }

func queueDequeue(g *guest, c *abi.Call) error {
	if g.items >= maxItems {
		return errTooManyHandle
	}
	found, err := c.Args[0].Obj.(*queue).queue.Dequeue(c.Context())
	switch {
	case errors.Is(err, host.ErrEmpty):
		c.Result = c.Ok(c.None())
		return nil
	case err != nil:
		return queueResult(c, err)
	}
	g.items++
	c.Result = c.Ok(c.Some(c.Own(&item{found})))
	return nil
}

func itemData(_ *guest, c *abi.Call) error {
	c.Result = abi.Bytes(c.Args[0].Obj.(*item).Data())
	return nil
}

func itemAcknowledge(g *guest, c *abi.Call) error {
	i := c.Args[0].Obj.(*item)
	g.items--
	err := i.Acknowledge(c.Context())
	if err != nil {
		i.Release()
	}
	return queueResult(c, err)
}

// releaseItem gives back an item that the guest has dropped, or left behind.
func releaseItem(data, obj any) {
	if g, ok := data.(*guest); ok {
		g.items--
	}
	obj.(*item).Release()
}

// subscriptions are the queues that a plugin hears of.
type subscriptions struct {
	lane *lane

	mu     sync.Mutex
	all    map[string]*subscription
	closed bool
}

type subscription struct {
	name  string
	end   func()
	due   bool // a call is on its way or under way
	again bool // another is to follow
}

// add has the handler called when there are items. It returns host.ErrTooMany if
// there are too many subscriptions; one that is there already stays.
func (s *subscriptions) add(q *queue) error {
	s.mu.Lock()
	if s.all[q.name] != nil || s.closed {
		s.mu.Unlock()
		return nil
	}
	if len(s.all) >= maxSubscriptions {
		s.mu.Unlock()
		return host.ErrTooMany
	}
	sub := &subscription{name: q.name, end: func() {}}
	s.all[q.name] = sub
	s.mu.Unlock()
	end := q.queue.Subscribe(func() { s.notify(sub) }) // which may notify at once
	s.mu.Lock()
	sub.end = end
	closed := s.closed
	s.mu.Unlock()
	if closed {
		end() // which may notify another plugin
	}
	return nil
}

// notify is called when there may be items.
func (s *subscriptions) notify(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.due {
		sub.again = true
		return
	}
	s.post(sub)
}

// post has the handler called. The lock is held.
func (s *subscriptions) post(sub *subscription) {
	sub.due = s.lane.post(job{
		task: task{handler: onItem, call: func(f *abi.Func) error {
			return f.Call(context.Background(), []abi.Value{abi.String(sub.name)}, nil)
		}},
		done: func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			sub.due = false
			if sub.again {
				sub.again = false
				s.post(sub)
			}
		},
	})
}

// close ends all subscriptions.
func (s *subscriptions) close() {
	s.mu.Lock()
	s.closed = true
	var ends []func()
	for _, sub := range s.all {
		ends = append(ends, sub.end)
	}
	s.mu.Unlock()
	for _, end := range ends {
		end()
	}
}

func queueSubscribe(g *guest, c *abi.Call) error {
	q := c.Args[0].Obj.(*queue)
	t := c.ResultType().Cases[1].Type
	switch {
	case q.name == "":
		c.Result = c.Err(c.Case(t, "not-yours"))
		return nil
	case !g.mod.exports[onItem]:
		c.Result = c.Err(c.Case(t, "no-handler"))
		return nil
	}
	return queueResult(c, g.mod.queues.add(q))
}
