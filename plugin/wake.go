package plugin

import "sync"

// Bell is rung when something outside an exchange lets a guest go on. It outlives the
// exchange that it is used for: a ring that comes late is one step too many, no more.
type Bell struct {
	rung chan struct{}

	mu       sync.Mutex
	listener Waker
}

// Waker is told of rings.
type Waker interface{ Wake() }

// NewBell makes a bell.
func NewBell() *Bell { return &Bell{rung: make(chan struct{}, 1)} }

// Ring rings the bell. It may be called from anywhere.
func (b *Bell) Ring() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener != nil {
		b.listener.Wake()
	}
}

// Wake implements Waker: a bell may be rung by others.
func (b *Bell) Wake() { b.Ring() }

// Rung is readable when the bell was rung, once. That of nil never is.
func (b *Bell) Rung() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.rung
}

// Ringing says whether the bell was rung and nobody has heard it yet.
func (b *Bell) Ringing() bool { return b != nil && len(b.rung) > 0 }

// Still takes back a ring, and says whether there was one.
func (b *Bell) Still() bool {
	select {
	case <-b.Rung():
		return true
	default:
		return false
	}
}

// Listen has the listener, nil for none, told of rings from now on, in place of who
// was before.
func (b *Bell) Listen(listener Waker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listener = listener
}

// wakes makes one bell of those that the plugins of a chain wait for.
type wakes struct {
	wake   *Bell
	merged *Bell
}

// collect has those links stepped that were woken.
func (w *wakes) collect(links []link) {
	for i := range links {
		if l := &links[i]; l.wake.Still() {
			l.notify()
		}
	}
}

// arm has the bell of all rung by those that the links wait for now.
func (w *wakes) arm(links []link) {
	w.wake = nil
	for i := range links {
		l := &links[i]
		if l.wake == nil {
			continue
		}
		if w.merged == nil {
			w.merged = NewBell()
		}
		w.wake = w.merged
		l.wake.Listen(w.merged)
		if l.wake.Ringing() {
			w.merged.Ring()
		}
	}
}
