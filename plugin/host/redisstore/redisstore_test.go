package redisstore

import (
	"log/slog"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/storetest"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// open opens the store of a server as a replica of its own.
func open(tb testing.TB, r *storetest.Redis, change func(*plugin.Store)) *host.Store {
	tb.Helper()
	c := plugin.Store{URL: r.URL(), Timeout: 10 * time.Second, Prefix: "test", Limits: plugin.StoreLimits{Entries: storetest.Limits.Data.Entries}}
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
	r := storetest.StartRedis(t)
	storetest.Run(t, func(t *testing.T) *host.Store { return open(t, r, nil) }, storetest.Traits{Evicts: true, NoQueues: true})
}
