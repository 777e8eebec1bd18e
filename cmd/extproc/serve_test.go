package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/extproc/extproc/envoy"
	"github.com/extproc/extproc/internal/envoytest"
	"github.com/extproc/extproc/internal/upstream"
	"github.com/extproc/extproc/plugin"
)

// marking is an ABI whose "wasm" is a word after the magic, which its guests put
// into a header of every response.
type marking struct{}

func (marking) Name() string            { return "marking module" }
func (marking) Detect(wasm []byte) bool { return len(wasm) > 4 }
func (marking) Load(_ context.Context, wasm []byte, _ *plugin.Spec) (plugin.Module, error) {
	word := string(wasm[4:])
	if word == "bad" {
		return nil, errors.New("found a bad word, expected a good one")
	}
	return mark(word), nil
}

func markings() []plugin.ABI { return []plugin.ABI{marking{}} }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

type mark string

func (m mark) Start(ex *plugin.Exchange) (plugin.Guest, error) { return &marker{ex, string(m)}, nil }
func (mark) Close(context.Context) error                       { return nil }
func (mark) Needs() plugin.Needs {
	return plugin.Needs{Headers: [2]bool{true, true}}
}

type marker struct {
	ex   *plugin.Exchange
	word string
}

func (g *marker) Step(context.Context) (plugin.Status, error) {
	q, r := &g.ex.Request, &g.ex.Response
	q.Headers, q.Released = q.Original, true
	if r.Arrived {
		r.Headers = append(append(plugin.Headers(nil), r.Original...), plugin.Field{Name: "x-mark", Value: []byte(g.word)})
		r.Released = true
	}
	return plugin.Status{Done: r.Arrived}, nil
}

func (*marker) Close() {}

// running is `extproc serve` with an Envoy in front.
type running struct {
	wasm, config, socket, url, metrics string
	stop                               context.CancelFunc
	ended                              chan error
}

func start(t *testing.T) *running {
	t.Helper()
	return startWith(t, plugin.FailClose, func(*serveOptions) {})
}

// startWith is start with another fail strategy and other options.
func startWith(t *testing.T, strategy plugin.FailStrategy, set func(*serveOptions)) *running {
	t.Helper()
	dir := t.TempDir()
	r := &running{
		wasm:   filepath.Join(dir, "plugin.wasm"),
		config: filepath.Join(dir, "extproc.yaml"),
		socket: filepath.Join(dir, "s"),
		ended:  make(chan error, 1),
	}
	write(t, r.wasm, "\x00asmone")
	write(t, r.config, "plugins:\n- pluginName: mark\n  url: plugin.wasm\n  failStrategy: "+map[plugin.FailStrategy]string{plugin.FailClose: "FAIL_CLOSE", plugin.FailOpen: "FAIL_OPEN"}[strategy]+"\n")
	r.metrics = envoytest.FreeAddress(t)
	var port int
	if _, err := fmt.Sscanf(r.metrics, "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	o := serveOptions{config: r.config, grpcAddr: "unix://" + r.socket, metricsPort: port, drain: drain{timeout: 5 * time.Second}}
	set(&o)
	go func() { r.ended <- serve(ctx, o, markings(), discard()) }()
	t.Cleanup(stop)
	eventually(t, func() bool { code, _ := get(t, "http://"+r.metrics+"/readyz"); return code == 200 })

	up, err := upstream.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = up.Close() })
	listen := envoytest.FreeAddress(t)
	boot, err := envoy.Bootstrap(envoy.Options{Listen: listen, Upstream: up.Address, ExtProc: "unix://" + r.socket, Admin: "127.0.0.1:0"},
		envoy.Plugin{Needs: mark("").Needs(), FailStrategy: strategy, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	envoytest.Start(t, boot)
	r.url = "http://" + listen
	return r
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// get is the status and, in that order, the x-mark header or the body.
func get(t testing.TB, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	if m := resp.Header.Get("X-Mark"); m != "" {
		return resp.StatusCode, m
	}
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// metric says whether the metrics have a line.
func (r *running) metric(t testing.TB, line string) func() bool {
	return func() bool {
		_, text := get(t, "http://"+r.metrics+"/metrics")
		return strings.Contains(text, "\n"+line+"\n")
	}
}

// meanwhile is what a request says that the upstream takes some time for. It returns
// when the request has come to the server.
func (r *running) meanwhile(t testing.TB, takes time.Duration) <-chan string {
	t.Helper()
	eventually(t, r.metric(t, "extproc_streams_active 0"))
	said := make(chan string, 1)
	go func() {
		code, m := get(t, fmt.Sprint(r.url, "/slow/", takes.Milliseconds()))
		said <- fmt.Sprint(code, " ", m)
	}()
	eventually(t, r.metric(t, "extproc_streams_active 1"))
	return said
}

func eventually(t testing.TB, what func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !what(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about in a minute")
		}
	}
}

// TestServe: a real Envoy has its traffic seen by the plugin, a new plugin takes
// over while requests are under way, a bad one does not, and SIGTERM loses none.
func TestServe(t *testing.T) {
	for _, transport := range []string{"grpc-go", "frames"} {
		t.Run(transport, func(t *testing.T) {
			testServe(t, startWith(t, plugin.FailClose, func(o *serveOptions) { o.transport = transport }))
		})
	}
}

func testServe(t *testing.T, r *running) {
	t.Helper()
	if code, m := get(t, r.url); code != 200 || m != "one" {
		t.Fatalf("got %d %q", code, m)
	}

	slow := r.meanwhile(t, 3*time.Second)
	write(t, r.wasm, "\x00asmtwo")
	eventually(t, func() bool { _, m := get(t, r.url); return m == "two" })
	if m := <-slow; m != "200 one" {
		t.Errorf("an exchange that began on the old plugin got %q", m)
	}

	write(t, r.wasm, "\x00asmbad")
	eventually(t, r.metric(t, "extproc_config_reload_failure 1"))
	if _, m := get(t, r.url); m != "two" {
		t.Errorf("after a bad plugin: %q", m)
	}
	write(t, r.config, "plugins: [")
	eventually(t, r.metric(t, "extproc_config_reload_failure 2"))
	if _, m := get(t, r.url); m != "two" {
		t.Errorf("after a bad configuration: %q", m)
	}

	for _, line := range []string{"extproc_streams_failed 0", "extproc_config_reload_success 2", "extproc_rejected_header_mutations 0", `extproc_plugin_traps_total{plugin="mark"} 0`} {
		if !r.metric(t, line)() {
			t.Errorf("/metrics lacks %q", line)
		}
	}

	conn, err := grpc.NewClient("unix://"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	health, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: serviceName})
	if err != nil || health.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v %v", health, err)
	}

	slow = r.meanwhile(t, 2*time.Second)
	r.stop()
	if m := <-slow; m != "200 two" {
		t.Errorf("an exchange under way when the server was told to stop got %q", m)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}
