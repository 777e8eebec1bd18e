package host

import (
	"errors"
	"sync"

	"github.com/extproc/extproc/plugin"
)

// OpenStore opens a store that is not this process's memory. It need not be
// reachable yet.
type OpenStore func(plugin.Store) (*Store, error)

// stores are those in use, by their configuration: plugins that were replaced keep
// theirs until they have ended.
type stores struct {
	open   OpenStore
	memory *Store

	mu    sync.Mutex
	inUse map[plugin.Store]*storeUse
}

type storeUse struct {
	store  *Store
	spaces map[string]int // how many use each
}

func newStores(open OpenStore) *stores {
	if open == nil {
		open = func(plugin.Store) (*Store, error) { return nil, errors.New("there is no store but memory") }
	}
	memory := &Store{
		Data:   NewMemoryData(DataLimits{}),
		Queues: NewMemoryQueues(QueueLimits{}),
		Close:  func() error { return nil },
	}
	return &stores{open: open, memory: memory, inUse: map[plugin.Store]*storeUse{}}
}

// use finds or opens a store for one who uses a space of it.
func (s *stores) use(c plugin.Store, space string) (store *Store, free func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.URL == "" {
		c = plugin.Store{} // there is only one memory
	}
	u := s.inUse[c]
	if u == nil {
		u = &storeUse{store: s.memory, spaces: map[string]int{}}
		if c.URL != "" {
			if u.store, err = s.open(c); err != nil {
				return nil, nil, err
			}
		}
		s.inUse[c] = u
	}
	u.spaces[space]++
	return u.store, sync.OnceFunc(func() { s.free(c, u, space) }), nil
}

func (s *stores) free(c plugin.Store, u *storeUse, space string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.spaces[space]--; u.spaces[space] > 0 {
		return
	}
	delete(u.spaces, space)
	u.store.Data.Forget(space) // as in Envoy, what a vm_id shares goes with its last VM
	u.store.Queues.Forget(space)
	if len(u.spaces) == 0 {
		delete(s.inUse, c)
		_ = u.store.Close() // what it has to say is in the log
	}
}
