package natsstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/extproc/extproc/plugin/host"
)

type queues store

type queueName struct{ space, name string }

// queueStream is the stream of a space's queues. It keeps a message until the consumer of
// its queue has acknowledged it.
func (s *store) queueStream(space string) jetstream.StreamConfig {
	id := s.config.Prefix + "_queues_" + name(space)
	return jetstream.StreamConfig{
		Name: id, Subjects: []string{id + ".>"}, Retention: jetstream.WorkQueuePolicy,
		MaxConsumers: s.queues.Queues, MaxMsgsPerSubject: atMost(s.queues.Items), MaxBytes: int64(s.queues.Bytes),
		Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
	}
}

// Open implements host.Queues.
func (all *queues) Open(ctx context.Context, space, name string) (host.Queue, error) {
	if err := host.CheckQueueName(name); err != nil {
		return nil, err
	}
	s := (*store)(all)
	q := newQueue(s, space, name)
	err := s.call(ctx, "open", q.stream, func(ctx context.Context, st jetstream.Stream) error {
		_, err := st.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: q.consumer, FilterSubject: q.subject, Description: fmt.Sprintf("the queue %.100q of the vm_id %.100q", name, space),
			AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.redelivery, MaxDeliver: -1, MaxAckPending: -1, MaxWaiting: 1 << 14,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.queue(space, name), nil
}

// Find implements host.Queues.
func (all *queues) Find(ctx context.Context, space, name string) (host.Queue, error) {
	if host.CheckQueueName(name) != nil {
		return nil, host.ErrNotFound
	}
	s := (*store)(all)
	q := newQueue(s, space, name)
	err := s.Do(ctx, "find", func(ctx context.Context) error {
		_, err := s.js.Consumer(ctx, q.stream.Name, q.consumer)
		return answer(err)
	})
	if err != nil {
		return nil, err
	}
	return s.queue(space, name), nil
}

// Forget implements host.Queues. Other replicas may use the space.
func (all *queues) Forget(string) {}

// queue is one of this process's queues, of which there is one for each name that
// the server has.
func (s *store) queue(space, name string) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := queueName{space, name}
	q := s.open[id]
	if q == nil {
		q = newQueue(s, space, name)
		s.open[id] = q
	}
	return q
}

// queue is a durable consumer, and the subject of which it gets messages.
type queue struct {
	*store
	stream   jetstream.StreamConfig
	consumer string
	subject  string
	notices  string // the subject of notices
	ears     ears
}

func newQueue(s *store, space, queueName string) *queue {
	q := &queue{store: s, stream: s.queueStream(space), consumer: name(queueName)}
	q.subject = q.stream.Name + "." + q.consumer
	q.notices = "notices." + q.subject
	q.ears.queue = q
	return q
}

// Enqueue implements host.Queue.
func (q *queue) Enqueue(ctx context.Context, item []byte) error {
	err := q.call(ctx, "enqueue", q.stream, func(ctx context.Context, _ jetstream.Stream) error {
		_, err := q.js.Publish(ctx, q.subject, item, jetstream.WithExpectStream(q.stream.Name))
		return err
	})
	if err == nil {
		q.tell()
	}
	return err
}

// tell has one of those hear who have subscribed in any replica. If it is lost, they
// find out themselves a little later.
func (q *queue) tell() { _ = q.conn.Publish(q.notices, nil) }

// nextItem asks for one message, and to be told after 5 ms if there is none. Without
// that time the server would now and then overlook one that it has just
// acknowledged to its sender.
var nextItem = []byte(`{"batch":1,"no_wait":true,"expires":5000000}`)

// Dequeue implements host.Queue.
func (q *queue) Dequeue(ctx context.Context) (host.Item, error) {
	var m *nats.Msg
	err := q.Do(ctx, "dequeue", func(ctx context.Context) (err error) {
		m, err = q.next(ctx)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return fmt.Errorf("%w: nobody has the queue", host.ErrUnavailable)
		case err != nil:
			return err
		}
		return status(m)
	})
	if err != nil {
		return nil, err
	}
	return &item{queue: q, msg: m}, nil
}

// next asks the consumer for a message. The client has this too, but would wait for
// another second when there is no answer.
func (q *queue) next(ctx context.Context) (*nats.Msg, error) {
	inbox := q.conn.NewInbox()
	sub, err := q.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if the connection is closed
	if err := q.conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+q.stream.Name+"."+q.consumer, inbox, nextItem); err != nil {
		return nil, err
	}
	return sub.NextMsgWithContext(ctx)
}

// status says why a message is none: it has a status in place of data.
func status(m *nats.Msg) error {
	if len(m.Data) > 0 || m.Reply != "" {
		return nil
	}
	switch code := m.Header.Get("Status"); code {
	case "404", "408": // no messages, none in time
		return host.ErrEmpty
	default:
		return fmt.Errorf("%w: status %s, %s", host.ErrUnavailable, code, m.Header.Get("Description"))
	}
}

// Subscribe implements host.Queue.
func (q *queue) Subscribe(notify func()) (unsubscribe func()) { return q.ears.add(notify) }

// item is a message that was delivered.
type item struct {
	queue *queue
	msg   *nats.Msg
	done  atomic.Bool
}

// Data implements host.Item.
func (i *item) Data() []byte { return i.msg.Data }

// Acknowledge implements host.Item.
func (i *item) Acknowledge(ctx context.Context) error {
	err := i.queue.Do(ctx, "acknowledge", func(ctx context.Context) error {
		_, err := i.queue.conn.RequestWithContext(ctx, i.msg.Reply, []byte("+ACK"))
		return err
	})
	if err == nil {
		i.done.Store(true)
	}
	return err
}

// Release implements host.Item. If it fails, the item comes again by itself.
func (i *item) Release() {
	if i.done.Swap(true) {
		return
	}
	err := i.queue.Do(context.Background(), "release", func(ctx context.Context) error {
		_, err := i.queue.conn.RequestWithContext(ctx, i.msg.Reply, []byte("-NAK"))
		return err
	})
	if err == nil {
		i.queue.tell()
	}
}
