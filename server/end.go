package server

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/extproc/extproc/plugin"
)

// ending is when the server ends.
type ending struct {
	once sync.Once
	when atomic.Int64  // a plugin.Instant; 0 as long as it isn't known
	over chan struct{} // closed then
}

func (e *ending) at() plugin.Instant { return plugin.Instant(e.when.Load()) }

// forever is a deadline that only the end of the server comes before.
const forever = plugin.Instant(math.MaxInt64)

// End has the exchanges that are still under way after a time answered as the
// policies of their plugins say: they are refused, or go on without their plugins.
// Only the first call counts.
func (s *Service) End(after time.Duration) {
	s.end.once.Do(func() {
		when := plugin.Now().In(max(after, 1))
		s.end.when.Store(int64(when))
		time.AfterFunc(after, func() { close(s.end.over) })
		s.roster.hasten(when)
	})
}

// hasten has those that wait for a message wait no longer than that. Those that
// begin to wait see for themselves.
func (r *roster) hasten(end plugin.Instant) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for p := s.first; p != nil; p = p.after {
			p.watch.Hasten(end, p.goElsewhere)
		}
		s.mu.Unlock()
	}
}
