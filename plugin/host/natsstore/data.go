package natsstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/extproc/extproc/plugin/host"
)

// operationHeader is on messages of key-value buckets that are no values.
const operationHeader = "KV-Operation"

type data store

// Bucket implements host.Data.
func (d *data) Bucket(space string, lifetime time.Duration) host.Bucket {
	id := d.config.Prefix + "_" + name(space)
	return &bucket{
		store: (*store)(d), id: id, subject: "$KV." + id + ".",
		// Messages live for whole seconds.
		lifetime: (lifetime + time.Second - 1).Truncate(time.Second),
		config: jetstream.StreamConfig{
			Name: "KV_" + id, Subjects: []string{"$KV." + id + ".>"},
			MaxMsgsPerSubject: 1, MaxMsgs: atMost(d.data.Entries), MaxBytes: int64(d.data.Bytes), Discard: jetstream.DiscardNew,
			AllowMsgTTL: true, AllowRollup: true,
			// Answers come from the stream's leader only: another server's may be old.
			AllowDirect: false,
		},
	}
}

// Forget implements host.Data. Other replicas may use the space.
func (d *data) Forget(string) {}

// bucket is a key-value bucket of NATS: a stream with one message for each key.
type bucket struct {
	*store
	id       string
	subject  string // without the key
	lifetime time.Duration
	config   jetstream.StreamConfig
}

func (b *bucket) call(ctx context.Context, operation string, f func(context.Context, jetstream.Stream) error) error {
	return b.store.call(ctx, operation, b.config, f)
}

// Get implements host.Bucket.
func (b *bucket) Get(ctx context.Context, k string) (host.Entry, error) {
	if len(k) > host.MaxKey {
		return host.Entry{}, host.ErrNotFound
	}
	var e host.Entry
	err := b.call(ctx, "get", func(ctx context.Context, st jetstream.Stream) (err error) {
		e, _, err = b.get(ctx, st, k)
		return err
	})
	return e, err
}

// get finds a value. Of a key that was deleted with NATS's own tools there is a
// message that says so, which a new value has to replace.
func (b *bucket) get(ctx context.Context, st jetstream.Stream, k string) (e host.Entry, last uint64, err error) {
	m, err := st.GetLastMsgForSubject(ctx, b.subject+key(k))
	if err != nil {
		return host.Entry{}, 0, err
	}
	if m.Header.Get(operationHeader) != "" {
		return host.Entry{}, m.Sequence, host.ErrNotFound
	}
	return host.Entry{Value: append([]byte{}, m.Data...), Revision: m.Sequence}, m.Sequence, nil
}

// Put implements host.Bucket.
func (b *bucket) Put(ctx context.Context, k string, value []byte, on host.Condition) error {
	if err := host.CheckKey(k); err != nil {
		return err
	}
	return b.call(ctx, "put", func(ctx context.Context, st jetstream.Stream) error {
		if on == host.Always {
			return b.publish(ctx, k, value)
		}
		if on != host.Absent {
			return b.publish(ctx, k, value, jetstream.WithExpectLastSequencePerSubject(uint64(on)))
		}
		err := b.publish(ctx, k, value, jetstream.WithExpectLastSequencePerSubject(0))
		if !errors.Is(answer(err), host.ErrCasMismatch) {
			return err
		}
		if _, last, gone := b.get(ctx, st, k); errors.Is(gone, host.ErrNotFound) && last != 0 {
			return b.publish(ctx, k, value, jetstream.WithExpectLastSequencePerSubject(last))
		}
		return err
	})
}

func (b *bucket) publish(ctx context.Context, k string, value []byte, options ...jetstream.PublishOpt) error {
	if b.lifetime > 0 {
		options = append(options, jetstream.WithMsgTTL(b.lifetime))
	}
	options = append(options, jetstream.WithExpectStream(b.config.Name))
	_, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: b.subject + key(k), Data: value, Header: nats.Header{}}, options...)
	return err
}

// Remove implements host.Bucket.
func (b *bucket) Remove(ctx context.Context, k string, on host.Condition) error {
	if len(k) > host.MaxKey {
		return host.ErrNotFound
	}
	return b.call(ctx, "remove", func(ctx context.Context, st jetstream.Stream) error {
		long := longEnough(ctx)
		for {
			e, _, err := b.get(ctx, st, k)
			if err != nil {
				return err
			}
			if !on.Met(e.Revision) {
				return host.ErrCasMismatch
			}
			// A message that is not the last for its key any more isn't there any more.
			err = st.DeleteMsg(ctx, e.Revision)
			if on != host.Always || !errors.Is(answer(err), host.ErrCasMismatch) {
				return err
			}
			if long() {
				return errContended
			}
		}
	})
}

// Add implements host.Bucket. What is to be added to a number by callers in this
// process meanwhile is added at once, if it is to live as long.
func (b *bucket) Add(ctx context.Context, k string, by int64) (int64, error) {
	if err := host.CheckKey(k); err != nil {
		return 0, err
	}
	return b.sums.add(ctx, number{b.subject + key(k), b.lifetime}, by, func(ctx context.Context, by int64) (int64, error) {
		var sum int64
		err := b.call(ctx, "add", func(ctx context.Context, st jetstream.Stream) (err error) {
			sum, err = b.add(ctx, st, k, by)
			return err
		})
		return sum, err
	})
}

// add is compare-and-swap until nobody else was faster.
func (b *bucket) add(ctx context.Context, st jetstream.Stream, k string, by int64) (int64, error) {
	long := longEnough(ctx)
	for {
		e, last, err := b.get(ctx, st, k)
		if err != nil && !errors.Is(answer(err), host.ErrNotFound) {
			return 0, err
		}
		sum, err := host.Sum(e.Value, by)
		if err != nil {
			return 0, err
		}
		err = b.publish(ctx, k, strconv.AppendInt(nil, sum, 10), jetstream.WithExpectLastSequencePerSubject(last))
		if !errors.Is(answer(err), host.ErrCasMismatch) {
			return sum, err
		}
		if long() {
			return 0, errContended
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(rand.N(2 * time.Millisecond)):
		}
	}
}

// errContended is the store's own answer: it is there.
var errContended = fmt.Errorf("%w: others write the same key all the time", host.ErrUnavailable)

// longEnough says when half of a call's time is over. Guests who write a key all the
// time could have others' calls of it run out of time otherwise, which says that the
// store is gone.
func longEnough(ctx context.Context) func() bool {
	deadline, ok := ctx.Deadline()
	half := time.Now().Add(time.Until(deadline) / 2)
	return func() bool { return ok && time.Now().After(half) }
}

// Keys implements host.Bucket.
func (b *bucket) Keys(ctx context.Context, from string, most int) ([]string, error) {
	var keys []string
	err := b.call(ctx, "keys", func(ctx context.Context, _ jetstream.Stream) error {
		kv, err := b.js.KeyValue(ctx, b.id)
		if err != nil {
			return err
		}
		all, err := kv.ListKeys(ctx)
		if err != nil {
			return err
		}
		some := false
		for encoded := range all.Keys() { // which ends with ctx, without an error
			some = true
			if k, ok := unkey(encoded); ok && k >= from {
				keys = append(keys, k)
			}
		}
		if ctx.Err() != nil && some {
			return errManyKeys // the store is there
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(keys)
	keys = slices.Compact(keys) // one that is written meanwhile comes twice
	return keys[:min(len(keys), most)], nil
}

var errManyKeys = fmt.Errorf("%w: there are more keys than come in time", host.ErrUnavailable)
