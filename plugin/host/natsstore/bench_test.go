package natsstore

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/extproc/extproc/internal/storetest"
)

// BenchmarkStore is a round trip to a server in the same process, against NATS's
// own client in the same run.
func BenchmarkStore(b *testing.B) {
	n := storetest.StartNATS(b, nil)
	storetest.Bench(b, open(b, n, nil), open(b, n, nil), client(b, n.URL()))
}

func client(b *testing.B, url string) storetest.Client {
	b.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	kv, err := js.CreateKeyValue(b.Context(), jetstream.KeyValueConfig{Bucket: "own"})
	if err != nil {
		b.Fatal(err)
	}
	stream, err := js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: "OWN", Subjects: []string{"own"}, Retention: jetstream.WorkQueuePolicy,
	})
	if err != nil {
		b.Fatal(err)
	}
	consumer, err := stream.CreateConsumer(b.Context(), jetstream.ConsumerConfig{Durable: "own", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 32)
	return storetest.Client{
		Get: func(ctx context.Context) error { _, err := kv.Get(ctx, "key"); return err },
		Set: func(ctx context.Context) error { _, err := kv.Put(ctx, "key", value); return err },
		HandOver: func(ctx context.Context) error {
			if _, err := js.Publish(ctx, "own", []byte("item")); err != nil {
				return err
			}
			m, err := consumer.Next()
			if err != nil {
				return err
			}
			return m.DoubleAck(ctx)
		},
	}
}
