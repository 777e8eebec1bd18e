package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestIsolation: every exchange sees an instance that nobody has used.
func TestIsolation(t *testing.T) {
	stack := start(t, guest(t, "isolation"), fields{"limits": fields{"instances": 4}})
	c := client(t, false)
	results := make(chan string)
	const clients, each = 8, 50
	for range clients {
		go func() {
			for range each {
				a, err := ask(t, c, http.MethodGet, stack.URL+"/", "")
				if err != nil {
					results <- err.Error()
					continue
				}
				results <- a.header.Get("X-Count")
			}
		}()
	}
	seen := map[string]int{}
	for range clients * each {
		seen[<-results]++
	}
	if len(seen) != 1 || seen["1"] != clients*each {
		t.Errorf("x-count: %v, want only 1", seen)
	}
}

// replace writes a file as editors and Kubernetes do: all at once.
func replace(t *testing.T, path, text string) {
	t.Helper()
	next := filepath.Join(filepath.Dir(path), "next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// within waits until something holds.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// TestReload: a new configuration takes over, a bad one does not, and no request
// is lost on the way.
func TestReload(t *testing.T) {
	wasm := example(t, "configuration")
	team := func(value string) string {
		return config(t, wasm, fields{"pluginConfig": fields{"header": "x-team", "value": value}})
	}
	stack := start(t, wasm, fields{"pluginConfig": fields{"header": "x-team", "value": "first"}})
	c := client(t, false)
	stop := make(chan struct{})
	asked := keepAsking(t, c, stack.URL+"/", stop)
	current := func() string { return get(t, c, stack.URL+"/").header.Get("X-Team") }
	if got := current(); got != "first" {
		t.Errorf("x-team %q, want first", got)
	}
	for i := range 5 {
		value := fmt.Sprint("value ", i)
		replace(t, stack.Config, team(value))
		within(t, time.Minute, "x-team is "+value, func() bool { return current() == value })
	}
	for _, bad := range []string{
		"plugins: [",
		"plugins:\n  - pluginName: test\n    urll: x\n",
		config(t, guest(t, "missing-import"), nil),
		config(t, "/nowhere/at/all.wasm", nil),
	} {
		before := strings.Count(stack.Extproc.Log(), "the old one stays")
		replace(t, stack.Config, bad)
		within(t, time.Minute, "a message about the bad configuration", func() bool {
			return strings.Count(stack.Extproc.Log(), "the old one stays") > before
		})
		if got := current(); got != "value 4" {
			t.Errorf("x-team %q after a bad configuration, want value 4", got)
		}
	}
	replace(t, stack.Config, team("last"))
	within(t, time.Minute, "x-team is last", func() bool { return current() == "last" })
	close(stop)
	r := <-asked
	t.Logf("%d requests meanwhile, the slowest took %v", r.count, r.slowest)
	for _, err := range r.failures {
		t.Error("a request was lost: ", err)
	}
}

// TestDrain: on SIGTERM extproc finishes what it has begun and ends well.
func TestDrain(t *testing.T) {
	stack := start(t, example(t, "header-rules"), nil)
	c := client(t, false)
	get(t, c, stack.URL+"/warm")
	const count = 20
	results := make(chan error, count)
	for range count {
		go func() {
			a, err := ask(t, c, http.MethodPost, stack.URL+"/slow/1500", "body")
			if err == nil && (a.status != http.StatusOK || a.header.Get("X-Plugin") == "") {
				err = fmt.Errorf("status %d, x-plugin %q", a.status, a.header.Get("X-Plugin"))
			}
			results <- err
		}()
	}
	within(t, time.Minute, "all requests have come", func() bool {
		stats, err := stack.Envoy.ExtProcStats(t.Context())
		return err == nil && stats["streams_started"] >= 1+count
	})
	if err := stack.Extproc.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range count {
		if err := <-results; err != nil {
			t.Error("lost: ", err)
		}
	}
	select {
	case <-stack.Extproc.Exited():
	case <-time.After(20 * time.Second):
		t.Error("extproc did not end although nothing was left to do")
	}
	if err := stack.Extproc.Stop(); err != nil {
		t.Errorf("exit status: %v", err)
	}
}

// TestRestart: Envoy finds extproc again after it was replaced.
func TestRestart(t *testing.T) {
	stack := start(t, example(t, "header-rules"), nil)
	c := client(t, false)
	for range 3 {
		if got := get(t, c, stack.URL+"/").header.Get("X-Plugin"); got == "" {
			t.Error("the plugin was not at work")
		}
		if err := stack.Extproc.Stop(); err != nil {
			t.Fatal(err)
		}
		if a, err := ask(t, c, http.MethodGet, stack.URL+"/", ""); err != nil || a.status < 500 {
			t.Errorf("without extproc: status %d, %v; want 5xx", a.status, err)
		}
		stack.Serve(t)
	}
	within(t, 10*time.Second, "the plugin is at work", func() bool {
		a, err := ask(t, c, http.MethodGet, stack.URL+"/", "")
		return err == nil && a.header.Get("X-Plugin") != ""
	})
}
