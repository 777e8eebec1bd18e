package memory

import (
	"runtime"
	"sync/atomic"
	"time"
)

// TickBytes is the size that code asks for to say that it runs (core.TickPages).
const TickBytes = 65535 << 16

// Guests that run for long take turns, so that a part of the processors stays free
// for all that is quick: compiled code gives way only where it has to, and with as
// many loops as processors nothing else would be heard of for tens of milliseconds.
const (
	// quick is how long a guest may run before it has to take turns.
	quick = 5 * time.Millisecond
	// turn is about how long it then runs at once.
	turn = time.Millisecond
	// longest is the most that a turn counts for, and that is waited for one.
	longest  = 5 * time.Millisecond
	mostWait = 50 * time.Millisecond
	// tickGroup is how many ticks there are for one look at the clock.
	tickGroup = 8
)

// runner is what is known of how a guest runs.
type runner struct {
	ticks int
	since time.Duration // of the turn
	ran   time.Duration
}

// turns is when the next turn begins, for the whole process as processors are.
type turns struct{ next atomic.Int64 }

var processors turns

var epoch = time.Now()

// take gives a guest that has run for so long its next turn: guests that take turns
// use all processors but one, and most of one if there are no more.
func (t *turns) take(ran, now time.Duration) (wait time.Duration) {
	cost := int64(ran) * 4 / int64(max(4*runtime.GOMAXPROCS(0)-4, 3))
	for {
		next := t.next.Load()
		at := min(max(next, int64(now-longest)), int64(now+mostWait))
		if t.next.CompareAndSwap(next, at+cost) {
			return min(time.Duration(at+cost)-now, mostWait)
		}
	}
}

// tick is called by a guest that runs, every 10 to 100 µs.
func (l *Linear) tick() {
	r := &l.runner
	if r.ticks++; r.ticks%tickGroup != 0 {
		return
	}
	now := time.Since(epoch)
	if r.since == 0 {
		r.since = now
		return
	}
	turned := now - r.since
	if turned < turn {
		return
	}
	r.ran += turned
	r.since = now
	if r.ran < quick {
		return
	}
	if wait := processors.take(min(turned, longest), now); wait > 0 {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.set.rouse:
		}
		timer.Stop()
		r.since = time.Since(epoch)
		return
	}
	runtime.Gosched()
	r.since = time.Since(epoch)
}

// Rest takes note that the guest begins to run anew.
func (s *Set) Rest() {
	for _, l := range s.linears {
		l.runner = runner{}
	}
}

// Rouse has a guest that waits for its turn go on, as when it is to be stopped. It
// may be called by any goroutine.
func (s *Set) Rouse() {
	select {
	case s.rouse <- struct{}{}:
	default:
	}
}
