package wasihttp

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin/host"
)

// Bounds of one call.
const (
	maxKeys  = 1000 // in a list of keys that is returned
	maxBatch = 1000 // keys in a batch
	// maxBatchBytes is what the values may have that a batch reads: a store that
	// replicas share has a copy of each made.
	maxBatchBytes = 64 << 20
)

// patience is for how many timeouts of the store one exchange or task may wait
// altogether: waiting doesn't count as running time.
const patience = 5

var errPatience = errors.New("it has waited for the store for too long")

// waiting makes a row of one that may have to wait for the store.
func waiting(call func(*guest, *abi.Call) error) func(*guest, *abi.Call) error {
	return func(g *guest, c *abi.Call) error {
		timeout := g.mod.services.Store.Timeout
		switch {
		case timeout == 0 || g.inst == nil:
			return call(g, c)
		case g.waited >= patience*timeout:
			return errPatience
		}
		g.inst.watch.Pause()
		err := call(g, c)
		g.waited += g.inst.watch.Resume()
		return err
	}
}

// bucket is the resource of that name.
type bucket struct {
	host.Bucket
	// after is the key after which the list goes on, for the cursor that was last
	// handed out: the interface has but a number to say it.
	after  string
	cursor uint64
}

// dataError sets the result of a call that has failed: error has a case for people.
func dataError(c *abi.Call, err error) error {
	c.Result = c.ErrCase("other", abi.String(err.Error()))
	return nil
}

// bucketOpen knows one bucket, the data of the plugin's space, under the name that
// all hosts have.
func bucketOpen(g *guest, c *abi.Call) error {
	if c.Args[0].Str != "" {
		c.Result = c.ErrCase("no-such-store")
		return nil
	}
	c.ReturnOkOwn(&bucket{Bucket: g.mod.services.Data})
	return nil
}

func bucketGet(_ *guest, c *abi.Call) error {
	entry, err := c.Args[0].Obj.(*bucket).Get(c.Context(), strings.Clone(c.Args[1].Str))
	switch {
	case errors.Is(err, host.ErrNotFound):
		c.Result = c.Ok(c.None())
	case err != nil:
		return dataError(c, err)
	default:
		c.Result = c.Ok(c.Some(abi.Bytes(entry.Value)))
	}
	return nil
}

func bucketSet(_ *guest, c *abi.Call) error {
	err := c.Args[0].Obj.(*bucket).Put(c.Context(), strings.Clone(c.Args[1].Str), raw(c.Args[2].Str), host.Always)
	if err != nil {
		return dataError(c, err)
	}
	c.ReturnOk()
	return nil
}

func bucketDelete(_ *guest, c *abi.Call) error {
	err := c.Args[0].Obj.(*bucket).Remove(c.Context(), strings.Clone(c.Args[1].Str), host.Always)
	if err != nil && !errors.Is(err, host.ErrNotFound) {
		return dataError(c, err)
	}
	c.ReturnOk()
	return nil
}

func bucketExists(_ *guest, c *abi.Call) error {
	_, err := c.Args[0].Obj.(*bucket).Get(c.Context(), strings.Clone(c.Args[1].Str))
	if err != nil && !errors.Is(err, host.ErrNotFound) {
		return dataError(c, err)
	}
	c.Result = c.Ok(abi.Bool(err == nil))
	return nil
}

var errCursor = errors.New("the cursor is not the one that this bucket's last list-keys returned")

// bucketKeys lists keys in order, a page at a time.
func bucketKeys(_ *guest, c *abi.Call) error {
	b := c.Args[0].Obj.(*bucket)
	from := ""
	if c.Args[1].Num == 1 {
		if b.cursor == 0 || c.Args[1].Payload().Num != b.cursor {
			return dataError(c, errCursor)
		}
		from = b.after + "\x00" // the least key that is greater
	}
	keys, err := b.Keys(c.Context(), from, maxKeys)
	if err != nil {
		return dataError(c, err)
	}
	list := c.List(len(keys))[:0]
	for _, key := range keys {
		list = append(list, abi.String(shown(raw(key))))
	}
	cursor := c.None()
	if len(keys) == maxKeys {
		b.cursor++
		b.after = keys[len(keys)-1]
		cursor = c.Some(abi.U64(b.cursor))
	}
	response := c.List(2)
	response[0], response[1] = abi.Value{List: list}, cursor
	c.Result = c.Ok(abi.Value{List: response})
	return nil
}

var errSum = errors.New("the sum is more than 2^63-1, or less than 0")

func increment(_ *guest, c *abi.Call) error {
	if c.Args[2].Num > math.MaxInt64 {
		return dataError(c, errSum)
	}
	sum, err := c.Args[0].Obj.(*bucket).Add(c.Context(), strings.Clone(c.Args[1].Str), int64(c.Args[2].Num))
	switch {
	case err != nil:
		return dataError(c, err)
	case sum < 0:
		return dataError(c, errSum)
	}
	c.Result = c.Ok(abi.U64(uint64(sum)))
	return nil
}

var (
	errBatch      = errors.New("more than 1000 keys in a batch")
	errBatchBytes = errors.New("the values of a batch have more than 64 MiB")
)

// batch is the calls that are made for several keys. Together they wait for no
// longer than the exchange may.
type batch struct {
	host.Bucket
	ctx   context.Context
	end   context.CancelFunc
	bytes int // read so far
}

func newBatch(ctx context.Context, b host.Bucket, timeout, waited time.Duration) *batch {
	if timeout == 0 {
		return &batch{Bucket: b, ctx: ctx, end: func() {}}
	}
	ctx, end := context.WithTimeout(ctx, patience*timeout-waited)
	return &batch{Bucket: b, ctx: ctx, end: end}
}

func (g *guest) batch(c *abi.Call) *batch {
	return newBatch(c.Context(), c.Args[0].Obj.(*bucket), g.mod.services.Store.Timeout, g.waited)
}

func (b *batch) get(key string) (host.Entry, error) {
	entry, err := b.Get(b.ctx, key)
	if b.bytes += len(entry.Value); err == nil && b.bytes > maxBatchBytes {
		return host.Entry{}, errBatchBytes
	}
	return entry, err
}

func getMany(g *guest, c *abi.Call) error {
	b, keys := g.batch(c), c.Args[1].List
	defer b.end()
	if len(keys) > maxBatch {
		return dataError(c, errBatch)
	}
	list := c.List(len(keys))[:0]
	for _, k := range keys {
		key := strings.Clone(k.Str)
		entry, err := b.get(key)
		switch {
		case errors.Is(err, host.ErrNotFound):
			list = append(list, c.None())
			continue
		case err != nil:
			return dataError(c, err)
		}
		pair := c.List(2)
		pair[0], pair[1] = abi.String(key), abi.Bytes(entry.Value)
		list = append(list, c.Some(abi.Value{List: pair}))
	}
	c.Result = c.Ok(abi.Value{List: list})
	return nil
}

func setMany(g *guest, c *abi.Call) error {
	b, pairs := g.batch(c), c.Args[1].List
	defer b.end()
	if len(pairs) > maxBatch {
		return dataError(c, errBatch)
	}
	for _, p := range pairs {
		if err := b.Put(b.ctx, strings.Clone(p.List[0].Str), raw(p.List[1].Str), host.Always); err != nil {
			return dataError(c, err)
		}
	}
	c.ReturnOk()
	return nil
}

func deleteMany(g *guest, c *abi.Call) error {
	b, keys := g.batch(c), c.Args[1].List
	defer b.end()
	if len(keys) > maxBatch {
		return dataError(c, errBatch)
	}
	for _, k := range keys {
		if err := b.Remove(b.ctx, strings.Clone(k.Str), host.Always); err != nil && !errors.Is(err, host.ErrNotFound) {
			return dataError(c, err)
		}
	}
	c.ReturnOk()
	return nil
}

var errLifetime = errors.New("a lifetime of 1 ms or more is expected")

// dataExpiring opens the plugin's bucket for writes that go by themselves.
func dataExpiring(g *guest, c *abi.Call) error {
	lifetime := span(c.Args[0].Num)
	if lifetime < leastPeriod {
		return dataError(c, errLifetime)
	}
	s := g.mod.services
	c.ReturnOkOwn(&bucket{Bucket: s.Store.Data.Bucket(s.Space, lifetime)})
	return nil
}

// dataRead is a value with its revision.
func dataRead(_ *guest, c *abi.Call) error {
	entry, err := c.Args[0].Obj.(*bucket).Get(c.Context(), strings.Clone(c.Args[1].Str))
	switch {
	case errors.Is(err, host.ErrNotFound):
		c.Result = c.Ok(c.None())
		return nil
	case err != nil:
		return dataError(c, err)
	}
	record := c.List(2)
	record[0], record[1] = abi.Bytes(entry.Value), abi.U64(entry.Revision)
	c.Result = c.Ok(c.Some(abi.Value{List: record}))
	return nil
}

// dataSwap writes a value if its revision is still the one that was read.
func dataSwap(_ *guest, c *abi.Call) error {
	on := host.Absent
	if c.Args[3].Num == 1 {
		on = host.Condition(c.Args[3].Payload().Num)
	}
	if on == host.Always || c.Args[3].Num == 1 && on == host.Absent {
		c.Result = c.Ok(abi.Bool(false)) // no value has such a revision
		return nil
	}
	err := c.Args[0].Obj.(*bucket).Put(c.Context(), strings.Clone(c.Args[1].Str), raw(c.Args[2].Str), on)
	switch {
	case errors.Is(err, host.ErrCasMismatch):
		c.Result = c.Ok(abi.Bool(false))
	case err != nil:
		return dataError(c, err)
	default:
		c.Result = c.Ok(abi.Bool(true))
	}
	return nil
}
