package plugin

import (
	"context"
	"fmt"
	"time"
)

// Instant is a point on the monotonic clock, which is cheaper to read and to
// compare than a time. 0 is never.
type Instant time.Duration

// Now is the present.
func Now() Instant { return Instant(elapsed()) }

// In is the instant in a while; one that takes no time is never.
func (i Instant) In(d time.Duration) Instant {
	if d == 0 {
		return 0
	}
	return i + Instant(d)
}

// Before is the earlier of two instants.
func (i Instant) Before(j Instant) Instant {
	if i == 0 || j != 0 && j < i {
		return j
	}
	return i
}

// Passed says whether an instant lies before the present.
func (i Instant) Passed() bool { return i != 0 && i <= Now() }

// Left is the time until then.
func (i Instant) Left() time.Duration { return time.Duration(i - Now()) }

// Context is ctx until the instant at the latest; its cause is then ErrTimeout.
func (i Instant) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	if i == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, i.Left(), ErrTimeout)
}

// Bound is what a running guest is stopped by.
type Bound uint8

// The bounds.
const (
	Unbound Bound = iota
	ByTimeout
	ByCallback
	ByDue
)

// Allowance is how long a guest may run from now on that has run for so long in its
// exchange and is due then, and by what that is bound.
func (l *Limits) Allowance(used time.Duration, now, due Instant) (limit time.Duration, by Bound) {
	if l.Timeout != 0 {
		limit, by = max(l.Timeout-used, 1), ByTimeout
	}
	if l.Callback != 0 && (by == Unbound || l.Callback < limit) {
		limit, by = l.Callback, ByCallback
	}
	if due != 0 {
		if left := time.Duration(due - now); by == Unbound || left < limit {
			limit, by = max(left, 1), ByDue
		}
	}
	return limit, by
}

// Longest is how long a guest may run at a stretch at the most; 0 is for ever.
func (l *Limits) Longest() time.Duration {
	if l.Callback != 0 && (l.Timeout == 0 || l.Callback < l.Timeout) {
		return l.Callback
	}
	return l.Timeout
}

// Kind is the failure of a guest that was stopped.
func (b Bound) Kind() FailureKind {
	if b == ByDue {
		return Late
	}
	return TimedOut
}

// Overran says what a guest did that was stopped.
func (l *Limits) Overran(by Bound) string {
	switch by {
	case ByCallback:
		return fmt.Sprintf("ran for longer than %v at a stretch", l.Callback)
	case ByDue:
		return "was still running when it had to have answered"
	}
	return fmt.Sprintf("ran for longer than %v", l.Timeout)
}

// late is the failure of a plugin that keeps an exchange too long.
func (p *Plugin) late(why string) *Failure {
	return &Failure{Plugin: p.Spec.Name, Kind: Late, Message: why}
}

// Late applies the policy of the plugin that keeps a message from going on, or
// that of all if it isn't one's. The error is a *Refusal.
func (c *Chain) Late(d Direction, why string) error {
	for j := range c.links {
		i := j
		if d == Response {
			i = len(c.links) - 1 - j
		}
		l := &c.links[i]
		if m := l.ex.Message(d); m.Arrived && !l.over && !m.Complete() {
			return c.fail(i, l.plugin.late(why))
		}
	}
	return c.Fail(&Failure{Kind: Late, Message: why})
}

// Over says whether no plugin has anything more to do.
func (c *Chain) Over() bool {
	for i := range c.links {
		if !c.links[i].over {
			return c.off
		}
	}
	return true
}

// Holder is a guest that holds more of bodies than the exchange shows.
type Holder interface{ Held() int }

// Held is how many bytes of bodies wait in the chain.
func (c *Chain) Held() int {
	n := c.ex.held()
	for i := range c.links {
		l := &c.links[i]
		if l.ex != c.ex {
			n += l.ex.held()
		}
		if h, ok := l.guest.(Holder); ok {
			n += h.Held()
		}
	}
	return n
}

func (e *Exchange) held() int {
	if e == nil {
		return 0
	}
	return e.Request.In.Len() + e.Request.Out.Len() + e.Response.In.Len() + e.Response.Out.Len()
}

// Due is when the chain is to be stepped at the latest, as a plugin's time for the
// exchange is over then.
func (c *Chain) Due() Instant {
	due := Instant(0)
	for i := range c.links {
		if l := &c.links[i]; !l.over {
			due = due.Before(l.until)
		}
	}
	return due
}

// expire fails the plugins whose time is over.
func (c *Chain) expire() error {
	if !c.Due().Passed() {
		return nil
	}
	now := Now()
	for i := range c.links {
		l := &c.links[i]
		if l.over || l.until == 0 || l.until > now {
			continue
		}
		if err := c.fail(i, l.plugin.late(fmt.Sprintf("took longer than %v for the exchange", l.plugin.Spec.Limits.Exchange))); err != nil {
			return err
		}
	}
	return nil
}
