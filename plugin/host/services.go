package host

import "github.com/extproc/extproc/plugin"

// Services are what the guests of one server share, whatever their ABI.
type Services struct {
	Data    *SharedData
	Queues  *Queues
	Metrics *Metrics
	// Client makes streamed calls, Callouts those that are sent and answered as a
	// whole and gRPC.
	Client   *Client
	Callouts *Callouts
}

// NewServices makes a server's services. Nothing can be called with them, see
// For.
func NewServices() *Services {
	client := NewClient()
	return &Services{
		Data:     NewSharedData(DataLimits{}),
		Queues:   NewQueues(QueueLimits{}),
		Metrics:  NewMetrics(),
		Client:   client,
		Callouts: newCallouts(&client.transports, nil, CalloutLimits{}),
	}
}

// For is the services as one plugin sees them: what is shared is the same, the
// clusters it may call and their limits are its own. Its Callouts are to be
// closed with the plugin.
func (s *Services) For(clusters map[string]*plugin.Cluster) *Services {
	own := *s
	own.Callouts = newCallouts(&s.Client.transports, clusters, CalloutLimits{})
	return &own
}
