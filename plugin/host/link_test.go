package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// text is what was logged.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *text) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), what)
}

func link(t *testing.T, timeout time.Duration, ping func(context.Context) error, log io.Writer) *Link {
	t.Helper()
	l := NewLink("test", timeout, ping, slog.New(slog.NewTextHandler(log, nil)), NewServices(nil).StoreMetrics)
	t.Cleanup(l.Close)
	return l
}

// TestLinkFlaps: a store that answers the question whether it is there, but no calls,
// is asked ever less often, and it is said once that it is gone.
func TestLinkFlaps(t *testing.T) {
	var log text
	var pings atomic.Int64
	l := link(t, time.Second, func(context.Context) error { pings.Add(1); return nil }, &log)
	broken := errors.New("broken")
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if err := l.Do(t.Context(), "call", func(context.Context) error { return broken }); !errors.Is(err, ErrUnavailable) || !errors.Is(err, broken) {
			t.Fatalf("the error is %v", err)
		}
	}
	if n := pings.Load(); n < 2 || n > 12 {
		t.Errorf("the store was asked %d times in a second", n)
	}
	if n := log.count("not to be reached"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	settled(t, "a call is answered", func() bool {
		return errors.Is(l.Do(t.Context(), "call", func(context.Context) error { return ErrNotFound }), ErrNotFound)
	})
	if n := log.count("is back"); n != 1 {
		t.Errorf("it was said %d times that it is back", n)
	}
}

// TestLinkBlames: only the store's own failures are the store's.
func TestLinkBlames(t *testing.T) {
	var log text
	l := link(t, time.Minute, func(context.Context) error { return nil }, &log)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	waiting := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	if err := l.Do(gone, "call", waiting); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a caller that has gone: %v", err)
	}
	refuses := func(context.Context) error { return ErrUnavailable }
	for range 3 {
		if err := l.Do(t.Context(), "call", refuses); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a call that is refused: %v", err)
		}
	}
	if log.count("not to be reached") != 0 || log.count("refuses a call") != 1 {
		t.Errorf("the log has:\n%s", &log.b)
	}
	if err := l.Do(t.Context(), "call", func(context.Context) error { return nil }); err != nil {
		t.Errorf("the next call: %v", err)
	}
	ended := make(chan error)
	go func() { ended <- l.Do(context.Background(), "call", waiting) }()
	time.Sleep(10 * time.Millisecond)
	l.Disconnected(io.EOF)
	if err := <-ended; !errors.Is(err, ErrUnavailable) {
		t.Errorf("a call whose answer can't come any more: %v", err)
	}
	l.Close()
	if err := l.Do(t.Context(), "call", func(context.Context) error { return nil }); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a call after Close: %v", err)
	}
}

// TestLinkSucceeded: a store that takes the place of another, as when its
// configuration has changed, is shown as connected when the other has ended.
func TestLinkSucceeded(t *testing.T) {
	metrics := NewServices(nil).StoreMetrics
	log := slog.New(slog.DiscardHandler)
	begin := func(answer error) *Link {
		return NewLink("test", time.Minute, func(context.Context) error { return answer }, log, metrics)
	}
	shown := func() string {
		return strings.Join(gathered(t, metrics, "extproc_store_connected"), " ")
	}
	old, lost := begin(nil), begin(io.EOF)
	if got := shown(); got != "0" {
		t.Errorf("with one of two gone: %q", got)
	}
	lost.Close()
	next := begin(nil)
	old.Close()
	if got := shown(); got != "1" {
		t.Errorf("after a replacement: %q", got)
	}
	next.Close()
	if got := shown(); got != "" {
		t.Errorf("after all have ended: %q", got)
	}
}

// gathered are the values of a metric.
func gathered(t *testing.T, c prometheus.Collector, name string) []string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				values = append(values, fmt.Sprint(m.GetGauge().GetValue()))
			}
		}
	}
	return values
}
