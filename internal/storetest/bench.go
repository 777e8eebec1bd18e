package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin/host"
)

// Client is a store as its own client has it, to compare with.
type Client struct {
	Get, Set, Add func(context.Context) error
	// HandOver has an item sent and taken elsewhere; nil if the store has no queues.
	HandOver func(context.Context) error
}

// Bench compares a store with its client. taker is another replica's store.
func Bench(b *testing.B, s, taker *host.Store, client Client) {
	bucket := s.Data.Bucket("bench", 0)
	value := make([]byte, 32)
	for _, c := range []struct {
		name          string
		store, client func(context.Context) error
	}{
		{"set", func(ctx context.Context) error { return bucket.Put(ctx, "key", value, host.Always) }, client.Set},
		{"get", func(ctx context.Context) error { _, err := bucket.Get(ctx, "key"); return err }, client.Get},
		{"add", func(ctx context.Context) error { _, err := bucket.Add(ctx, "count", 1); return err }, client.Add},
		{"hand-over", handOver(b, s, taker), client.HandOver},
	} {
		if c.client == nil {
			continue
		}
		b.Run(c.name+"/store", func(b *testing.B) { Quantiles(b, c.store) })
		b.Run(c.name+"/client", func(b *testing.B) { Quantiles(b, c.client) })
	}
}

// Quantiles runs f as a benchmark that tells the median and the 99th percentile.
func Quantiles(b *testing.B, f func(context.Context) error) {
	b.ReportAllocs()
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if err := f(b.Context()); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	for _, q := range []struct {
		of   int
		unit string
	}{{50, "p50-ns"}, {99, "p99-ns"}} {
		b.ReportMetric(float64(took[(len(took)-1)*q.of/100]), q.unit)
	}
}

// handOver is an item's way from one replica's plugin to another's: enqueued,
// heard of, taken and acknowledged.
func handOver(b *testing.B, from, to *host.Store) func(context.Context) error {
	b.Helper()
	sending, err := from.Queues.Open(b.Context(), "bench", "queue")
	if err != nil {
		b.Fatal(err)
	}
	taking, err := to.Queues.Open(b.Context(), "bench", "queue")
	if err != nil {
		b.Fatal(err)
	}
	wake := make(chan struct{}, 1)
	b.Cleanup(taking.Subscribe(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}))
	return func(ctx context.Context) error {
		if err := sending.Enqueue(ctx, []byte("item")); err != nil {
			return err
		}
		for {
			item, err := taking.Dequeue(ctx)
			if err == nil {
				return item.Acknowledge(ctx)
			}
			select {
			case <-wake:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}
