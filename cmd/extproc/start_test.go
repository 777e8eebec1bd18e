package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/envoytest"
	"github.com/extproc/extproc/internal/extprocrun"
	"github.com/extproc/extproc/internal/extproctest"
	"github.com/extproc/extproc/plugin"
)

// many is how many plugins the configuration of these tests has, of the following
// files: each is there under several names.
const many = 50

var starters = []string{
	"body-passthrough/rust.wasm", "body-transform/rust.wasm", "header-rules/rust.wasm", "header-rules/c.wasm",
	"configuration/rust.wasm", "immediate-response/rust.wasm", "trailers/rust.wasm", "auth-callout/rust.wasm",
	"quota/rust.wasm", "rate-limit/rust.wasm", "feature-flags/rust.wasm",
	"proxy-wasm-headers/c/plugin.wasm", "proxy-wasm-headers/assemblyscript/plugin.wasm",
	"proxy-wasm-plugins/rust/plugin.wasm", "proxy-wasm-plugins/go/plugin.wasm",
}

// manyPlugins is a configuration of many plugins, of which the first says n.
func manyPlugins(t testing.TB, n int) string {
	var b strings.Builder
	b.WriteString("plugins:\n")
	for i := range many {
		if i > 0 {
			n = 0
		}
		file := starters[i%len(starters)]
		fmt.Fprintf(&b, "- { pluginName: p%d, url: %s, rootID: headers, pluginConfig: { n: \"%d.%d\" } }\n",
			i, wasm(t, strings.Split(file, "/")...), i, n)
	}
	return b.String()
}

// BenchmarkLoad is what comes before the first exchange: many plugins are loaded,
// with what was compiled in another run, and without. With -cpu 1,2 it shows what
// loading in parallel gains.
func BenchmarkLoad(b *testing.B) {
	config := filepath.Join(b.TempDir(), "extproc.yaml")
	write(b, config, manyPlugins(b, 0))
	load := func(b *testing.B, cache string) {
		abis, free, err := guests(b.Context(), guestOptions{cache: cache})
		if err != nil {
			b.Fatal(err)
		}
		r := &plugin.Reloader{Path: config, ABIs: abis, Log: discard()}
		if err := r.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		defer b.StartTimer()
		if err := r.Current().Close(); err != nil {
			b.Error(err)
		}
		if err := free(context.Background()); err != nil {
			b.Error(err)
		}
	}
	b.Run("uncached", func(b *testing.B) {
		for b.Loop() {
			load(b, b.TempDir())
		}
	})
	b.Run("cached", func(b *testing.B) {
		cache := b.TempDir()
		load(b, cache)
		for b.Loop() {
			load(b, cache)
		}
	})
}

// BenchmarkReload is a new configuration of many plugins of which one has changed,
// and one in which none has.
func BenchmarkReload(b *testing.B) {
	dir := b.TempDir()
	abis, free, err := guests(b.Context(), guestOptions{cache: filepath.Join(dir, "cache")})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = free(context.Background()) }()
	r := &plugin.Reloader{Path: filepath.Join(dir, "extproc.yaml"), ABIs: abis, Log: discard()}
	n := 0
	load := func(b *testing.B) {
		write(b, r.Path, manyPlugins(b, n))
		if err := r.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	load(b)
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			n++
			load(b)
		}
	})
	b.Run("none", func(b *testing.B) {
		for b.Loop() {
			load(b)
		}
	})
	if err := r.Current().Close(); err != nil {
		b.Error(err)
	}
}

// TestStartFast: what was compiled in another run makes the program ready sooner,
// and a new configuration in which one of many plugins has changed sooner still.
func TestStartFast(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "extproc.yaml")
	write(t, config, manyPlugins(t, 0))
	fresh, p, _ := ready(t, dir, config)
	cached := time.Duration(1<<63 - 1) // the best of a few: others use this machine too
	var metrics string
	for range 3 {
		var took time.Duration
		stop(t, p)
		took, p, metrics = ready(t, dir, config)
		cached = min(cached, took)
	}
	reload := time.Duration(1<<63 - 1)
	for n := 1; n <= 3; n++ {
		write(t, config, manyPlugins(t, n))
		begun := time.Now()
		if err := p.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		until(t, func() bool {
			_, text := get(t, metrics+"/metrics")
			return strings.Contains(text, fmt.Sprintf("\nextproc_config_reload_success %d\n", n+1))
		})
		reload = min(reload, time.Since(begun))
	}
	stop(t, p)
	t.Logf("%d plugins: ready in %v with nothing compiled, in %v (%.2f of that) with everything; one of them changed: %v (%.2f)",
		many, fresh, cached, ratio(cached, fresh), reload, ratio(reload, cached))
	if ratio(cached, fresh) > 0.5 {
		t.Error("compiled code is of no use")
	}
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// ready starts the program and says how long it takes to be ready and where its
// metrics are.
func ready(t *testing.T, dir, config string) (time.Duration, *extprocrun.Process, string) {
	t.Helper()
	metrics := envoytest.FreeAddress(t)
	_, port, _ := strings.Cut(metrics, ":")
	binary := extproctest.Binary(t)
	begun := time.Now()
	started := make(chan *extprocrun.Process, 1)
	go func() {
		p, err := extprocrun.Start(t.Context(), extprocrun.Options{
			Binary: binary, Config: config, Address: "unix://" + filepath.Join(dir, "s"), Dir: dir,
			Args: []string{"--cache-dir", filepath.Join(dir, "cache"), "--metrics-port", port, "--grpc-health-port", "0"},
		})
		if err != nil {
			t.Error(err)
		}
		started <- p
	}()
	until(t, func() bool {
		code, _ := get(t, "http://"+metrics+"/readyz")
		return code == http.StatusOK
	})
	took := time.Since(begun)
	p := <-started
	if p == nil {
		t.FailNow()
	}
	t.Cleanup(p.Kill)
	return took, p, "http://" + metrics
}

func stop(t *testing.T, p *extprocrun.Process) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

// until waits for what is timed.
func until(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !what(); time.Sleep(2 * time.Millisecond) {
		if t.Failed() || time.Now().After(end) {
			t.Fatal("it did not come about")
		}
	}
}
