package plugin_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// TestWatchdog: runs that end in time are left alone, one that does not is
// stopped once, and one that nothing can stop is only told of.
func TestWatchdog(t *testing.T) {
	stopped := make(chan struct{}, 2)
	w := plugin.Watchdog{Stop: func() { stopped <- struct{}{} }}
	defer w.Close()
	for range 3 {
		w.Begin(plugin.Now(), time.Hour)
		w.End(plugin.Now())
	}
	w.Begin(plugin.Now(), 5*time.Millisecond)
	<-stopped
	if !w.Fired() || w.Left() > 0 || w.End(plugin.Now()) < 5*time.Millisecond {
		t.Errorf("fired %v, left %v", w.Fired(), w.Left())
	}

	var unstoppable plugin.Watchdog
	defer unstoppable.Close()
	unstoppable.Begin(plugin.Now(), time.Millisecond)
	for deadline := time.Now().Add(10 * time.Second); !unstoppable.Fired(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not fired after 10 s")
		}
	}
}

// TestWatchdogPauses: a guest that waits isn't stopped and doesn't use up its time,
// but one that goes on after it may be stopped.
func TestWatchdogPauses(t *testing.T) {
	stopped := make(chan struct{}, 2)
	w := plugin.Watchdog{Stop: func() { stopped <- struct{}{} }}
	defer w.Close()
	w.Pause() // nothing runs
	if waited := w.Resume(); waited != 0 {
		t.Errorf("a guest that didn't run has waited for %v", waited)
	}
	const limit = 2 * time.Second
	began := time.Now()
	w.Begin(plugin.Now(), limit)
	w.Pause()
	time.Sleep(limit + 500*time.Millisecond)
	if w.Fired() {
		t.Error("stopped while it waited")
	}
	waited := w.Resume()
	left := w.Left()
	if used := w.End(plugin.Now()); waited < limit || left < limit/2 || used > time.Since(began)-waited {
		t.Errorf("waited for %v, then had %v left, and used %v", waited, left, used)
	}
	w.Begin(plugin.Now(), 20*time.Millisecond)
	w.Pause()
	w.Resume()
	<-stopped
}

// TestWatchdogEnds: a guest that comes back just as its time is over has either been
// stopped by then or is left alone, in its next run too.
func TestWatchdogEnds(t *testing.T) {
	const limit = 100 * time.Microsecond
	fired := 0
	for i := range 2000 {
		var stopped atomic.Bool
		w := plugin.Watchdog{Stop: func() { stopped.Store(true) }}
		now := plugin.Now()
		w.Begin(now, limit)
		for back := now.In(limit - 50*time.Microsecond + time.Duration(i)*100*time.Nanosecond); !back.Passed(); {
			runtime.Gosched()
		}
		w.End(plugin.Now())
		late := w.Fired()
		if late {
			fired++
		} else {
			now = plugin.Now()
			w.Begin(now, time.Hour)
			for back := now.In(20 * time.Microsecond); !back.Passed(); {
				runtime.Gosched()
			}
			w.End(plugin.Now())
		}
		if w.Fired() != late || stopped.Load() != late {
			t.Fatalf("run %d: fired %v at its end, later %v and stopped %v", i, late, w.Fired(), stopped.Load())
		}
		w.Close()
	}
	t.Logf("%d of 2000 were stopped", fired)
}
