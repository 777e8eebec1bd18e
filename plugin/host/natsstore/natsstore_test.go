package natsstore

import (
	"log/slog"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/storetest"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// open opens the store of a server as a replica of its own.
func open(tb testing.TB, n *storetest.NATS, change func(*plugin.Store)) *host.Store {
	tb.Helper()
	c := plugin.Store{
		URL: n.URL(), Timeout: 10 * time.Second, Prefix: "test", Redelivery: 2 * time.Second,
		Limits: plugin.StoreLimits{
			Entries: storetest.Limits.Data.Entries, Bytes: uint64(storetest.Limits.Data.Bytes), Queues: storetest.Limits.Queues.Queues,
			Items: storetest.Limits.Queues.Items, Queued: uint64(storetest.Limits.Queues.Bytes),
		},
	}
	if change != nil {
		change(&c)
	}
	s, err := Open(c, slog.New(slog.NewTextHandler(tb.Output(), nil)), host.NewServices(nil).StoreMetrics)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	n := storetest.StartNATS(t, nil)
	storetest.Run(t, func(t *testing.T) *host.Store { return open(t, n, nil) }, storetest.Traits{})
}
