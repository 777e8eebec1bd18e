package redisstore

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/extproc/extproc/internal/storetest"
)

// BenchmarkStore is a round trip to a server on the same machine, against go-redis
// in the same run.
func BenchmarkStore(b *testing.B) {
	r := storetest.StartRedis(b)
	options, err := redis.ParseURL(r.URL())
	if err != nil {
		b.Fatal(err)
	}
	c := redis.NewClient(options)
	b.Cleanup(func() { _ = c.Close() })
	value := make([]byte, 32)
	s := open(b, r, nil)
	storetest.Bench(b, s, s, storetest.Client{
		Get: func(ctx context.Context) error { return c.Get(ctx, "own").Err() },
		Set: func(ctx context.Context) error { return c.Set(ctx, "own", value, 0).Err() },
		Add: func(ctx context.Context) error { return c.Incr(ctx, "own-count").Err() },
	})
}
