package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/storetest"
)

// restartable is a store's server that keeps what it has acknowledged.
type restartable interface {
	URL() string
	Stop()
	Start(testing.TB)
}

// TestStoreGone: a store that is killed under load and started again loses no
// count that it has acknowledged, and while it is gone nobody waits for long or
// passes uncounted.
func TestStoreGone(t *testing.T) {
	for name, server := range map[string]restartable{"NATS": storetest.StartNATSProcess(t), "Redis": storetest.StartRedis(t)} {
		for _, l := range limiters(t) {
			t.Run(name+" "+l.kind, func(t *testing.T) { gone(t, l, server) })
		}
	}
}

// spell is how requests went in a part of the test.
type spell struct {
	tally
	mu      sync.Mutex
	slowest time.Duration
}

func (s *spell) ask(t *testing.T, c *http.Client, url, name string) int {
	began := time.Now()
	status := askAs(t, c, url, name)
	took := time.Since(began)
	s.add(status)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowest = max(s.slowest, took)
	return status
}

func gone(t *testing.T, l limiter, server restartable) {
	const limit, unacknowledged, down = 400, 50, time.Second
	r := replicate(t, l.config(t, server.URL(), limit, 1e6*time.Hour))
	c := client(t, false)
	name := fmt.Sprint("anna ", time.Now().UnixNano())
	var before, meanwhile, after spell
	now := atomic.Pointer[spell]{}
	now.Store(&before)
	var ended atomic.Bool
	load := make(chan struct{})
	go func() {
		defer close(load)
		each(4, func() bool {
			now.Load().ask(t, c, r.url, name)
			return !ended.Load()
		})
	}()
	waitFor(t, "requests that pass", func() bool { return before.of(http.StatusOK) >= 50 })
	now.Store(&meanwhile)
	server.Stop()
	time.Sleep(down)
	server.Start(t)
	up := time.Now()
	seen := meanwhile.of(http.StatusOK)
	waitFor(t, "a request that passes again", func() bool { return meanwhile.of(http.StatusOK) > seen })
	recovered := time.Since(up)
	now.Store(&after)
	waitFor(t, "the limit", func() bool { return after.of(http.StatusTooManyRequests) >= 20 })
	ended.Store(true)
	<-load
	for part, s := range map[string]*spell{"before": &before, "meanwhile": &meanwhile, "after": &after} {
		t.Logf("%s: %v by status, the slowest took %v", part, s.all, s.slowest.Round(time.Millisecond))
	}
	passed := before.of(http.StatusOK) + meanwhile.of(http.StatusOK) + after.of(http.StatusOK)
	errs := meanwhile.total() - meanwhile.of(http.StatusOK) - meanwhile.of(http.StatusTooManyRequests)
	t.Logf("%d passed of a limit of %d, %d errors in the %v without the store, the first passed again after %v", passed, limit, errs, down, recovered.Round(time.Millisecond))
	// Had a count that was acknowledged been lost, more would have passed. One whose
	// acknowledgement was lost counts although its request didn't pass.
	if passed > limit || passed < limit-unacknowledged {
		t.Errorf("%d requests passed, expected %d at most and %d at least", passed, limit, limit-unacknowledged)
	}
	if errs == 0 {
		t.Error("nobody noticed that the store was gone")
	}
	if s := max(before.slowest, meanwhile.slowest, after.slowest); s > 20*time.Second {
		t.Errorf("a request took %v", s)
	}
	if askAs(t, c, r.url, name) != http.StatusTooManyRequests {
		t.Error("the count was forgotten")
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func TestMain(m *testing.M) { storetest.Main(m) }
