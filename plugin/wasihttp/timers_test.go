package wasihttp

import (
	"testing"
	"time"
)

// TestTimersClosed: an exchange that outlives the plugin's timers sets none, which
// nothing would end any more.
func TestTimersClosed(t *testing.T) {
	ts := timers{all: map[string]*alarm{}}
	ts.close()
	if !ts.arm("late", time.Hour, time.Hour) {
		t.Error("it was told that there are too many timers")
	}
	if a := ts.all["late"]; a != nil {
		a.clock.Stop()
		t.Error("a timer was set after the timers had ended")
	}
}
