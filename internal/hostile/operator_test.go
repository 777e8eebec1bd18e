package hostile

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/envoyrun"
	"github.com/extproc/extproc/internal/extproctest"
	"github.com/extproc/extproc/plugin"
)

// TestCutConfiguration reads a configuration cut after every byte: each is refused
// with a message, or whole by itself.
func TestCutConfiguration(t *testing.T) {
	const whole = `plugins:
- pluginName: one
  url: one.wasm
  failStrategy: FAIL_OPEN
  callouts: { auth: http://127.0.0.1:9000 }
  limits: { timeout: 100ms, memory: 64Mi }
- pluginName: two
  url: two.wasm
  pluginConfig: { list: [1, 2, {a: "b"}] }
`
	path := filepath.Join(t.TempDir(), "extproc.yaml")
	refused := 0
	for n := range len(whole) {
		if err := os.WriteFile(path, []byte(whole[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := plugin.ReadConfig(path, slog.New(slog.DiscardHandler))
		switch {
		case err != nil:
			refused++
			if !strings.Contains(err.Error(), "extproc.yaml") || strings.Contains(err.Error(), "\n") {
				t.Errorf("after %d bytes: %v", n, err)
			}
		case len(c.Plugins) == 0 || c.Plugins[0].Name != "one":
			t.Errorf("after %d bytes: %+v", n, c)
		}
	}
	if refused < 50 {
		t.Errorf("only %d of %d are refused", refused, len(whole))
	}
}

// TestMutatedArtefacts loads guests of the tree that were cut or changed. Each is
// refused or works, and takes neither long nor much memory.
func TestMutatedArtefacts(t *testing.T) {
	k := engines(t, false, time.Second)
	r := rand.New(rand.NewPCG(1, 2))
	before := resident(t)
	for _, file := range []string{
		"envoy/examples/header-rules/rust.wasm", "envoy/examples/proxy-wasm-headers/c/plugin.wasm",
		"envoy/examples/header-rules/c.wasm", "envoy/examples/proxy-wasm-headers/assemblyscript/plugin.wasm",
	} {
		whole := read(t, inCheckout(t, file))
		t.Run(file, func(t *testing.T) {
			works := 0
			for i := range 60 {
				wasm := bytes.Clone(whole)
				switch i % 3 {
				case 0:
					wasm = wasm[:r.IntN(len(wasm))]
				case 1: // mostly in code
					for range 1 + r.IntN(8) {
						wasm[r.IntN(len(wasm))] ^= 1 << r.IntN(8)
					}
				default: // where sections and their sizes are
					wasm[8+r.IntN(min(2000, len(wasm)-8))] = byte(r.IntN(256))
				}
				began := time.Now()
				if k.mutant(t, wasm) {
					works++
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("variant %d took %v", i, took)
				}
			}
			t.Logf("%d of 60 can be loaded", works)
		})
	}
	if grown := resident(t) - before; grown > 768<<20 {
		t.Errorf("the process grew by %d MiB", grown>>20)
	}
}

// mutant loads what may be no plugin any more, and takes it through an exchange.
func (k *kinds) mutant(t *testing.T, wasm []byte) bool {
	t.Helper()
	spec := &plugin.Spec{
		Name: "guest", Log: slog.New(slog.DiscardHandler), VM: plugin.VM{Workers: 1},
		Limits: plugin.Limits{Timeout: 200 * time.Millisecond, Memory: guestMemory, Instances: 2},
	}
	m, err := k.load(wasm, spec, 2*time.Second)
	if err != nil {
		if strings.Contains(err.Error(), "panic") || len(err.Error()) > 4096 {
			t.Error(err)
		}
		return false
	}
	l := &logs{}
	p := serve(t, l, plugin.NewPlugin(spec, m))
	p.run(t, exchange{path: "/", body: true, patience: 2 * time.Second})
	if strings.Contains(l.text(), "panicked") {
		t.Error(l.text())
	}
	return true
}

// TestFullDisk runs extproc where no file can be written, as on a disk that is
// full: it serves without its cache.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "extproc.yaml")
	text := "plugins:\n"
	for i, file := range []string{"envoy/examples/header-rules/rust.wasm", "envoy/examples/proxy-wasm-headers/c/plugin.wasm"} {
		text += fmt.Sprintf("- pluginName: p%d\n  url: %s\n", i, inCheckout(t, file))
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ports, err := envoyrun.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `ulimit -f 0; exec "$@"`, "sh", extproctest.Binary(t), "serve", "--config", config,
		"--cache-dir", filepath.Join(dir, "cache"), "--grpc-addr", "unix://"+filepath.Join(dir, "s"),
		"--grpc-health-port", "0", "--metrics-port", fmt.Sprint(ports[0]))
	out, in := io.Pipe()
	var log bytes.Buffer
	go func() { _, _ = io.Copy(&log, out) }()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); _ = in.Close() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("extproc ended: %v\n%s", err, log.String())
		default:
		}
		if ready(t.Context(), ports[0]) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("extproc is not ready\n%s", log.String())
		}
	}
}

func ready(ctx context.Context, port int) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort("127.0.0.1", fmt.Sprint(port))+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// wallClocks are the files that both wait and look at the wall clock, which steps,
// and why no wait depends on it there.
var wallClocks = map[string]string{
	"cmd/extproc/daemon.go":       "a metric tells when plugins were loaded",
	"plugin/reload.go":            "modification times of files are compared for being alike",
	"plugin/wasihttp/clocks.go":   "guests ask for the wall clock",
	"plugin/proxywasm/wasi.go":    "guests ask for the wall clock",
	"plugin/proxywasm/context.go": "guests ask for the wall clock",
}

var (
	waiting    = []string{"After", "AfterFunc", "NewTimer", "NewTicker", "Since", "Until", "WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"}
	takesApart = []string{"Unix", "UnixNano", "UnixMilli", "UnixMicro", "Round"}
)

// TestClockSteps: nothing that waits or expires is reckoned by the wall clock.
// Differences of times are by the monotonic clock, unless a time was taken apart.
func TestClockSteps(t *testing.T) {
	root := inCheckout(t)
	for _, dir := range []string{"abi", "plugin", "server", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			called := methodsCalled(t, path)
			if wallClocks[name] == "" && anyOf(called, waiting) && anyOf(called, takesApart) {
				t.Errorf("%s waits, and takes times apart: after a step of the clock they are others", name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func anyOf(set map[string]bool, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return set[name] })
}

// methodsCalled are the last names of what a file calls.
func methodsCalled(t *testing.T, path string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				called[sel.Sel.Name] = true
			}
		}
		return true
	})
	return called
}
