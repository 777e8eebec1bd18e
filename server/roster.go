package server

import (
	"sync"
	"time"

	"github.com/extproc/extproc/plugin"
)

// roster has the exchanges under way, for the sake of deadlines that are far away:
// hardly one of them is ever missed, and a timer for each would cost more than a
// look at all of them once in a while.
type roster struct{ shards [16]shard }

type shard struct {
	mu    sync.Mutex
	first *process
	armed bool
	_     [32]byte // a cache line of its own
}

// sweepPause is how often a roster is looked through. Deadlines that are nearer
// have timers.
const sweepPause = 5 * time.Second

func (r *roster) of(p *process) *shard { return &r.shards[p.ex.ID%uint64(len(r.shards))] }

func (r *roster) add(p *process) {
	s := r.of(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.after = s.first; p.after != nil {
		p.after.before = p
	}
	s.first = p
	if !s.armed {
		s.armed = true
		time.AfterFunc(sweepPause, s.sweep)
	}
}

func (r *roster) remove(p *process) {
	s := r.of(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.after != nil {
		p.after.before = p.before
	}
	if p.before != nil {
		p.before.after = p.after
	} else {
		s.first = p.after
	}
	p.after, p.before = nil, nil
}

// sweep arms the timers of deadlines that come before the next one.
func (s *shard) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	horizon := plugin.Now().In(2 * sweepPause)
	for p := s.first; p != nil; p = p.after {
		p.watch.Remind(horizon, p.goElsewhere)
	}
	if s.armed = s.first != nil; s.armed {
		time.AfterFunc(sweepPause, s.sweep)
	}
}
