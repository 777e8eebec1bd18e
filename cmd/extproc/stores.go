package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
	"github.com/extproc/extproc/plugin/host/natsstore"
	"github.com/extproc/extproc/plugin/host/redisstore"
)

// stores opens the stores that this program knows, by the scheme of their URL.
func stores(log *slog.Logger) host.OpenStore {
	return func(c plugin.Store, metrics *host.StoreMetrics) (*host.Store, error) {
		switch scheme, _, _ := strings.Cut(c.URL, "://"); scheme {
		case "nats", "tls":
			return natsstore.Open(c, log, metrics)
		case "redis", "rediss":
			return redisstore.Open(c, log, metrics)
		default:
			return nil, fmt.Errorf("store %s: expected nats, tls, redis or rediss in place of %s", c.URL, scheme)
		}
	}
}

// apart opens memory in place of every store, for commands that only look at
// plugins: what replicas share is none of theirs, and may not be reachable.
func apart(c plugin.Store, _ *host.StoreMetrics) (*host.Store, error) {
	return &host.Store{
		Data:   host.NewMemoryData(host.DataLimitsOf(c)),
		Queues: host.NewMemoryQueues(host.QueueLimitsOf(c)),
		Close:  func() error { return nil },
	}, nil
}
