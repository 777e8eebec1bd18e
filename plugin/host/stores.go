package host

import (
	"errors"
	"sync"

	"github.com/extproc/extproc/plugin"
)

// OpenStore opens a store that is not this process's memory. It need not be
// reachable yet.
type OpenStore func(plugin.Store, *StoreMetrics) (*Store, error)

// stores are those in use, by their configuration: plugins that were replaced keep
// theirs until they have ended.
type stores struct {
	open    OpenStore
	memory  *Store
	data    *MemoryData // of memory
	queues  *MemoryQueues
	metrics *StoreMetrics

	mu    sync.Mutex
	inUse map[plugin.Store]*storeUse
}

type storeUse struct {
	store  *Store
	spaces map[string]int // how many use each
}

// DataLimitsOf is the limits of data that a configuration has.
func DataLimitsOf(c plugin.Store) DataLimits {
	return DataLimits{Bytes: int(c.Limits.Bytes), Entries: c.Limits.Entries}.orDefault()
}

// QueueLimitsOf is the limits of queues that a configuration has.
func QueueLimitsOf(c plugin.Store) QueueLimits {
	return QueueLimits{Queues: c.Limits.Queues, Items: c.Limits.Items, Bytes: int(c.Limits.Queued)}.orDefault()
}

func newStores(open OpenStore) *stores {
	if open == nil {
		open = func(plugin.Store, *StoreMetrics) (*Store, error) {
			return nil, errors.New("there is no store but memory")
		}
	}
	s := &stores{open: open, data: NewMemoryData(DataLimits{}), queues: NewMemoryQueues(QueueLimits{}), inUse: map[plugin.Store]*storeUse{}}
	s.memory = &Store{Data: s.data, Queues: s.queues, Close: func() error { return nil }}
	s.metrics = newStoreMetrics(s)
	return s
}

// use finds or opens a store for one who uses a space of it.
func (s *stores) use(c plugin.Store, space string) (store *Store, free func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.URL == "" {
		s.data.limit(DataLimitsOf(c))
		s.queues.limit(QueueLimitsOf(c))
		c = plugin.Store{} // there is only one memory
	}
	u := s.inUse[c]
	if u == nil {
		u = &storeUse{store: s.memory, spaces: map[string]int{}}
		if c.URL != "" {
			if u.store, err = s.open(c, s.metrics); err != nil {
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
