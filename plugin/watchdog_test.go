package plugin_test

import (
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
		w.Begin(time.Hour)
		w.End()
	}
	w.Begin(5 * time.Millisecond)
	<-stopped
	if !w.Fired() || w.Left() > 0 || w.End() < 5*time.Millisecond {
		t.Errorf("fired %v, left %v", w.Fired(), w.Left())
	}

	var unstoppable plugin.Watchdog
	defer unstoppable.Close()
	unstoppable.Begin(time.Millisecond)
	for deadline := time.Now().Add(10 * time.Second); !unstoppable.Fired(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not fired after 10 s")
		}
	}
}
