package wasihttp

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/extproc/extproc/abi"
)

// instance is an instance of a plugin with the goroutine it runs on. The two
// goroutines that meet here pass a baton: of the stream's and the guest's one
// runs, and the other waits. iter.Pull switches between them without the
// scheduler.
type instance struct {
	abi     *abi.Instance
	handler *abi.Func
	guest   *guest // whose exchange it works on
	watch   watchdog

	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
}

func newInstance(i *abi.Instance, handler *abi.Func) *instance {
	inst := &instance{abi: i, handler: handler}
	inst.watch.stop = i.Stop
	inst.next, inst.stop = iter.Pull(inst.run)
	return inst
}

// run is the guest's goroutine: one exchange after the other.
func (i *instance) run(yield func(struct{}) bool) {
	i.yield = yield
	for {
		i.guest.handle()
		if !yield(struct{}{}) {
			return
		}
	}
}

// resume lets the guest run until it waits or its handler has returned.
func (i *instance) resume(g *guest) {
	limit := g.mod.spec.Limits.Timeout
	if limit == 0 {
		i.next()
		return
	}
	i.watch.begin(limit - g.used)
	i.next()
	g.used += i.watch.end()
}

// unwind ends a guest that waits: the host function it waits in fails.
func (i *instance) unwind() { i.stop() }

// overran reports whether the guest was stopped for running too long.
func (i *instance) overran() bool { return i.watch.fired() }

// close ends the instance and its goroutine.
func (i *instance) close() {
	i.stop()
	i.abi.Close(context.Background())
}

// watchdog stops a guest that runs too long. Its timer is armed once in a
// while, not for every run.
type watchdog struct {
	stop func()

	mu       sync.Mutex
	timer    *time.Timer
	due      int64 // when the timer fires; 0 when it isn't armed
	deadline int64 // on the monotonic clock; 0 while the guest doesn't run
	began    int64
	bit      bool
}

func (w *watchdog) begin(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began = monotonic()
	w.deadline = w.began + int64(limit)
	if w.due == 0 || w.due > w.deadline {
		w.arm(limit)
	}
}

func (w *watchdog) arm(d time.Duration) {
	w.due = monotonic() + int64(d)
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.check)
	} else {
		w.timer.Reset(d)
	}
}

// end takes note that the guest doesn't run, and returns how long it did.
func (w *watchdog) end() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = 0
	return time.Duration(monotonic() - w.began)
}

// check stops the guest if it is past its deadline. The lock keeps it from
// stopping one that has come back meanwhile.
func (w *watchdog) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.due = 0
	if w.deadline == 0 || w.bit {
		return
	}
	if left := w.deadline - monotonic(); left > 0 {
		w.arm(time.Duration(left))
		return
	}
	w.bit = true
	w.stop()
}

func (w *watchdog) fired() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bit
}
