package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/envoyrun"
	"github.com/extproc/extproc/internal/envoytest"
	"github.com/extproc/extproc/internal/extprocrun"
	"github.com/extproc/extproc/internal/extproctest"
	"github.com/extproc/extproc/internal/storetest"
)

// replicated are three extproc processes behind one Envoy, which takes them in
// turn.
type replicated struct {
	url      string
	envoy    *envoyrun.Envoy
	replicas []*extprocrun.Process
}

const replicas = 3

// replicate starts them with a configuration that all have.
func replicate(t *testing.T, text string) replicated {
	t.Helper()
	var r replicated
	file := filepath.Join(t.TempDir(), "extproc.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ports, err := envoyrun.FreePorts(replicas)
	if err != nil {
		t.Fatal(err)
	}
	r.replicas = make([]*extprocrun.Process, replicas)
	errs := make([]error, replicas)
	var starting sync.WaitGroup
	for i, port := range ports {
		options := extprocrun.Options{
			Binary: extproctest.Binary(t), Config: file, Address: fmt.Sprintf("127.0.0.1:%d", port), Dir: t.TempDir(),
			Args: []string{"--grpc-health-port", "0", "--metrics-port", "0"},
		}
		starting.Go(func() { r.replicas[i], errs[i] = extprocrun.Start(t.Context(), options) })
	}
	starting.Wait()
	for _, p := range r.replicas {
		t.Cleanup(func() {
			if p != nil {
				p.Kill()
			}
			if p != nil && t.Failed() {
				t.Logf("log of extproc:\n%s", p.Log())
			}
		})
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	listen := envoytest.FreeAddress(t)
	generate := exec.Command(extproctest.Binary(t), "envoy", "--config", file, "--listen", listen, "--upstream", startUpstream(t).Address,
		"--extproc", fmt.Sprintf("127.0.0.1:%d", ports[0]), "--admin", "127.0.0.1:0")
	var stderr strings.Builder
	generate.Stderr = &stderr
	bootstrap, err := generate.Output()
	if err != nil {
		t.Fatalf("extproc envoy: %v\n%s", err, stderr.String())
	}
	r.url, r.envoy = "http://"+listen, envoytest.Start(t, behindOneName(t, bootstrap, ports))
	return r
}

// behindOneName gives the cluster of extproc the addresses of all replicas, as a
// name has that stands for them.
func behindOneName(t *testing.T, bootstrap []byte, ports []int) []byte {
	t.Helper()
	var config map[string]any
	if err := yaml.Unmarshal(bootstrap, &config); err != nil {
		t.Fatal(err)
	}
	for _, c := range config["static_resources"].(map[string]any)["clusters"].([]any) {
		cluster := c.(map[string]any)
		if cluster["name"] != "extproc" {
			continue
		}
		var endpoints []any
		for _, port := range ports {
			endpoints = append(endpoints, map[string]any{"endpoint": map[string]any{
				"address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": port}},
			}})
		}
		cluster["load_assignment"].(map[string]any)["endpoints"] = []any{map[string]any{"lb_endpoints": endpoints}}
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// shares are how many exchanges each replica had.
func (r replicated) shares(t *testing.T) []int {
	t.Helper()
	text, err := r.envoy.AdminGet(t.Context(), "/clusters")
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "extproc::"); ok && strings.Contains(rest, "::rq_total::") {
			var n int
			_, _ = fmt.Sscan(rest[strings.LastIndex(rest, ":")+1:], &n)
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// limiter is a plugin that limits rates, of one kind or the other.
type limiter struct{ kind, file, name string }

func limiters(t *testing.T) []limiter {
	t.Helper()
	module, err := checkout.Path("envoy", "examples", "proxy-wasm-plugins", "rust", "plugin.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return []limiter{{"component", example(t, "rate-limit"), "limit"}, {"proxy-wasm", module, "rate-limit"}}
}

// config is a configuration with the plugin alone, and a store.
func (l limiter) config(t *testing.T, store string, limit int, window time.Duration) string {
	t.Helper()
	text, err := json.Marshal(fields{"store": fields{"url": store, "timeout": "2s"}, "plugins": []fields{{
		"pluginName": l.name, "url": "file://" + l.file, "pluginConfig": fields{"header": "x-client", "limit": limit, "window": window.Milliseconds()},
		"limits": fields{"timeout": "10s"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tally counts answers by status; 0 is none.
type tally struct {
	mu  sync.Mutex
	all map[int]int
}

func (y *tally) add(status int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.all == nil {
		y.all = map[int]int{}
	}
	y.all[status]++
}

func (y *tally) of(status int) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.all[status]
}

// askAs sends a request of a client and returns the answer's status.
func askAs(t *testing.T, c *http.Client, url, name string) int {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Error(err)
		return 0
	}
	req.Header.Set("X-Client", name)
	resp, err := c.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// each calls f from so many goroutines until it says that it is enough.
func each(goroutines int, f func() bool) {
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for f() {
			}
		})
	}
	all.Wait()
}

// stores are the stores that replicas share, with real servers.
func stores(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"NATS": storetest.StartNATS(t, nil).URL(), "Redis": storetest.StartRedis(t).URL()}
}

// TestLimitOverReplicas: a limit holds over three replicas, to the request.
func TestLimitOverReplicas(t *testing.T) {
	for store, url := range stores(t) {
		for _, l := range limiters(t) {
			t.Run(store+" "+l.kind, func(t *testing.T) {
				t.Run("one window", func(t *testing.T) { oneWindow(t, l, url) })
				t.Run("windows", func(t *testing.T) { windows(t, l, url) })
			})
		}
	}
}

// oneWindow has many clients use up the limit of one, which lasts.
func oneWindow(t *testing.T, l limiter, store string) {
	const limit, requests = 100, 300
	r := replicate(t, l.config(t, store, limit, 1e6*time.Hour))
	c := client(t, false)
	name := fmt.Sprint("anna ", time.Now().UnixNano())
	var sent atomic.Int64
	var answers tally
	began := time.Now()
	each(8, func() bool {
		if sent.Add(1) > requests {
			return false
		}
		answers.add(askAs(t, c, r.url, name))
		return true
	})
	shares := r.shares(t)
	t.Logf("limit %d, %d requests in %v: %v by status, %v by replica", limit, requests, time.Since(began).Round(time.Millisecond), answers.all, shares)
	if answers.of(200) != limit || answers.of(429) != requests-limit {
		t.Errorf("%d passed, expected %d; %d were too many, expected %d", answers.of(200), limit, answers.of(429), requests-limit)
	}
	if len(shares) != replicas || shares[0] < requests/replicas/2 {
		t.Errorf("requests by replica: %v", shares)
	}
	if status := askAs(t, c, r.url, name+"'s sister"); status != http.StatusOK {
		t.Errorf("another client: status %d", status)
	}
}

// windows has clients ask for some windows; each lets pass what it may, and no more.
func windows(t *testing.T, l limiter, store string) {
	const limit, window, long = 10, time.Second, 3500 * time.Millisecond
	r := replicate(t, l.config(t, store, limit, window))
	c := client(t, false)
	name := fmt.Sprint("bert ", time.Now().UnixNano())
	var answers tally
	askAs(t, c, r.url, name+"'s brother") // all is warm
	began := time.Now()
	each(8, func() bool {
		answers.add(askAs(t, c, r.url, name))
		return time.Since(began) < long
	})
	touched := int(time.Now().UnixNano()/int64(window)-began.UnixNano()/int64(window)) + 1
	t.Logf("limit %d a second, %v: %v by status, over %d windows", limit, time.Since(began).Round(time.Millisecond), answers.all, touched)
	if passed := answers.of(200); passed > limit*touched || passed < limit*(touched-2) {
		t.Errorf("%d passed, expected %d at most and not far fewer", passed, limit*touched)
	}
	if n := answers.of(200) + answers.of(429); n != answers.total() {
		t.Errorf("answers of other kinds: %v", answers.all)
	}
}

func (y *tally) total() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	n := 0
	for _, count := range y.all {
		n += count
	}
	return n
}
