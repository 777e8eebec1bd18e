package memory

import (
	"runtime"
	"testing"
	"time"
)

// TestTurns: guests that run for long use no more than their share together, and
// one alone needs not wait.
func TestTurns(t *testing.T) {
	var alone turns
	now := time.Hour
	for range 100 {
		now += time.Millisecond
		if wait := alone.take(time.Millisecond, now); wait > time.Millisecond && runtime.GOMAXPROCS(0) > 1 {
			t.Fatalf("one guest waits for %v", wait)
		}
	}
	var shared turns
	const guests, rounds = 20, 50
	var at [guests]time.Duration // when each has had its last turn
	for i := range at {
		at[i] = time.Hour
	}
	for range guests * rounds {
		i := 0 // the one that is next
		for j := range at {
			if at[j] < at[i] {
				i = j
			}
		}
		at[i] += time.Millisecond
		at[i] += max(shared.take(time.Millisecond, at[i]), 0)
	}
	share := float64(max(4*runtime.GOMAXPROCS(0)-4, 3)) / 4
	want := time.Duration(guests * rounds / share * float64(time.Millisecond))
	for i := range at {
		if took := at[i] - time.Hour; took < want/2 || took > want*3/2 {
			t.Errorf("guest %d: %d turns took %v, expected about %v", i, rounds, took, want)
		}
	}
}

// TestTicks: a memory that is asked for the size of a tick stays as it is, refuses
// nothing, and is roused from a wait.
func TestTicks(t *testing.T) {
	a := NewAllocator(Config{MaxBytes: 1 << 20})
	defer a.Close()
	set := a.NewSet()
	defer set.Free()
	l := set.Allocate(0, 1<<32).(*Linear)
	l.Reallocate(1 << 16)
	defer processors.next.Store(0)
	begin := time.Now()
	for time.Since(begin) < 2*quick {
		if l.Reallocate(TickBytes) != nil {
			t.Fatal("a tick has made the memory grow")
		}
	}
	if set.Refused() || len(l.Bytes()) != 1<<16 || l.runner.ran < quick {
		t.Errorf("refused %v, %d bytes, ran %v", set.Refused(), len(l.Bytes()), l.runner.ran)
	}
	processors.next.Store(int64(time.Since(epoch) + time.Hour))
	set.Rouse()
	l.runner.since -= 2 * turn
	begin = time.Now()
	for range tickGroup { // one of them looks at the clock
		l.tick()
	}
	if took := time.Since(begin); took > mostWait*9/10 {
		t.Errorf("waited for %v although roused", took)
	}
	set.Rest()
	if l.runner.ran != 0 {
		t.Error("has not rested")
	}
}
