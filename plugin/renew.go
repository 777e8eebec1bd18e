package plugin

import (
	"errors"
	"sync"
	"time"
)

// Renewable is a module whose instances can be replaced. Exchanges under way end
// on those that they have.
type Renewable interface{ Renew() }

// The backoff of a configuration that names none, which are Envoy's.
const (
	backoffBase = time.Second
	backoffMost = time.Minute
)

// Bounds are the shortest and the longest wait, with defaults filled in.
func (b Backoff) Bounds() (base, most time.Duration) {
	base, most = b.Base, b.Most
	if base <= 0 {
		base = backoffBase
	}
	if most <= 0 {
		most = max(backoffMost, base)
	}
	return base, most
}

// renewals keeps a plugin that goes on failing from being replaced all the time.
type renewals struct {
	mu   sync.Mutex
	last time.Time
	wait time.Duration // before the next; 0 before the first
}

// due says whether a plugin that has just failed is to be replaced now. The wait
// doubles each time, until the plugin has been well for a while.
func (r *renewals) due(b Backoff, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	base, most := b.Bounds()
	since := now.Sub(r.last)
	switch {
	case r.wait == 0 || since >= r.wait+most:
		r.wait = base
	case since < r.wait:
		return false
	default:
		r.wait = min(2*r.wait, most)
	}
	r.last = now
	return true
}

// guilty says whether a failure is one of the guest's own doing: waiting, or a body
// that it may not read, makes no instance a bad one.
func guilty(err error) bool {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return f.Kind != TooLarge && f.Kind != Late
	}
	return errors.Is(err, ErrTrap)
}

// renew replaces the instances of a plugin whose guest has failed with err, if its
// strategy says so, and reports whether it did, or put it off.
func (p *Plugin) renew(err error) Renewal {
	module, ok := p.Module.(Renewable)
	if !ok || p.Spec.FailStrategy != FailReload || !guilty(err) {
		return NotRenewed
	}
	if !p.renewals.due(p.Spec.VM.Backoff, time.Now()) {
		return RenewedSoon
	}
	module.Renew()
	return Renewed
}

// Renewal says what a failure meant for a plugin's instances.
type Renewal uint8

const (
	// NotRenewed: they stay, but for the one that failed.
	NotRenewed Renewal = iota
	// Renewed: all are being replaced.
	Renewed
	// RenewedSoon: they were replaced a moment ago; the backoff says when again.
	RenewedSoon
)
