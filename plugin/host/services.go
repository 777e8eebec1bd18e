package host

import (
	"github.com/extproc/extproc/plugin"
)

// Services are what the guests of one server share, whatever their ABI.
type Services struct {
	// Store is where guests keep what they share. Space is the plugin's own part of
	// it, its vm_id, and Data the data there.
	Store   *Store
	Space   string
	Data    Bucket
	Metrics *Metrics
	Tasks   Tasks
	// StoreMetrics are the store's own.
	StoreMetrics *StoreMetrics
	// Client has the connections of Callouts, which are the plugin's own.
	Client   *Client
	Callouts *Callouts

	stores *stores
	free   func()
}

// NewServices makes a server's services. Nothing can be called with them, see
// For. They open other stores than this process's memory with open, if there is
// one.
func NewServices(open OpenStore) *Services {
	client := NewClient()
	s := newStores(open)
	return &Services{
		Store:        s.memory,
		Data:         s.memory.Data.Bucket("", 0),
		Metrics:      NewMetrics(),
		Tasks:        newTasks(),
		StoreMetrics: s.metrics,
		Client:       client,
		Callouts:     newCallouts(client, nil, CalloutLimits{}, nil),
		stores:       s,
	}
}

// For is the services as one plugin sees them: what is shared is the same, the
// clusters it may call and their limits are its own. They are to be closed with
// the plugin.
func (s *Services) For(spec *plugin.Spec) (*Services, error) {
	own := *s
	own.Space = spec.VM.ID
	var err error
	if own.Store, own.free, err = s.stores.use(spec.Store, own.Space); err != nil {
		return nil, err
	}
	own.Data = own.Store.Data.Bucket(own.Space, spec.SharedData.Lifetime)
	limits := CalloutLimits{Calls: int64(spec.Limits.Callouts), Bytes: int64(spec.Limits.CalloutBytes)}
	own.Callouts = newCallouts(s.Client, spec.Callouts, limits, spec.Log)
	return &own, nil
}

// Close ends a plugin's use of the services. What it has shared is forgotten if it
// was the last of its space and the store is this process's memory.
func (s *Services) Close() {
	s.Callouts.Close()
	if s.free != nil {
		s.free()
	}
}
