package e2e

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// loops is how many guests loop at any time.
const loops = 20

// TestLoopsLeaveRoom: guests that loop are stopped in time, and however many they
// are, other exchanges go on beside them.
func TestLoopsLeaveRoom(t *testing.T) {
	const timeout = 500 * time.Millisecond
	stack := start(t, guest(t, "loop"), fields{"limits": fields{"timeout": timeout.String(), "memory": "64Mi"}})
	c := client(t, false)
	for range 20 {
		get(t, c, stack.URL+"/warm")
	}
	alone := times(t, c, stack.URL+"/alone", time.After(time.Second))
	var work sync.WaitGroup
	stop := make(chan struct{})
	looped := make(chan []time.Duration, loops)
	for range loops {
		work.Go(func() { looped <- repeat(t, c, stack.URL+"/loop", http.StatusServiceUnavailable, stop) })
	}
	time.Sleep(timeout / 5) // all loop by now
	beside := times(t, c, stack.URL+"/beside", time.After(4*time.Second))
	close(stop)
	work.Wait()
	close(looped)
	var ends []time.Duration
	for some := range looped {
		ends = append(ends, some...)
	}
	slices.Sort(ends)
	t.Logf("ordinary requests alone: %d, p50 %v, p99 %v", len(alone), quantile(alone, 50), quantile(alone, 99))
	t.Logf("beside %d loops: %d, p50 %v, p99 %v", loops, len(beside), quantile(beside, 50), quantile(beside, 99))
	t.Logf("%d loops of %v: answered after p50 %v, p99 %v", len(ends), timeout, quantile(ends, 50), quantile(ends, 99))
	// With room for a busy machine: they would wait for ever, and the loops be answered
	// by Envoy, whose status is another.
	if quantile(beside, 99) > 10*time.Second {
		t.Errorf("%d ordinary requests, p99 %v", len(beside), quantile(beside, 99))
	}
	if quantile(ends, 50) > 10*timeout {
		t.Errorf("%d loops, answered after p50 %v", len(ends), quantile(ends, 50))
	}
}

// times are how long requests took that two clients sent one after the other, sorted.
func times(t *testing.T, c *http.Client, url string, end <-chan time.Time) []time.Duration {
	t.Helper()
	var work sync.WaitGroup
	stop := make(chan struct{})
	var got [2][]time.Duration
	for i := range got {
		work.Go(func() { got[i] = repeat(t, c, url, http.StatusOK, stop) })
	}
	<-end
	close(stop)
	work.Wait()
	all := slices.Concat(got[0], got[1])
	slices.Sort(all)
	return all
}

// repeat asks until stop, a few times at least, and says how long each answer took.
func repeat(t *testing.T, c *http.Client, url string, status int, stop <-chan struct{}) (took []time.Duration) {
	for {
		select {
		case <-stop:
			if len(took) >= 5 {
				return took
			}
		default:
		}
		began := time.Now()
		a, err := ask(t, c, http.MethodGet, url, "")
		if err != nil || a.status != status {
			t.Errorf("%s: status %d, %v, expected %d", url, a.status, err, status)
			return took
		}
		took = append(took, time.Since(began))
	}
}

func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*percent/100].Round(100 * time.Microsecond)
}
