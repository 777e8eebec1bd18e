// Package storetest is what every store has to do, as tests, and the servers that
// some of them need.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin/host"
)

// Limits are those that the store under test is to have.
var Limits = struct {
	Data   host.DataLimits
	Queues host.QueueLimits
}{host.DataLimits{Bytes: 1 << 20, Entries: 50}, host.QueueLimits{Queues: 3, Items: 10, Bytes: 1 << 20}}

// patience is how long something that must happen may take on a busy machine.
const patience = 20 * time.Second

// Open opens the store under test anew: two of them see the same.
type Open func(t *testing.T) *host.Store

// Traits are in what stores differ.
type Traits struct {
	// Evicts: what would be gone soonest makes room, instead of ErrFull.
	Evicts bool
	// NoQueues: there are none.
	NoQueues bool
}

// Run tests a store.
func Run(t *testing.T, open Open, traits Traits) {
	for _, c := range []struct {
		name   string
		test   func(*testing.T, Open)
		queues bool
	}{
		{"values", values, false}, {"keys", keys, false}, {"hostile keys", hostileKeys, false}, {"spaces", spaces, false},
		{"conditions", conditions, false}, {"numbers", numbers, false}, {"counting", counting, false}, {"swapping", swapping, false},
		{"lifetimes", lifetimes, false}, {"limits", limits, false},
		{"eviction", func(t *testing.T, open Open) { eviction(t, open, traits.Evicts) }, false},
		{"queues", queues, true}, {"redelivery", redelivery, true}, {"queue limits", queueLimits, true}, {"notices", notices, true},
		{"workers", workers, true},
	} {
		if traits.NoQueues && c.queues {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open)
		})
	}
}

// space is one that no other test uses.
func space(t *testing.T) string { return strings.ReplaceAll(t.Name(), "/", ".") }

func bucket(t *testing.T, s *host.Store, lifetime time.Duration) host.Bucket {
	return s.Data.Bucket(space(t), lifetime)
}

// is checks that an error is what was expected, nil for none.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: %v, expected %v", what, err, want)
	}
}

func put(t *testing.T, b host.Bucket, key, value string) uint64 {
	t.Helper()
	is(t, "put "+key, b.Put(t.Context(), key, []byte(value), host.Always), nil)
	e, err := b.Get(t.Context(), key)
	is(t, "get "+key, err, nil)
	if string(e.Value) != value || e.Revision == 0 {
		t.Errorf("%.40q is %.40q, revision %d, expected %.40q", key, e.Value, e.Revision, value)
	}
	return e.Revision
}

func values(t *testing.T, open Open) {
	a, b := bucket(t, open(t), 0), bucket(t, open(t), 0)
	_, err := a.Get(t.Context(), "k")
	is(t, "get before put", err, host.ErrNotFound)
	is(t, "remove before put", a.Remove(t.Context(), "k", host.Always), host.ErrNotFound)
	buffer := []byte("one")
	is(t, "put", a.Put(t.Context(), "k", buffer, host.Always), nil)
	copy(buffer, "two") // the guest's memory changes
	e, err := b.Get(t.Context(), "k")
	if is(t, "get", err, nil); string(e.Value) != "one" {
		t.Errorf("the value is %q", e.Value)
	}
	seen := map[uint64]bool{}
	for _, value := range []string{"", "\x00\xff\r\n", strings.Repeat("x", 100_000), "1", "1"} {
		revision := put(t, b, "k", value)
		if seen[revision] {
			t.Errorf("revision %d again", revision)
		}
		seen[revision] = true
		is(t, "remove", a.Remove(t.Context(), "k", host.Always), nil)
		_, err := b.Get(t.Context(), "k")
		is(t, "get after remove", err, host.ErrNotFound)
	}
}

func keys(t *testing.T, open Open) {
	b := bucket(t, open(t), 0)
	list := func(from string, most int, want ...string) {
		t.Helper()
		got, err := b.Keys(t.Context(), from, most)
		if is(t, "keys", err, nil); !slices.Equal(got, want) {
			t.Errorf("up to %d keys from %q: %q, expected %q", most, from, got, want)
		}
	}
	list("", 10)
	for _, key := range []string{"b", "a.b", "a", "", "é", "B", "a=b"} {
		put(t, b, key, "x")
	}
	list("", 10, "", "B", "a", "a.b", "a=b", "b", "é")
	list("", 2, "", "B")
	list("B\x00", 2, "a", "a.b")
	list("a", 1, "a")
	list("c", 10, "é")
	list("ê", 10)
	is(t, "remove", b.Remove(t.Context(), "a", host.Always), nil)
	list("a", 2, "a.b", "a=b")
}

// hostileKeys are of any bytes, and keep apart.
func hostileKeys(t *testing.T, open Open) {
	b := bucket(t, open(t), 0)
	hostile := []string{
		"", " ", ".", "..", "a.b", "a..b", ".a", "a.", "*", ">", "a.*", "a.>", "$KV.x", "a/b", "/", "\\", "=", "==", "=2E", "=2e", "_",
		"\x00", "\x00\x00", "\r\nPUB x 1", "\xff\xfe", "é", "{x}", "}", "a:b", "a b\tc", "%2E", "A", "a", strings.Repeat("\x00", host.MaxKey),
	}
	for i, key := range hostile {
		put(t, b, key, strconv.Itoa(i))
	}
	for i, key := range hostile {
		e, err := b.Get(t.Context(), key)
		if is(t, "get", err, nil); string(e.Value) != strconv.Itoa(i) {
			t.Errorf("%.20q is %q, expected %d", key, e.Value, i)
		}
	}
	got, err := b.Keys(t.Context(), "", 100)
	is(t, "keys", err, nil)
	want := slices.Sorted(slices.Values(hostile))
	if !slices.Equal(got, want) {
		t.Errorf("keys %.20q, expected %.20q", got, want)
	}
	long := strings.Repeat("k", host.MaxKey+1)
	is(t, "put a long key", b.Put(t.Context(), long, nil, host.Always), host.ErrBadArgument)
	_, err = b.Add(t.Context(), long, 1)
	is(t, "add to a long key", err, host.ErrBadArgument)
	_, err = b.Get(t.Context(), long)
	is(t, "get a long key", err, host.ErrNotFound)
	is(t, "remove a long key", b.Remove(t.Context(), long, host.Always), host.ErrNotFound)
}

// spaces keep apart, whatever their names.
func spaces(t *testing.T, open Open) {
	s := open(t)
	own := space(t)
	names := []string{"", own, own + ".", own + ".a", own + " a", own + "_a", own + "_2ea", own + "-a", own + "/a", own + ">", own + "\x00", strings.ToUpper(own), own + strings.Repeat("x", 500), own + strings.Repeat("x", 501)}
	for i, name := range names {
		value := fmt.Sprint(i, own)
		put(t, s.Data.Bucket(name, 0), "k", value)
		q, err := s.Queues.Open(t.Context(), name, own)
		is(t, "open", err, nil)
		is(t, "enqueue", q.Enqueue(t.Context(), []byte(value)), nil)
	}
	for i, name := range names {
		want := fmt.Sprint(i, own)
		e, err := s.Data.Bucket(name, 0).Get(t.Context(), "k")
		if is(t, "get", err, nil); string(e.Value) != want {
			t.Errorf("in the space %.40q: %q, expected %q", name, e.Value, want)
		}
		q, err := s.Queues.Find(t.Context(), name, own)
		is(t, "find", err, nil)
		if got := receive(t, q); got != want {
			t.Errorf("in a queue of the space %.40q: %q, expected %q", name, got, want)
		}
	}
}

func conditions(t *testing.T, open Open) {
	b := bucket(t, open(t), 0)
	cas := func(value string, on host.Condition, want error) {
		t.Helper()
		is(t, "put "+value, b.Put(t.Context(), "k", []byte(value), on), want)
	}
	cas("0", 7, host.ErrCasMismatch)
	cas("1", host.Absent, nil)
	cas("2", host.Absent, host.ErrCasMismatch)
	e, _ := b.Get(t.Context(), "k")
	revision := host.Condition(e.Revision)
	cas("3", revision+1, host.ErrCasMismatch)
	cas("4", revision-1, host.ErrCasMismatch)
	cas("5", 1<<63, host.ErrCasMismatch)
	cas("6", revision, nil)
	cas("7", revision, host.ErrCasMismatch)
	is(t, "remove an old revision", b.Remove(t.Context(), "k", revision), host.ErrCasMismatch)
	is(t, "remove if absent", b.Remove(t.Context(), "k", host.Absent), host.ErrCasMismatch)
	e, err := b.Get(t.Context(), "k")
	if is(t, "get", err, nil); string(e.Value) != "6" {
		t.Errorf("the value is %q, expected 6", e.Value)
	}
	is(t, "remove", b.Remove(t.Context(), "k", host.Condition(e.Revision)), nil)
	cas("8", host.Condition(e.Revision), host.ErrCasMismatch)
	cas("9", host.Absent, nil)
	again, _ := b.Get(t.Context(), "k")
	if again.Revision == e.Revision {
		t.Errorf("revision %d again", e.Revision)
	}
	is(t, "remove, of what was removed before", b.Remove(t.Context(), "k", host.Condition(e.Revision)), host.ErrCasMismatch)
}

func numbers(t *testing.T, open Open) {
	b := bucket(t, open(t), 0)
	add := func(by, want int64, wrong error) {
		t.Helper()
		got, err := b.Add(t.Context(), "n", by)
		if is(t, "add", err, wrong); err == nil && got != want {
			t.Errorf("plus %d is %d, expected %d", by, got, want)
		}
	}
	add(5, 5, nil)
	add(-7, -2, nil)
	add(0, -2, nil)
	e, err := b.Get(t.Context(), "n")
	if is(t, "get", err, nil); string(e.Value) != "-2" {
		t.Errorf("the value is %q, expected -2", e.Value)
	}
	put(t, b, "n", "9007199254740993") // no float64 holds it
	add(2, 9007199254740995, nil)
	put(t, b, "n", strconv.FormatInt(math.MaxInt64-1, 10))
	add(1, math.MaxInt64, nil)
	add(1, 0, host.ErrBadArgument)
	add(math.MinInt64, -1, nil)
	add(math.MinInt64, 0, host.ErrBadArgument)
	for _, value := range []string{"", "x", "1.5", " 1", "1 ", "01", "+1", "-0", "9223372036854775808", "1e3"} {
		revision := put(t, b, "n", value)
		add(1, 0, host.ErrBadArgument)
		if e, _ := b.Get(t.Context(), "n"); string(e.Value) != value || e.Revision != revision {
			t.Errorf("%q of revision %d has become %q of %d", value, revision, e.Value, e.Revision)
		}
	}
}

// counting loses nothing, whoever counts, in whatever way.
func counting(t *testing.T, open Open) {
	const each = 60
	stores := []*host.Store{open(t), open(t)}
	var all sync.WaitGroup
	for _, s := range stores {
		b := bucket(t, s, 0)
		for range 3 {
			all.Go(func() {
				for range each {
					if _, err := b.Add(t.Context(), "n", 1); err != nil {
						t.Errorf("add: %v", err)
					}
				}
			})
		}
		all.Go(func() {
			for done := 0; done < each; {
				if swap(t, b, "n", 1) {
					done++
				}
			}
		})
	}
	all.Wait()
	e, err := bucket(t, stores[0], 0).Get(t.Context(), "n")
	if is(t, "get", err, nil); string(e.Value) != strconv.Itoa(2*4*each) {
		t.Errorf("the sum is %s, expected %d", e.Value, 2*4*each)
	}
}

// swap adds to a number with compare-and-swap, and says whether it could.
func swap(t *testing.T, b host.Bucket, key string, by int64) bool {
	on := host.Absent
	e, err := b.Get(t.Context(), key)
	switch {
	case err == nil:
		on = host.Condition(e.Revision)
	case !errors.Is(err, host.ErrNotFound):
		t.Errorf("get: %v", err)
	}
	sum, err := host.Sum(e.Value, by)
	is(t, "sum", err, nil)
	err = b.Put(t.Context(), key, strconv.AppendInt(nil, sum, 10), on)
	if err != nil && !errors.Is(err, host.ErrCasMismatch) {
		t.Errorf("put: %v", err)
	}
	return err == nil
}

// swapping: of several who write on the same condition, one does.
func swapping(t *testing.T, open Open) {
	stores := []*host.Store{open(t), open(t)}
	for round := range 15 {
		on := host.Absent
		if e, err := bucket(t, stores[0], 0).Get(t.Context(), "k"); err == nil {
			on = host.Condition(e.Revision)
		}
		winners := make(chan string, 8)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				own := fmt.Sprint(round, " ", i)
				if err := bucket(t, stores[i%2], 0).Put(t.Context(), "k", []byte(own), on); err == nil {
					winners <- own
				} else {
					is(t, "put", err, host.ErrCasMismatch)
				}
			})
		}
		all.Wait()
		if len(winners) != 1 {
			t.Fatalf("%d of 8 have won", len(winners))
		}
		winner := <-winners
		if e, _ := bucket(t, stores[1], 0).Get(t.Context(), "k"); string(e.Value) != winner {
			t.Errorf("the value is %q, expected %q", e.Value, winner)
		}
	}
}

func lifetimes(t *testing.T, open Open) {
	s := open(t)
	short, long := bucket(t, s, time.Second), bucket(t, s, 0)
	began := time.Now()
	put(t, short, "k", "short")
	put(t, short, "kept", "short")
	put(t, long, "kept", "long")
	put(t, long, "ever", "1")
	if n, err := short.Add(t.Context(), "n", 1); err != nil || n != 1 {
		t.Errorf("add: %d, %v", n, err)
	}
	gone := func(key string) bool {
		_, err := long.Get(context.WithoutCancel(t.Context()), key)
		return errors.Is(err, host.ErrNotFound)
	}
	wait(t, "the value is gone", func() bool { return gone("k") && gone("n") })
	if lived := time.Since(began); lived < time.Second {
		t.Errorf("a value lived for %v, expected 1s", lived)
	}
	got, err := long.Keys(t.Context(), "", 10)
	if is(t, "keys", err, nil); !slices.Equal(got, []string{"ever", "kept"}) {
		t.Errorf("keys %q", got)
	}
	is(t, "put where there was something", short.Put(t.Context(), "k", []byte("again"), host.Absent), nil)
	if n, err := short.Add(t.Context(), "n", 3); err != nil || n != 3 {
		t.Errorf("add to what is gone: %d, %v", n, err)
	}
}

func limits(t *testing.T, open Open) {
	b := bucket(t, open(t), 0)
	for i := range Limits.Data.Entries {
		is(t, "put", b.Put(t.Context(), strconv.Itoa(i), []byte("x"), host.Always), nil)
	}
	is(t, "one more", b.Put(t.Context(), "more", nil, host.Always), host.ErrFull)
	is(t, "one more, if absent", b.Put(t.Context(), "more", nil, host.Absent), host.ErrFull)
	_, err := b.Add(t.Context(), "more", 1)
	is(t, "add one more", err, host.ErrFull)
	put(t, b, "0", "another")
	is(t, "too large", b.Put(t.Context(), "0", make([]byte, 2<<20), host.Always), host.ErrFull)
	if e, err := b.Get(t.Context(), "0"); err != nil || string(e.Value) != "another" {
		t.Errorf("after a failure the value is %q, %v", e.Value, err)
	}
	is(t, "remove", b.Remove(t.Context(), "1", host.Always), nil)
	put(t, b, "more", "x")
}

// eviction: in a space that is full, what would be gone soonest makes room, or
// nothing does.
func eviction(t *testing.T, open Open, evicts bool) {
	s := open(t)
	soon, late, ever := bucket(t, s, time.Hour), bucket(t, s, 2*time.Hour), bucket(t, s, 0)
	half := Limits.Data.Entries / 2
	for i := range half {
		put(t, late, fmt.Sprint("late", i), "x")
	}
	for i := range Limits.Data.Entries - half {
		put(t, soon, fmt.Sprint("soon", i), "x")
	}
	put(t, soon, "soon0", "renewed")
	if !evicts {
		is(t, "put one more", ever.Put(t.Context(), "ever", nil, host.Always), host.ErrFull)
		put(t, ever, "soon1", "there")
		return
	}
	put(t, ever, "ever", "x")
	for key, want := range map[string]error{"soon1": host.ErrNotFound, "soon0": nil, "soon2": nil, "late0": nil, "ever": nil} {
		_, err := ever.Get(t.Context(), key)
		is(t, key, err, want)
	}
	for i := range Limits.Data.Entries - 1 {
		put(t, ever, fmt.Sprint("ever", i), "x")
	}
	is(t, "what never goes stays", ever.Put(t.Context(), "more", nil, host.Always), host.ErrFull)
}
