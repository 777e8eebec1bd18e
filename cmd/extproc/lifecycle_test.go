package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// TestDrainBound: exchanges that take longer than the drain may are answered as
// their plugin's policy says. Until it begins, new ones are taken although the
// server is not ready any more.
func TestDrainBound(t *testing.T) {
	for strategy, want := range map[plugin.FailStrategy]string{plugin.FailClose: "503 1", plugin.FailOpen: "200 "} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			r := startWith(t, strategy, func(o *serveOptions) {
				o.drain = drain{delay: 3 * time.Second, timeout: 2 * time.Second}
			})
			slow := func() <-chan string {
				got := make(chan string, 1)
				go func() {
					resp, err := http.Get(r.url + "/slow/10000")
					if err != nil {
						got <- err.Error()
						return
					}
					defer resp.Body.Close()
					_, err = io.Copy(io.Discard, resp.Body)
					got <- fmt.Sprint(resp.StatusCode, " ", resp.Header.Get(plugin.FailureHeader))
					if err != nil {
						t.Error(err)
					}
				}()
				return got
			}
			before := slow()
			eventually(t, r.metric(t, "extproc_streams_active 1"))
			r.stop()
			eventually(t, func() bool {
				code, _ := get(t, "http://"+r.metrics+"/readyz")
				return code == http.StatusServiceUnavailable
			})
			if code, m := get(t, r.url); code != 200 || m != "one" {
				t.Errorf("in the delay: %d %q", code, m)
			}
			late := slow()
			began := time.Now()
			if err := <-r.ended; err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 9*time.Second {
				t.Errorf("the drain took %v", took)
			}
			for _, got := range []<-chan string{before, late} {
				if got := <-got; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// TestHangup: SIGHUP has everything loaded again, changed or not.
func TestHangup(t *testing.T) {
	r := start(t)
	loads := func(n int) func() bool {
		return func() bool {
			_, text := get(t, "http://"+r.metrics+"/metrics")
			return strings.Contains(text, fmt.Sprintf("\nextproc_config_reload_success %d\n", n))
		}
	}
	eventually(t, loads(1))
	for n := 2; n < 4; n++ {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, loads(n))
	}
}

// TestHalfWritten: a configuration that is written in two parts is read when it is
// whole, though the first part would do.
func TestHalfWritten(t *testing.T) {
	for try := 0; !halfWritten(t); try++ {
		if t.Log("the writer was held up"); try == 10 {
			t.Fatal("half of a configuration is in use each time")
		}
	}
}

// halfWritten is false if so much time has passed between two pieces that it doesn't
// count.
func halfWritten(t *testing.T) bool {
	t.Helper()
	r := start(t)
	defer r.stop()
	first := "plugins:\n- pluginName: mark\n  url: other.wasm\n"
	write(t, filepath.Join(filepath.Dir(r.config), "other.wasm"), "\x00asmother")
	f, err := os.Create(r.config)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(first); err != nil {
		t.Fatal(err)
	}
	var longest time.Duration
	written := time.Now()
	for end := written.Add(time.Second); written.Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := f.WriteString("#"); err != nil { // still being written
			t.Fatal(err)
		}
		longest = max(longest, time.Since(written))
		written = time.Now()
		switch _, m := get(t, r.url); {
		case m == "one":
		case longest > 150*time.Millisecond || time.Since(written) > 150*time.Millisecond:
			return false
		default:
			t.Fatalf("half of a configuration is in use: %q", m)
		}
	}
	if _, err := f.WriteString("\n  failStrategy: FAIL_OPEN\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { _, m := get(t, r.url); return m == "other" })
	return true
}
