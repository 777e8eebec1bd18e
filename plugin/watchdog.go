package plugin

import (
	"sync"
	"sync/atomic"
	"time"
)

// Watchdog stops a guest that runs too long. Its timer is armed once in a while,
// not for every run. Fired, Left and Close may be called at any time.
type Watchdog struct {
	// Stop is called once, on any goroutine, when a guest has run too long. It may
	// be nil for one that nothing can stop.
	Stop func()

	// The guest's goroutine begins and ends runs without the lock, which is the
	// timer's and everybody else's. It writes deadline and then reads due; check
	// writes due and then reads deadline: one of the two sees that the timer is to be
	// armed.
	deadline atomic.Int64 // 0 while the guest doesn't run, missed once it was stopped
	due      atomic.Int64 // when the timer fires; 0 when it isn't armed
	bit      atomic.Bool

	began  Instant
	paused Instant       // when it was paused, 0 if it isn't
	left   time.Duration // until the deadline then

	mu    sync.Mutex
	timer *time.Timer
}

// missed is the deadline of a guest that was stopped.
const missed = -1

// epoch is what a watchdog's times are counted from: differences of the monotonic
// clock are cheaper than times.
var epoch = time.Now()

func elapsed() time.Duration { return time.Since(epoch) }

// Begin takes note that the guest runs from now on, for no longer than limit.
func (w *Watchdog) Begin(now Instant, limit time.Duration) {
	w.began = now
	deadline := int64(now) + int64(limit)
	w.deadline.Store(deadline)
	if due := w.due.Load(); due == 0 || due > deadline {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.arm(limit)
	}
}

// BeginBy is Begin with a point in time as the limit. Without stop there is no
// timer yet: Remind will be called in time.
func (w *Watchdog) BeginBy(deadline Instant, stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline.Store(int64(deadline))
	if stop == nil {
		return
	}
	w.Stop = stop
	w.armBy(deadline)
}

// Remind arms the timer if the deadline comes before the horizon.
func (w *Watchdog) Remind(horizon Instant, stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if deadline := Instant(w.deadline.Load()); deadline > 0 && deadline <= horizon && w.due.Load() == 0 {
		w.Stop = stop
		w.armBy(deadline)
	}
}

// Hasten brings the deadline forward, if there is one.
func (w *Watchdog) Hasten(deadline Instant, stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.deadline.Load()
	if was <= int64(deadline) || !w.deadline.CompareAndSwap(was, int64(deadline)) {
		return
	}
	w.Stop = stop
	w.armBy(deadline)
}

// Done is End that tells whether the deadline was missed, and not how long it took.
func (w *Watchdog) Done() bool {
	w.end()
	return w.bit.Load()
}

// end takes the deadline back. If it was missed just now, it is waited for that the
// guest is told: what runs next is not to be stopped for it.
func (w *Watchdog) end() {
	if w.deadline.Swap(0) == missed {
		w.mu.Lock()
		defer w.mu.Unlock()
	}
}

// armBy arms the timer unless it fires early enough.
func (w *Watchdog) armBy(deadline Instant) {
	if due := w.due.Load(); due == 0 || due > int64(deadline) {
		w.arm(max(deadline.Left(), 1))
	}
}

func (w *Watchdog) arm(d time.Duration) {
	w.due.Store(int64(elapsed() + d))
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.check)
	} else {
		w.timer.Reset(d)
	}
}

// End takes note that the guest doesn't run any more, and returns how long it did.
func (w *Watchdog) End(now Instant) time.Duration {
	w.end()
	return time.Duration(now - w.began)
}

// Pause takes note that the guest, which runs, waits for something outside from
// now on. Until Resume its time stands still.
func (w *Watchdog) Pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	deadline := w.deadline.Load()
	if deadline == 0 {
		return
	}
	w.paused = Now()
	w.left = time.Duration(deadline) - time.Duration(w.paused)
	w.deadline.Store(0)
}

// Resume takes note that the guest goes on, and returns how long it has waited.
func (w *Watchdog) Resume() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.paused == 0 {
		return 0
	}
	now := Now()
	waited := now - w.paused
	w.paused = 0
	w.began += waited
	deadline := now.In(max(w.left, 1))
	w.deadline.Store(int64(deadline))
	w.armBy(deadline)
	return time.Duration(waited)
}

// Left is how long the guest may still run.
func (w *Watchdog) Left() time.Duration { return Instant(w.deadline.Load()).Left() }

// check stops the guest if it is past its deadline, unless it has come back
// meanwhile.
func (w *Watchdog) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due.Store(0)
	for {
		deadline := w.deadline.Load()
		if deadline <= 0 || w.bit.Load() {
			return
		}
		if left := Instant(deadline).Left(); left > 0 {
			w.arm(left)
			return
		}
		if w.deadline.CompareAndSwap(deadline, missed) {
			break
		}
	}
	w.bit.Store(true)
	if w.Stop != nil {
		w.Stop()
	}
}

// Fired reports whether a guest was stopped.
func (w *Watchdog) Fired() bool { return w.bit.Load() }

// Overdue is Fired for a guest whose deadline may just have passed: it is stopped
// then.
func (w *Watchdog) Overdue() bool {
	w.check()
	return w.Fired()
}

// Close ends the watch.
func (w *Watchdog) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline.Store(0)
	if w.timer != nil {
		w.timer.Stop()
	}
}
