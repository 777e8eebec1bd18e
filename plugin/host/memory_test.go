package host

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// known is what a model knows of a key.
type known struct {
	value    string
	revision uint64
	expires  time.Time // zero: never
}

func (k known) size(key string) int { return len(key) + len(k.value) + entryCost }

// TestMemoryModel: any sequence of operations does what a plain map would, with
// values that expire, within the limits and with what makes room.
func TestMemoryModel(t *testing.T) {
	const entries, bytes = 12, 3000
	random := rand.New(rand.NewPCG(1, 2))
	m := NewMemoryData(DataLimits{Entries: entries, Bytes: bytes})
	now := time.Now()
	m.now = func() time.Time { return now }
	model := map[string]known{}
	revisions := map[uint64]bool{}
	for step := range 30_000 {
		now = now.Add(1 + time.Duration(random.Int64N(20e6))) // no two expire at once
		for key, k := range model {
			if !k.expires.IsZero() && !now.Before(k.expires) {
				delete(model, key)
			}
		}
		key := fmt.Sprint("k", random.IntN(20))
		want, exists := model[key]
		lifetime := []time.Duration{0, time.Second, time.Minute}[random.IntN(3)]
		b := m.Bucket("vm", lifetime)
		on := []Condition{Always, Absent, Condition(want.revision), Condition(want.revision + 1)}[random.IntN(4)]
		mismatch := !on.Met(want.revision)
		switch random.IntN(3) {
		case 0:
			e, err := b.Get(t.Context(), key)
			if (err == nil) != exists || string(e.Value) != want.value || e.Revision != want.revision {
				t.Fatalf("step %d: get %s: %q %d %v, expected %v", step, key, e.Value, e.Revision, err, want)
			}
		case 1:
			fresh := known{value: fmt.Sprintf("%*d", random.IntN(300), step)}
			if lifetime > 0 {
				fresh.expires = now.Add(lifetime)
			}
			full := !makeRoom(model, key, fresh, entries, bytes)
			err := b.Put(t.Context(), key, []byte(fresh.value), on)
			if errors.Is(err, ErrCasMismatch) != mismatch || !mismatch && errors.Is(err, ErrFull) != full {
				t.Fatalf("step %d: put %s: %v, mismatch %t, full %t", step, key, err, mismatch, full)
			}
			if err != nil {
				continue
			}
			evict(model, key, fresh, entries, bytes)
			e, err := b.Get(t.Context(), key)
			if err != nil || revisions[e.Revision] {
				t.Fatalf("step %d: revision %d, %v", step, e.Revision, err)
			}
			revisions[e.Revision] = true
			fresh.revision = e.Revision
			model[key] = fresh
		case 2:
			err := b.Remove(t.Context(), key, on)
			if errors.Is(err, ErrNotFound) == exists || exists && errors.Is(err, ErrCasMismatch) != mismatch {
				t.Fatalf("step %d: remove %s: %v", step, key, err)
			}
			if err == nil {
				delete(model, key)
			}
		}
		if c := m.count(); c.bytes > bytes || c.entries > entries {
			t.Fatalf("step %d: %+v is over the limits", step, c)
		}
	}
	if c := m.count(); c.expired == 0 || c.evicted == 0 {
		t.Errorf("%+v: nothing has expired or made room", c)
	}
}

// makeRoom says whether what is not to stay for ever is enough to make room.
func makeRoom(model map[string]known, key string, fresh known, entries, bytes int) bool {
	old, exists := model[key]
	if exists && len(fresh.value) <= len(old.value) && len(model) <= entries {
		return true
	}
	lasting, size := 0, fresh.size(key)
	for other, k := range model {
		if other != key && k.expires.IsZero() {
			lasting++
			size += k.size(other)
		}
	}
	return lasting < entries && size <= bytes
}

// evict takes away what would expire first until there is room.
func evict(model map[string]known, key string, fresh known, entries, bytes int) {
	for {
		count, size := 1, fresh.size(key)
		first := ""
		for other, k := range model {
			if other == key {
				continue
			}
			count++
			size += k.size(other)
			if !k.expires.IsZero() && (first == "" || k.expires.Before(model[first].expires)) {
				first = other
			}
		}
		if count <= entries && size <= bytes {
			return
		}
		delete(model, first)
	}
}

// TestMemoryLimit: limits that are made smaller hold for what comes, and nothing goes
// for them.
func TestMemoryLimit(t *testing.T) {
	m := NewMemoryData(DataLimits{})
	b := m.Bucket("vm", 0)
	for _, key := range []string{"a", "b"} {
		if err := b.Put(t.Context(), key, make([]byte, 100), Always); err != nil {
			t.Fatal(err)
		}
	}
	m.limit(DataLimits{Bytes: 200, Entries: 1})
	if err := b.Put(t.Context(), "c", nil, Always); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
	if _, err := b.Get(t.Context(), "a"); err != nil {
		t.Errorf("what was there: %v", err)
	}
}

// TestMemoryQueueCompacts: a queue that is never empty doesn't grow.
func TestMemoryQueueCompacts(t *testing.T) {
	m := NewMemoryQueues(QueueLimits{})
	q, err := m.Open(t.Context(), "vm", "q")
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		_ = q.Enqueue(t.Context(), nil)
		_ = q.Enqueue(t.Context(), nil)
		for range 2 {
			i, err := q.Dequeue(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = i.Acknowledge(t.Context())
		}
		_ = q.Enqueue(t.Context(), nil)
		i, _ := q.Dequeue(t.Context())
		i.Release()
		i, _ = q.Dequeue(t.Context())
		_ = i.Acknowledge(t.Context())
	}
	if n := cap(q.(*memoryQueue).items); n > 1000 {
		t.Errorf("room for %d items in an empty queue", n)
	}
	if c := m.count(); c != (queueCount{}) {
		t.Errorf("an empty queue has %+v", c)
	}
}

// TestMemoryForget: what a space had is gone, whoever still holds it.
func TestMemoryForget(t *testing.T) {
	m := NewMemoryQueues(QueueLimits{})
	q, _ := m.Open(t.Context(), "vm", "q")
	_ = q.Enqueue(t.Context(), []byte("x"))
	_ = q.Enqueue(t.Context(), []byte("y"))
	i, _ := q.Dequeue(t.Context())
	m.Forget("vm")
	if err := q.Enqueue(t.Context(), nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("enqueue: %v", err)
	}
	if _, err := q.Dequeue(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("dequeue: %v", err)
	}
	if _, err := m.Find(t.Context(), "vm", "q"); !errors.Is(err, ErrNotFound) {
		t.Errorf("find: %v", err)
	}
	i.Release()
	if err := i.Acknowledge(t.Context()); err != nil {
		t.Errorf("acknowledge: %v", err)
	}
	if c := m.count(); c != (queueCount{}) {
		t.Errorf("after all that: %+v", c)
	}
}

func BenchmarkMemoryGet(b *testing.B) {
	d := NewMemoryData(DataLimits{}).Bucket("vm", 0)
	_ = d.Put(b.Context(), "key", make([]byte, 64), Always)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = d.Get(b.Context(), "key")
		}
	})
}

func BenchmarkMemoryPut(b *testing.B) {
	d := NewMemoryData(DataLimits{}).Bucket("vm", 0)
	value := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		_ = d.Put(b.Context(), "key", value, Always)
	}
}

// TestFewerEntries: with a limit that is lower than it was, what is there can be
// written still, and makes nothing else go.
func TestFewerEntries(t *testing.T) {
	m := NewMemoryData(DataLimits{Entries: 3})
	b, passing := m.Bucket("vm", 0), m.Bucket("vm", time.Hour)
	for key, bucket := range map[string]Bucket{"ever": b, "too": b, "passing": passing} {
		if err := bucket.Put(t.Context(), key, []byte("x"), Always); err != nil {
			t.Fatal(err)
		}
	}
	m.limit(DataLimits{Entries: 1})
	if err := b.Put(t.Context(), "ever", []byte("y"), Always); err != nil {
		t.Errorf("a value in place of another: %v", err)
	}
	if n := m.count().entries; n != 3 {
		t.Errorf("%d values are left of 3", n)
	}
	if err := b.Put(t.Context(), "more", nil, Always); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
}
