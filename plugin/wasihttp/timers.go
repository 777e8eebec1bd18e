package wasihttp

import (
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/extproc/extproc/abi"
)

const (
	maxTimers   = 1000 // of a plugin
	maxName     = 256  // bytes of the name of a timer or queue
	leastPeriod = time.Millisecond
)

// timers are those of a plugin, by name.
type timers struct {
	lane *lane

	mu     sync.Mutex
	all    map[string]*alarm
	closed bool
}

// alarm is a timer.
type alarm struct {
	name   string
	clock  *time.Timer
	period time.Duration // 0 for one that is due once
	turn   uint64        // how often it was set or cancelled
	set    bool          // it will be due
	due    bool          // a call is on its way or under way
	wanted bool          // that call has not been cancelled
	again  bool          // another is to follow
}

// arm sets a timer. It returns false if there are too many. An exchange that
// outlives the plugin's timers sets none.
func (t *timers) arm(name string, after, period time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return true
	}
	a := t.all[name]
	if a == nil {
		if len(t.all) >= maxTimers {
			return false
		}
		a = &alarm{name: strings.Clone(name)}
		t.all[a.name] = a
	}
	a.turn++
	turn := a.turn
	if a.clock != nil {
		a.clock.Stop()
	}
	a.period, a.set, a.again = period, true, false
	a.clock = time.AfterFunc(after, func() { t.fire(a, turn) })
	return true
}

// fire is called when a timer is due.
func (t *timers) fire(a *alarm, turn uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.turn != turn {
		return
	}
	if a.period > 0 {
		a.clock.Reset(a.period)
	} else {
		a.set = false
	}
	if a.due {
		a.again = a.period == 0 // a periodic one comes again anyway
		return
	}
	t.post(a)
}

// post has the handler called. The lock is held.
func (t *timers) post(a *alarm) {
	a.due, a.wanted = true, true
	posted := t.lane.post(job{
		task: task{handler: onTimer, call: func(f *abi.Func) error {
			return f.Call(context.Background(), []abi.Value{abi.String(a.name)}, nil)
		}},
		wanted: func() bool {
			t.mu.Lock()
			defer t.mu.Unlock()
			return a.wanted
		},
		done: func() { t.done(a) },
	})
	if !posted {
		a.due = false
	}
}

// done is called when the handler has returned.
func (t *timers) done(a *alarm) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.due = false
	switch {
	case a.again:
		a.again = false
		t.post(a)
	case !a.set:
		delete(t.all, a.name)
	}
}

// disarm cancels a timer, and a call that has not begun. It says whether there was
// one.
func (t *timers) disarm(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.all[name]
	if a == nil {
		return false
	}
	was := a.set || a.again
	a.stop()
	if !a.due {
		delete(t.all, name)
	}
	return was
}

func (a *alarm) stop() {
	a.turn++
	a.set, a.again, a.wanted = false, false, false
	a.clock.Stop()
}

// close cancels all timers.
func (t *timers) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, a := range t.all {
		a.stop()
	}
}

func timerSet(g *guest, c *abi.Call) error {
	name, after := c.Args[0].Str, span(c.Args[1].Num)
	var period time.Duration
	if c.Args[2].Num == 1 {
		period = span(c.Args[2].Payload().Num)
	}
	switch {
	case name == "" || len(name) > maxName:
		c.Result = c.ErrCase("invalid", abi.String("a name of 1 to 256 bytes is expected"))
	case c.Args[2].Num == 1 && period < leastPeriod:
		c.Result = c.ErrCase("invalid", abi.String("a period of 1 ms or more is expected"))
	case !g.mod.exports[onTimer]:
		c.Result = c.ErrCase("invalid", abi.String("the plugin exports no timer-handler"))
	case !g.mod.timers.arm(name, after, period):
		c.Result = c.ErrCase("too-many")
	default:
		c.ReturnOk()
	}
	return nil
}

func timerCancel(g *guest, c *abi.Call) error {
	c.Result = abi.Bool(g.mod.timers.disarm(c.Args[0].Str))
	return nil
}

// span is a duration in nanoseconds, which may be longer than any here.
func span(n uint64) time.Duration { return time.Duration(min(n, math.MaxInt64)) }
