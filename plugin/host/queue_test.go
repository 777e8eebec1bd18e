package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func TestQueues(t *testing.T) {
	q := NewQueues(QueueLimits{})
	var heard []string
	note := func(who string) func(uint32) {
		return func(id uint32) { heard = append(heard, fmt.Sprint(who, id)) }
	}
	one, _ := q.Register("vm", "one", note("a"))
	two, _ := q.Register("other", "one", note("o"))
	again, leave := q.Register("vm", "one", note("b"))
	if one == 0 || two == one || again != one {
		t.Errorf("ids %d %d %d", one, two, again)
	}
	if id, ok := q.Resolve("vm", "one"); !ok || id != one {
		t.Errorf("resolve: %d %t", id, ok)
	}
	for _, vm := range []string{"vm", "none"} {
		if _, ok := q.Resolve(vm, "two"); ok {
			t.Error("resolve: a queue that nobody registered")
		}
	}
	item := []byte("x")
	for _, id := range []uint32{one, two} {
		if err := q.Enqueue(id, item); err != nil {
			t.Error(err)
		}
	}
	item[0] = 'y' // the guest's memory changes
	leave()
	leave()
	_ = q.Enqueue(one, item)
	if got := fmt.Sprint(heard); got != fmt.Sprintf("[b%d o%d a%d]", one, two, one) {
		t.Errorf("heard %s", got)
	}
	for _, want := range []string{"x", "y"} {
		if got, err := q.Dequeue(one); err != nil || string(got) != want {
			t.Errorf("%q %v, expected %q", got, err, want)
		}
	}
	if _, err := q.Dequeue(one); !errors.Is(err, ErrEmpty) {
		t.Errorf("dequeue: %v", err)
	}
	for _, id := range []uint32{0, 99} {
		if _, err := q.Dequeue(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("dequeue: %v", err)
		}
		if err := q.Enqueue(id, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("enqueue: %v", err)
		}
	}
	q.Forget("vm")
	if err := q.Enqueue(one, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("enqueue after Forget: %v", err)
	}
	leave()
	if fresh, _ := q.Register("vm", "one", note("c")); fresh == one {
		t.Error("an id is used again")
	}
}

func TestQueueLimits(t *testing.T) {
	q := NewQueues(QueueLimits{Queues: 2, Items: 3, Bytes: 5 * (itemCost + 1)})
	nothing := func(uint32) {}
	a, _ := q.Register("vm", "a", nothing)
	b, _ := q.Register("vm", "b", nothing)
	if id, _ := q.Register("vm", "c", nothing); id != 0 {
		t.Error("a third queue")
	}
	for i, tc := range []struct {
		id   uint32
		want error
	}{{a, nil}, {a, nil}, {a, nil}, {a, ErrFull}, {b, nil}, {b, nil}, {b, ErrFull}} {
		if err := q.Enqueue(tc.id, []byte("x")); !errors.Is(err, tc.want) {
			t.Errorf("%d: %v, expected %v", i, err, tc.want)
		}
	}
	_, _ = q.Dequeue(a)
	if err := q.Enqueue(b, []byte("x")); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}

// TestQueuesConcurrently: items of one sender arrive once and in order, whoever
// takes them, and each enqueuing is told of.
func TestQueuesConcurrently(t *testing.T) {
	q := NewQueues(QueueLimits{})
	var told atomic.Int64
	id, _ := q.Register("vm", "q", func(uint32) { told.Add(1) })
	const senders, each, takers = 4, 2000, 4
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := range each {
				item := binary.BigEndian.AppendUint32(nil, uint32(s))
				if err := q.Enqueue(id, binary.BigEndian.AppendUint32(item, uint32(i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// Subscribers come and go meanwhile.
	all.Go(func() {
		for range 1000 {
			_, leave := q.Register("vm", "q", func(uint32) { told.Add(1) })
			leave()
		}
	})
	var seen [senders][each]atomic.Int32
	var left atomic.Int64
	left.Store(senders * each)
	for range takers {
		all.Go(func() {
			last := [senders]int{-1, -1, -1, -1}
			for left.Load() > 0 {
				item, err := q.Dequeue(id)
				if err != nil {
					continue
				}
				left.Add(-1)
				s, i := binary.BigEndian.Uint32(item), int(binary.BigEndian.Uint32(item[4:]))
				seen[s][i].Add(1)
				if i <= last[s] {
					t.Errorf("item %d of sender %d after %d", i, s, last[s])
				}
				last[s] = i
			}
		})
	}
	all.Wait()
	for s := range seen {
		for i := range seen[s] {
			if n := seen[s][i].Load(); n != 1 {
				t.Fatalf("item %d of sender %d arrived %d times", i, s, n)
			}
		}
	}
	if told.Load() != senders*each {
		t.Errorf("%d of %d items were told of", told.Load(), senders*each)
	}
	if bytes := q.owned["vm"].bytes; bytes != 0 {
		t.Errorf("%d bytes in an empty queue", bytes)
	}
}

// TestQueueDoesNotGrow: a queue that is never empty takes no more room than its
// items.
func TestQueueDoesNotGrow(t *testing.T) {
	q := NewQueues(QueueLimits{})
	id, _ := q.Register("vm", "q", func(uint32) {})
	for range 100 {
		_ = q.Enqueue(id, nil)
	}
	for range 100_000 {
		_ = q.Enqueue(id, nil)
		if _, err := q.Dequeue(id); err != nil {
			t.Fatal(err)
		}
	}
	if n := cap(q.byID[id].items); n > 1000 {
		t.Errorf("room for %d items, of 100", n)
	}
}

func BenchmarkQueue(b *testing.B) {
	q := NewQueues(QueueLimits{})
	id, _ := q.Register("vm", "q", func(uint32) {})
	item := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		_ = q.Enqueue(id, item)
		_, _ = q.Dequeue(id)
	}
}
