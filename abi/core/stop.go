package core

import "sync"

// StopGlobal is an instance's export StopExport, as an engine offers it:
// wazero's api.MutableGlobal.
type StopGlobal interface{ Set(v uint64) }

// Stop ends the code that runs in a set of metered instances, such as those of
// one component instance. One goroutine brackets its calls with Begin and End;
// any other may call Request meanwhile. The code traps with unreachable at its
// next test, at most Interval turns later; host functions must look at
// Requested themselves.
type Stop struct {
	mu        sync.Mutex
	globals   []StopGlobal
	run       uint64 // of the current bracket; 0 if there is none
	runs      uint64
	requested bool
}

// NewStop makes a Stop of the stop globals of metered instances.
func NewStop(globals ...StopGlobal) *Stop { return &Stop{globals: globals} }

// Begin allows requests until End and returns what names this run to Request.
func (s *Stop) Begin() (run uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.run = s.runs
	return s.run
}

// Request asks the code of a run to end. It has no effect on other runs, so a
// timer that fires late does no harm.
func (s *Stop) Request(run uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if run == 0 || run != s.run || s.requested {
		return
	}
	s.requested = true
	s.set(1)
}

// Requested reports whether the current run was asked to end.
func (s *Stop) Requested() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requested
}

// End ends a run, clears the globals, and reports whether a request came before
// it, which explains a trap.
func (s *Stop) End() (requested bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	requested = s.requested
	if requested {
		s.set(0)
	}
	s.run, s.requested = 0, false
	return requested
}

func (s *Stop) set(v uint64) {
	for _, g := range s.globals {
		g.Set(v)
	}
}
