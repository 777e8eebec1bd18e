package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/extproctest"
)

// TestFaultSpoilsOnlyItsExchange sends faulty requests among ordinary ones.
func TestFaultSpoilsOnlyItsExchange(t *testing.T) {
	const timeout = time.Second
	limits := fields{"limits": fields{"timeout": timeout.String(), "memory": "64Mi"}}
	tests := []struct {
		guest, path string
		more        fields
	}{
		{"trap", "/trap", nil},
		{"loop", "/loop", limits},
		{"loop", "/loop-hostcalls", limits},
		{"memory-bomb", "/bomb", fields{"limits": fields{"timeout": "5s", "memory": "64Mi"}}},
		{"exit", "/exit", nil},
		{"exit", "/exit-failure", nil},
	}
	for _, tt := range tests {
		t.Run(tt.guest+tt.path, func(t *testing.T) {
			stack := start(t, guest(t, tt.guest), tt.more)
			c := client(t, false)
			get(t, c, stack.URL+"/warm")
			stop := make(chan struct{})
			ordinary := keepAsking(t, c, stack.URL+"/ordinary", stop)
			for i, first := 0, time.Now(); i < 5 || time.Since(first) < time.Second; i++ {
				began := time.Now()
				a, err := ask(t, c, http.MethodGet, stack.URL+tt.path, "")
				if err != nil || a.status < 500 {
					t.Errorf("%s: status %d, %v; want 5xx", tt.path, a.status, err)
				}
				if took := time.Since(began); took > 20*time.Second {
					t.Errorf("%s: the answer took %v", tt.path, took)
				}
			}
			close(stop)
			r := <-ordinary
			for _, err := range r.failures {
				t.Error("an ordinary request was spoiled: ", err)
			}
			t.Logf("%d ordinary requests meanwhile, the slowest took %v", r.count, r.slowest)
			if r.count == 0 || r.slowest > 10*time.Second {
				t.Errorf("%d ordinary requests, the slowest took %v", r.count, r.slowest)
			}
			if peak := memory(t, stack.Extproc.PID(), "VmHWM"); peak > 512<<20 {
				t.Errorf("extproc's peak was %d MiB", peak>>20)
			}
		})
	}
}

// asked is how requests went that were sent one after the other by each of four
// clients.
type asked struct {
	count    int
	slowest  time.Duration
	failures []error
}

func keepAsking(t *testing.T, c *http.Client, url string, stop <-chan struct{}) <-chan asked {
	t.Helper()
	var (
		lock sync.Mutex
		all  asked
		work sync.WaitGroup
	)
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				a, err := ask(t, c, http.MethodGet, url, "")
				if err == nil && a.status != http.StatusOK {
					err = fmt.Errorf("status %d: %s", a.status, a.body)
				}
				lock.Lock()
				all.count++
				all.slowest = max(all.slowest, time.Since(began))
				if err != nil && len(all.failures) < 10 {
					all.failures = append(all.failures, err)
				}
				lock.Unlock()
			}
		})
	}
	done := make(chan asked, 1)
	go func() {
		work.Wait()
		done <- all
	}()
	return done
}

// TestFailStrategy: what becomes of the exchange whose guest trapped.
func TestFailStrategy(t *testing.T) {
	tests := []struct {
		strategy string
		passes   bool
	}{{"", false}, {"FAIL_CLOSE", false}, {"FAIL_OPEN", true}}
	for _, tt := range tests {
		t.Run("strategy "+tt.strategy, func(t *testing.T) {
			more := fields{}
			if tt.strategy != "" {
				more["failStrategy"] = tt.strategy
			}
			stack := start(t, guest(t, "trap"), more)
			a, err := ask(t, client(t, false), http.MethodPost, stack.URL+"/trap", "body")
			if err != nil || (a.status == http.StatusOK) != tt.passes {
				t.Errorf("status %d, %v; want the request to pass: %v", a.status, err, tt.passes)
			}
		})
	}
}

// TestDisconnect: a client that goes away in the middle of a body leaves nothing
// behind. There is one instance only: if it stayed taken, nobody else would be
// served.
func TestDisconnect(t *testing.T) {
	for _, p := range bodyPlugins {
		t.Run(p.name, func(t *testing.T) {
			stack := start(t, example(t, p.name), fields{"limits": fields{"instances": 1}})
			for name, c := range clients(t) {
				t.Run(name, func(t *testing.T) {
					for range 5 {
						leaveRequest(t, c, stack)
						leaveResponse(t, c, stack)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					req, err := http.NewRequestWithContext(ctx, http.MethodGet, stack.URL+"/bytes/10", http.NoBody)
					if err != nil {
						t.Fatal(err)
					}
					resp, err := c.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 10 {
						t.Errorf("%s: %q, %v", resp.Status, body, err)
					}
				})
			}
		})
	}
}

// leaveRequest sends a part of a body and goes.
func leaveRequest(t *testing.T, c *http.Client, stack *extproctest.Stack) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body, write := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, stack.URL+"/sum", body)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		resp, err := c.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	if _, err := write.Write(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // let it get under way
	cancel()
	write.CloseWithError(context.Canceled)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that the request was cancelled", err)
	}
}

// leaveResponse reads the beginning of a long answer and goes.
func leaveResponse(t *testing.T, c *http.Client, stack *extproctest.Stack) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, stack.URL+"/chunks/1000", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 4)); err != nil {
		t.Error(err)
	}
}

// TestUpstreamBreaksOff: the client can tell a cut answer from a whole one.
func TestUpstreamBreaksOff(t *testing.T) {
	for _, p := range bodyPlugins {
		t.Run(p.name, func(t *testing.T) {
			stack := start(t, example(t, p.name), nil)
			for name, c := range clients(t) {
				t.Run(name, func(t *testing.T) {
					a, err := ask(t, c, http.MethodGet, stack.URL+"/cut/100000", "")
					if err == nil && a.status == http.StatusOK {
						t.Errorf("%d bytes as if they were all", len(a.body))
					}
					get(t, c, stack.URL+"/after")
				})
			}
		})
	}
}
