package plugin

import "sync/atomic"

// wakes makes one channel of those that the plugins of a chain wait for. As long
// as one waits, it is that one's.
type wakes struct {
	wake   <-chan struct{}
	merged chan struct{}
}

// relay passes the wake of one plugin on to the channel of all. It takes the wake
// from the plugin's channel, and so must have ended before another exchange uses
// that.
type relay struct {
	from  <-chan struct{}
	stop  chan struct{}
	ended chan struct{}
	woken atomic.Bool
}

func (r *relay) run(to chan<- struct{}) {
	defer close(r.ended)
	select {
	case <-r.from:
		r.woken.Store(true)
		select {
		case to <- struct{}{}:
		default:
		}
	case <-r.stop:
	}
}

// end waits for the relay to end.
func (r *relay) end() {
	close(r.stop)
	<-r.ended
}

// collect has those links stepped that may have been woken. It isn't known whether
// the only one that waits was.
func (w *wakes) collect(links []link) {
	for i := range links {
		l := &links[i]
		switch {
		case l.wake == nil:
		case l.relay == nil:
			l.notify()
		case l.relay.woken.Load():
			l.relay = nil
			l.notify()
		}
	}
}

// arm readies the channel of all for the channels that the links wait for now.
func (w *wakes) arm(links []link) {
	waiting, relays := 0, 0
	w.wake = nil
	for i := range links {
		l := &links[i]
		if l.relay != nil && l.relay.from != l.wake {
			l.relay.end() // of a wake that is not waited for any more
			l.relay = nil
		}
		if l.wake != nil {
			waiting++
			w.wake = l.wake
		}
		if l.relay != nil {
			relays++
		}
	}
	if waiting < 2 && relays == 0 {
		return
	}
	if w.merged == nil {
		w.merged = make(chan struct{}, 1)
	}
	w.wake = w.merged
	for i := range links {
		l := &links[i]
		if l.wake == nil || l.relay != nil {
			continue
		}
		l.relay = &relay{from: l.wake, stop: make(chan struct{}), ended: make(chan struct{})}
		go l.relay.run(w.merged)
	}
}
