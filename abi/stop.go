package abi

import (
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero/api"
)

// stop ends the guest code of an instance. Metered code tests a global of its
// core instance every so often and traps when it is set.
type stop struct {
	requested atomic.Bool
	mu        sync.Mutex
	globals   []api.MutableGlobal
}

// add makes a core instance stoppable.
func (s *stop) add(g api.MutableGlobal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.globals = append(s.globals, g)
	if s.requested.Load() {
		g.Set(1)
	}
}

func (s *stop) request() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requested.Store(true)
	s.set(1)
}

func (s *stop) clear() {
	if !s.requested.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requested.Store(false)
	s.set(0)
}

func (s *stop) set(v uint64) {
	for _, g := range s.globals {
		g.Set(v)
	}
}

// Stop makes guest code trap at its next safe point, and every later call fail
// until Reset. A call it ended returns a *Trap with Stopped set. A host function
// that blocks is not interrupted; the guest is stopped when it returns. Stop may
// be called from any goroutine and at any time.
func (in *Instance) Stop() {
	in.stop.request()
	in.memories.Rouse()
}

// Rest says that the instance has done nothing for a while: guests that run for long
// at once have to let others run too.
func (in *Instance) Rest() { in.memories.Rest() }
