package redisstore

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/extproc/extproc/internal/storetest"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// open opens the store of a server as a replica of its own.
func open(tb testing.TB, r *storetest.Redis, change func(*plugin.Store)) *host.Store {
	tb.Helper()
	return openAt(tb, tb.Output(), func(c *plugin.Store) {
		c.URL = r.URL()
		if change != nil {
			change(c)
		}
	})
}

func openAt(tb testing.TB, log io.Writer, change func(*plugin.Store)) *host.Store {
	tb.Helper()
	c := plugin.Store{Timeout: 10 * time.Second, Prefix: "test", Limits: plugin.StoreLimits{Entries: storetest.Limits.Data.Entries}}
	change(&c)
	s, err := Open(c, slog.New(slog.NewTextHandler(log, nil)), host.NewServices(nil).StoreMetrics)
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

func TestFaults(t *testing.T) {
	storetest.Faults(t, storetest.StartRedis(t), func(t *testing.T, url string, timeout time.Duration, log io.Writer) *host.Store {
		return openAt(t, log, func(c *plugin.Store) { c.URL, c.Timeout = url, timeout })
	})
}

// TestFull: Redis itself has no memory left.
func TestFull(t *testing.T) {
	r := storetest.StartRedis(t)
	s := open(t, r, nil)
	client := redis.NewClient(&redis.Options{Addr: strings.TrimSuffix(strings.TrimPrefix(r.URL(), "redis://"), "/0")})
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	b := s.Data.Bucket("vm", 0)
	if err := b.Put(t.Context(), "k", []byte("x"), host.Always); !errors.Is(err, host.ErrFull) {
		t.Errorf("put: %v", err)
	}
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	client.Set(t.Context(), "test:{vm}:k:other", "x", 0)
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "test:{vm}:k:other", "somebody else's", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), "other"); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("get of what is no value: %v", err)
	}
	if err := b.Put(t.Context(), "k", []byte("x"), host.Always); err != nil {
		t.Errorf("put after all that: %v", err)
	}
}

// TestRevisions: those that Redis forgets don't come again.
func TestRevisions(t *testing.T) {
	r := storetest.StartRedis(t)
	b := open(t, r, nil).Data.Bucket("vm", 0)
	client := redis.NewClient(&redis.Options{Addr: strings.TrimSuffix(strings.TrimPrefix(r.URL(), "redis://"), "/0")})
	defer client.Close()
	last := uint64(0)
	for range 3 {
		if err := b.Put(t.Context(), "k", nil, host.Always); err != nil {
			t.Fatal(err)
		}
		e, err := b.Get(t.Context(), "k")
		if err != nil || e.Revision <= last {
			t.Errorf("revision %d after %d, %v", e.Revision, last, err)
		}
		last = e.Revision
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
