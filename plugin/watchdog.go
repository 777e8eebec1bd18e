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

	mu       sync.Mutex
	timer    *time.Timer
	due      time.Duration // when the timer fires; 0 when it isn't armed
	deadline time.Duration // 0 while the guest doesn't run
	began    time.Duration
	paused   time.Duration // when it was paused, 0 if it isn't
	left     time.Duration // until the deadline then
	bit      atomic.Bool
}

// epoch is what a watchdog's times are counted from: differences of the monotonic
// clock are cheaper than times.
var epoch = time.Now()

func elapsed() time.Duration { return time.Since(epoch) }

// Begin takes note that the guest runs, for no longer than limit.
func (w *Watchdog) Begin(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began = elapsed()
	w.deadline = w.began + limit
	if w.due == 0 || w.due > w.deadline {
		w.arm(limit)
	}
}

// BeginBy is Begin with a point in time as the limit. Without stop there is no
// timer yet: Remind will be called in time.
func (w *Watchdog) BeginBy(deadline Instant, stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = time.Duration(deadline)
	if stop == nil {
		return
	}
	w.Stop = stop
	if w.due == 0 || w.due > w.deadline {
		w.arm(max(deadline.Left(), 1))
	}
}

// Remind arms the timer if the deadline comes before the horizon.
func (w *Watchdog) Remind(horizon Instant, stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if deadline := Instant(w.deadline); deadline != 0 && deadline <= horizon && w.due == 0 && !w.bit.Load() {
		w.Stop = stop
		w.arm(max(deadline.Left(), 1))
	}
}

// Hasten brings the deadline forward, if there is one.
func (w *Watchdog) Hasten(deadline Instant, stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deadline == 0 || w.deadline <= time.Duration(deadline) || w.bit.Load() {
		return
	}
	w.deadline, w.Stop = time.Duration(deadline), stop
	if w.due == 0 || w.due > w.deadline {
		w.arm(max(deadline.Left(), 1))
	}
}

// Done is End that tells whether the deadline was missed, and not how long it took.
func (w *Watchdog) Done() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = 0
	return w.bit.Load()
}

func (w *Watchdog) arm(d time.Duration) {
	w.due = elapsed() + d
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.check)
	} else {
		w.timer.Reset(d)
	}
}

// End takes note that the guest doesn't run, and returns how long it did.
func (w *Watchdog) End() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = 0
	return elapsed() - w.began
}

// Pause takes note that the guest, which runs, waits for something outside from
// now on. Until Resume its time stands still.
func (w *Watchdog) Pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deadline == 0 {
		return
	}
	w.paused = elapsed()
	w.left = w.deadline - w.paused
	w.deadline = 0
}

// Resume takes note that the guest goes on, and returns how long it has waited.
func (w *Watchdog) Resume() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.paused == 0 {
		return 0
	}
	now := elapsed()
	waited := now - w.paused
	w.paused = 0
	w.began += waited
	left := max(w.left, 1)
	w.deadline = now + left
	if w.due == 0 || w.due > w.deadline {
		w.arm(left)
	}
	return waited
}

// Left is how long the guest may still run.
func (w *Watchdog) Left() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.deadline - elapsed()
}

// check stops the guest if it is past its deadline. The lock keeps it from
// stopping one that has come back meanwhile.
func (w *Watchdog) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = 0
	if w.deadline == 0 || w.bit.Load() {
		return
	}
	if left := w.deadline - elapsed(); left > 0 {
		w.arm(left)
		return
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
	w.deadline = 0
	if w.timer != nil {
		w.timer.Stop()
	}
}
