package storetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin/host"
)

func queue(t *testing.T, s *host.Store, name string) host.Queue {
	t.Helper()
	q, err := s.Queues.Open(t.Context(), space(t), name)
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	return q
}

func enqueue(t *testing.T, q host.Queue, items ...string) {
	t.Helper()
	for _, i := range items {
		is(t, "enqueue "+i, q.Enqueue(t.Context(), []byte(i)), nil)
	}
}

func dequeue(t *testing.T, q host.Queue) host.Item {
	t.Helper()
	var i host.Item
	wait(t, "there is an item", func() (found bool) {
		var err error
		if i, err = q.Dequeue(t.Context()); err != nil && !errors.Is(err, host.ErrEmpty) {
			t.Fatalf("dequeue: %v", err)
		}
		return err == nil
	})
	return i
}

// take takes an item for good; "(empty)" is none.
func take(t *testing.T, q host.Queue) string {
	t.Helper()
	i, err := q.Dequeue(t.Context())
	if errors.Is(err, host.ErrEmpty) {
		return "(empty)"
	}
	if err != nil {
		t.Fatalf("dequeue: %v", err)
	}
	is(t, "acknowledge", i.Acknowledge(t.Context()), nil)
	i.Release()
	return string(i.Data())
}

// receive waits for an item and takes it for good.
func receive(t *testing.T, q host.Queue) string {
	t.Helper()
	got := ""
	wait(t, "there is an item", func() bool { got = take(t, q); return got != "(empty)" })
	return got
}

// wait waits for something that must become so.
func wait(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

func queues(t *testing.T, open Open) {
	a, b := open(t), open(t)
	_, err := b.Queues.Find(t.Context(), space(t), "q")
	is(t, "find before open", err, host.ErrNotFound)
	in := queue(t, a, "q")
	queue(t, a, "q")
	out, err := b.Queues.Find(t.Context(), space(t), "q")
	is(t, "find", err, nil)
	_, err = b.Queues.Find(t.Context(), space(t)+"none", "q")
	is(t, "find in another space", err, host.ErrNotFound)
	if got := take(t, out); got != "(empty)" {
		t.Errorf("an item %q in a queue without any", got)
	}
	buffer := []byte("first")
	is(t, "enqueue", in.Enqueue(t.Context(), buffer), nil)
	copy(buffer, "other") // the guest's memory changes
	enqueue(t, in, "", "\x00\xff\r\n", strings.Repeat("x", 100_000), "last")
	for _, want := range []string{"first", "", "\x00\xff\r\n", strings.Repeat("x", 100_000), "last"} {
		if got := receive(t, out); got != want {
			t.Errorf("item %.20q, expected %.20q", got, want)
		}
	}
	if got := take(t, out); got != "(empty)" {
		t.Errorf("item %q, expected none", got)
	}
	for _, name := range []string{"", strings.Repeat("q", host.MaxQueueName+1)} {
		_, err := a.Queues.Open(t.Context(), space(t), name)
		is(t, "open a queue without a proper name", err, host.ErrBadArgument)
		_, err = a.Queues.Find(t.Context(), space(t), name)
		is(t, "find a queue without a proper name", err, host.ErrNotFound)
	}
	hostile := queue(t, a, strings.Repeat(".*> \x00", host.MaxQueueName/5))
	enqueue(t, hostile, "hostile")
	if got := take(t, in); got != "(empty)" {
		t.Errorf("an item %q of another queue", got)
	}
	if got := receive(t, hostile); got != "hostile" {
		t.Errorf("item %q", got)
	}
}

func redelivery(t *testing.T, open Open) {
	q := queue(t, open(t), "q")
	enqueue(t, q, "1", "2", "3")
	one := dequeue(t, q)
	two := dequeue(t, q)
	is(t, "acknowledge", two.Acknowledge(t.Context()), nil)
	two.Release() // nothing any more
	one.Release()
	one.Release()
	again := dequeue(t, q)
	if got := string(again.Data()); got != "1" {
		t.Errorf("%q is at the front, expected 1", got)
	}
	if got := receive(t, q); got != "3" {
		t.Errorf("item %q, expected 3", got)
	}
	is(t, "acknowledge", again.Acknowledge(t.Context()), nil)
	if got := take(t, q); got != "(empty)" {
		t.Errorf("item %q, expected none", got)
	}
}

func queueLimits(t *testing.T, open Open) {
	s := open(t)
	q := queue(t, s, "a")
	queue(t, s, "b")
	queue(t, s, "c")
	_, err := s.Queues.Open(t.Context(), space(t), "d")
	is(t, "open one more", err, host.ErrTooMany)
	queue(t, s, "b")
	for range Limits.Queues.Items {
		enqueue(t, q, "x")
	}
	is(t, "enqueue one more", q.Enqueue(t.Context(), nil), host.ErrFull)
	is(t, "enqueue too large an item", queue(t, s, "b").Enqueue(t.Context(), make([]byte, 2<<20)), host.ErrFull)
	taken := dequeue(t, q)
	is(t, "enqueue while an item is taken", q.Enqueue(t.Context(), nil), host.ErrFull)
	is(t, "acknowledge", taken.Acknowledge(t.Context()), nil)
	enqueue(t, q, "y")
}

// notices: one subscriber hears of an item, and of items that were there before.
func notices(t *testing.T, open Open) {
	s, other := open(t), open(t)
	q, far := queue(t, s, "q"), queue(t, other, "q")
	heard := func(n *atomic.Int64) func() bool {
		before := n.Load()
		return func() bool { return n.Load() > before }
	}
	enqueue(t, q, "early")
	var first, second atomic.Int64
	leaveFirst := q.Subscribe(func() { first.Add(1) })
	wait(t, "the first hears of what was there", func() bool { return first.Load() > 0 })
	if got := receive(t, q); got != "early" {
		t.Errorf("item %q", got)
	}
	leaveSecond := q.Subscribe(func() { second.Add(1) })
	told := heard(&second)
	enqueue(t, far, "1")
	wait(t, "the latest hears", told)
	i := dequeue(t, q)
	told = heard(&second)
	i.Release()
	wait(t, "the latest hears of what comes back", told)
	leaveSecond()
	leaveSecond()
	receive(t, q)
	told = heard(&first)
	enqueue(t, q, "2")
	wait(t, "the one before it hears", told)
	receive(t, q)
	leaveFirst()
	before := first.Load() + second.Load()
	enqueue(t, q, "3")
	if got := receive(t, q); got != "3" {
		t.Errorf("item %q", got)
	}
	if now := first.Load() + second.Load(); now != before {
		t.Errorf("%d notices after all have left", now-before)
	}
}

// workers take every item once, those of one sender in order, although some give
// items back, and sleep until they are told.
func workers(t *testing.T, open Open) {
	const senders, each = 3, 40
	stores := []*host.Store{open(t), open(t)}
	var all sync.WaitGroup
	for s := range senders {
		q := queue(t, stores[s%2], "q")
		all.Go(func() {
			for i := range each {
				data := binary.BigEndian.AppendUint16([]byte{byte(s)}, uint16(i))
				for {
					err := q.Enqueue(t.Context(), data)
					if err == nil {
						break
					}
					is(t, "enqueue", err, host.ErrFull)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	var mu sync.Mutex
	got := map[string]int{}
	var left atomic.Int64
	left.Store(senders * each)
	done := make(chan struct{})
	for i, s := range stores {
		q := queue(t, s, "q")
		wake := make(chan struct{}, 1)
		leave := q.Subscribe(func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
		all.Go(func() {
			defer leave()
			for n := 0; ; {
				item, err := q.Dequeue(t.Context())
				if errors.Is(err, host.ErrEmpty) {
					select {
					case <-wake:
						continue
					case <-done:
						return
					case <-time.After(patience):
						t.Error("no notice, although there are items left")
						return
					}
				}
				if err != nil {
					t.Errorf("dequeue: %v", err)
					return
				}
				if n++; n%7 == i {
					item.Release()
					continue
				}
				is(t, "acknowledge", item.Acknowledge(t.Context()), nil)
				mu.Lock()
				got[string(item.Data())]++
				mu.Unlock()
				if left.Add(-1) == 0 {
					close(done)
				}
			}
		})
	}
	all.Wait()
	var wrong []string
	for item, n := range got {
		if n != 1 {
			wrong = append(wrong, fmt.Sprintf("%q %d times", item, n))
		}
	}
	slices.Sort(wrong)
	if len(got) != senders*each || len(wrong) > 0 {
		t.Errorf("%d items, expected %d; %s", len(got), senders*each, wrong)
	}
}
