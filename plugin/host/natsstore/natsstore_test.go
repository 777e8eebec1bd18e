package natsstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/extproc/extproc/internal/storetest"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// open opens the store of a server as a replica of its own.
func open(tb testing.TB, n *storetest.NATS, change func(*plugin.Store)) *host.Store {
	tb.Helper()
	return openAt(tb, tb.Output(), func(c *plugin.Store) {
		c.URL = n.URL()
		if change != nil {
			change(c)
		}
	})
}

func openAt(tb testing.TB, log io.Writer, change func(*plugin.Store)) *host.Store {
	tb.Helper()
	c := plugin.Store{
		Timeout: 10 * time.Second, Prefix: "test", Redelivery: 2 * time.Second,
		Limits: plugin.StoreLimits{
			Entries: storetest.Limits.Data.Entries, Bytes: uint64(storetest.Limits.Data.Bytes), Queues: storetest.Limits.Queues.Queues,
			Items: storetest.Limits.Queues.Items, Queued: uint64(storetest.Limits.Queues.Bytes),
		},
	}
	change(&c)
	s, err := Open(c, slog.New(slog.NewTextHandler(log, nil)), host.NewServices(nil).StoreMetrics)
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

func TestFaults(t *testing.T) {
	storetest.Faults(t, storetest.StartNATS(t, nil), func(t *testing.T, url string, timeout time.Duration, log io.Writer) *host.Store {
		return openAt(t, log, func(c *plugin.Store) { c.URL, c.Timeout = url, timeout })
	})
}

// TestItemsSurvive: what was enqueued is there after a restart, what was taken and
// not acknowledged comes again, also when the taker is gone, and subscribers hear of
// both.
func TestItemsSurvive(t *testing.T) {
	n := storetest.StartNATS(t, nil)
	first, second := open(t, n, nil), open(t, n, nil)
	q := openSoon(t, first)
	for _, data := range []string{"1", "2"} {
		if err := q.Enqueue(t.Context(), []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := q.Dequeue(t.Context()); err != nil || string(i.Data()) != "1" {
		t.Fatalf("dequeue: %v", err)
	}
	_ = first.Close() // with 1 in its hands
	n.Stop()
	n.Start(t)
	got := make(chan string, 10)
	other := openSoon(t, second)
	leave := other.Subscribe(func() {
		go func() {
			for {
				i, err := other.Dequeue(t.Context())
				if err != nil {
					return
				}
				if i.Acknowledge(t.Context()) == nil {
					got <- string(i.Data())
				}
			}
		}()
	})
	defer leave()
	seen := map[string]bool{}
	for len(seen) < 2 {
		select {
		case data := <-got:
			seen[data] = true
		case <-time.After(30 * time.Second):
			t.Fatalf("only %v have come", seen)
		}
	}
}

// openSoon opens the queue as soon as the store is back.
func openSoon(t *testing.T, s *host.Store) host.Queue {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		q, err := s.Queues.Open(t.Context(), "vm", "q")
		if err == nil {
			return q
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestOperators: keys that were deleted and streams that were removed or made with
// NATS's own tools.
func TestOperators(t *testing.T) {
	n := storetest.StartNATS(t, nil)
	s := open(t, n, nil)
	b := s.Data.Bucket("vm", 0)
	conn, err := nats.Connect(n.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.Put(t.Context(), "a.b", []byte("1"), host.Always))
	kv, err := js.KeyValue(t.Context(), "test_vm")
	must(err)
	if e, err := kv.Get(t.Context(), "a=2Eb"); err != nil || string(e.Value()) != "1" {
		t.Errorf("NATS's own client gets %v, %v", e, err)
	}
	must(kv.Delete(t.Context(), "a=2Eb"))
	if _, err := b.Get(t.Context(), "a.b"); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if keys, err := b.Keys(t.Context(), "", 10); err != nil || len(keys) != 0 {
		t.Errorf("keys %q, %v", keys, err)
	}
	must(b.Put(t.Context(), "a.b", []byte("2"), host.Absent))
	must(kv.Delete(t.Context(), "a=2Eb"))
	if sum, err := b.Add(t.Context(), "a.b", 3); err != nil || sum != 3 {
		t.Errorf("add: %d, %v", sum, err)
	}
	before, err := b.Get(t.Context(), "a.b")
	must(err)
	must(js.DeleteStream(t.Context(), "KV_test_vm"))
	if _, err := b.Get(t.Context(), "a.b"); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("get from a stream that was removed: %v", err)
	}
	must(b.Put(t.Context(), "a.b", []byte("4"), host.Always))
	if after, err := b.Get(t.Context(), "a.b"); err != nil || after.Revision <= before.Revision {
		t.Errorf("revision %d after %d, %v", after.Revision, before.Revision, err)
	}
	_, err = js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "test_other"})
	must(err)
	if err := s.Data.Bucket("other", 0).Put(t.Context(), "k", nil, host.Always); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("put into a bucket whose answers may be old: %v", err)
	}
}

// TestCredentials: who may in, and who may not.
func TestCredentials(t *testing.T) {
	n := storetest.StartNATS(t, func(o *server.Options) { o.Username, o.Password = "me", "secret" })
	b := open(t, n, func(c *plugin.Store) { c.Username, c.Password = "me", "secret" }).Data.Bucket("vm", 0)
	if err := b.Put(t.Context(), "k", nil, host.Always); err != nil {
		t.Error(err)
	}
	stranger := open(t, n, func(c *plugin.Store) { c.Username, c.Password, c.Timeout = "me", "guess", time.Second }).Data.Bucket("vm", 0)
	if err := stranger.Put(t.Context(), "k", nil, host.Always); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("a stranger: %v", err)
	}
}

// TestNames: encoded names are as NATS allows them, and no two are alike.
func TestNames(t *testing.T) {
	var all []string
	for i := range 256 {
		all = append(all, string([]byte{byte(i)}), fmt.Sprintf("_%02x", i), fmt.Sprintf("=%02X", i))
	}
	all = append(all, "", "__", strings.Repeat("x", 101), strings.Repeat("X", 101), name(strings.Repeat("x", 101)))
	names, keys := map[string]string{}, map[string]string{}
	for _, s := range all {
		n, k := name(s), key(s)
		if other, taken := names[n]; taken && other != s {
			t.Errorf("%q and %q have the name %s", s, other, n)
		}
		if other, taken := keys[k]; taken && other != s {
			t.Errorf("%q and %q have the key %s", s, other, k)
		}
		names[n], keys[k] = s, s
		if strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || n == "" || len(n) > longestName {
			t.Errorf("%q has the name %q", s, n)
		}
		if back, ok := unkey(k); !ok || back != s {
			t.Errorf("%q comes back as %q, %t", s, back, ok)
		}
	}
	for _, s := range []string{"a=", "a=2", "a=2e", "=41", "a.b", "=ZZ"} {
		if back, ok := unkey(s); ok {
			t.Errorf("%q is no key, but comes back as %q", s, back)
		}
	}
}

// TestRefusedQueues: nothing is kept of queues that there may not be.
func TestRefusedQueues(t *testing.T) {
	n := storetest.StartNATS(t, nil)
	s := open(t, n, nil)
	for i := range 20 {
		_, err := s.Queues.Open(t.Context(), "s", fmt.Sprint("q", i))
		if most := storetest.Limits.Queues.Queues; i >= most && !errors.Is(err, host.ErrTooMany) {
			t.Errorf("queue %d of %d: %v", i+1, most, err)
		}
	}
	if kept := len((*store)(s.Queues.(*queues)).open); kept != storetest.Limits.Queues.Queues {
		t.Errorf("%d queues are kept", kept)
	}
}

// TestSumsLive: who adds at the same time to a number that is to live for another
// time is not put together.
func TestSumsLive(t *testing.T) {
	var s sums
	release, began := make(chan struct{}), make(chan struct{})
	go func() {
		_, _ = s.add(t.Context(), number{"n", time.Second}, 1, func(context.Context, int64) (int64, error) {
			close(began)
			<-release
			return 1, nil
		})
	}()
	<-began
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if got, err := s.add(ctx, number{"n", 0}, 2, func(context.Context, int64) (int64, error) { return 7, nil }); got != 7 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}

// TestContended: a key that others write all the time is not the store's end for all.
func TestContended(t *testing.T) {
	n := storetest.StartNATS(t, nil)
	s := open(t, n, func(c *plugin.Store) { c.Timeout = 2 * time.Second })
	b := s.Data.Bucket("s", 0).(*bucket)
	if err := b.Put(t.Context(), "k", []byte("1"), host.Always); err != nil {
		t.Fatal(err)
	}
	err := b.call(t.Context(), "add", func(ctx context.Context, st jetstream.Stream) error {
		_, err := b.add(ctx, overtaken{st, func() error { return b.publish(ctx, "k", []byte("1")) }}, "k", 1)
		return err
	})
	if !errors.Is(err, host.ErrUnavailable) || !strings.Contains(err.Error(), "others write") {
		t.Errorf("add: %v", err)
	}
	if _, err := b.Get(t.Context(), "k"); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// overtaken is a stream in which somebody writes after every read.
type overtaken struct {
	jetstream.Stream
	write func() error
}

func (o overtaken) GetLastMsgForSubject(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	m, err := o.Stream.GetLastMsgForSubject(ctx, subject)
	if err == nil {
		err = o.write()
	}
	return m, err
}

// TestKeysTooLate: a list that didn't come in time is not taken for all there is.
func TestKeysTooLate(t *testing.T) {
	const many = 2000
	s := open(t, storetest.StartNATS(t, nil), func(c *plugin.Store) { c.Limits.Entries = many })
	b := s.Data.Bucket("s", 0)
	for i := range many {
		if err := b.Put(t.Context(), fmt.Sprint(i), nil, host.Always); err != nil {
			t.Fatal(err)
		}
	}
	for spent := time.Duration(0); spent < 10*time.Millisecond; spent += 500 * time.Microsecond {
		ctx, cancel := context.WithTimeout(t.Context(), spent)
		keys, err := b.Keys(ctx, "", many)
		cancel()
		if err == nil && len(keys) != many {
			t.Errorf("within %v: %d keys of %d", spent, len(keys), many)
		}
		if err != nil && !errors.Is(err, host.ErrUnavailable) {
			t.Errorf("within %v: %v", spent, err)
		}
	}
	if keys, err := b.Keys(t.Context(), "", many); err != nil || len(keys) != many {
		t.Errorf("in the end: %d keys, %v", len(keys), err)
	}
}
