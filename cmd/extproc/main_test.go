package main

import (
	"bytes"
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/envoytest"
)

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := root()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// TestErrors: what is wrong is said in one line that names it.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "extproc.yaml")
	wasm := filepath.Join(dir, "p.wasm")
	const one = "plugins:\n- pluginName: a\n  url: p.wasm\n"
	for _, tc := range []struct{ name, config, wasm, want string }{
		{"config", one + "  falStrategy: x\n", "", config + ":4: plugins[0].falStrategy: unknown field, did you mean failStrategy?"},
		{"text", one, "hello", wasm + ": no WebAssembly: found 68 65 6c 6c 6f"},
		{"core module", one, "\x00asm\x01\x00\x00\x00", wasm + ": found a core module of no known kind, expected a "},
		{"broken component", one, "\x00asm\x0d\x00\x01\x00\xff", wasm + ": "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			write(t, config, tc.config)
			write(t, wasm, tc.wasm)
			for _, args := range [][]string{
				{"validate", "--config", config, "--cache-dir", ""},
				{"envoy", "--config", config, "--cache-dir", ""},
				{"serve", "--config", config, "--grpc-addr", "unix://" + filepath.Join(dir, "s"), "--grpc-health-port", "0", "--metrics-port", "0", "--cache-dir", ""},
			} {
				_, err := run(t, args...)
				if err == nil {
					t.Fatalf("%s: no error", args[0])
				}
				if text := err.Error(); !strings.HasPrefix(text, tc.want) || strings.Contains(text, "\n") {
					t.Errorf("%s: got %s\nwant %s", args[0], text, tc.want)
				}
			}
		})
	}
	for want, args := range map[string][]string{
		"no such file or directory":  {"validate", "--config", filepath.Join(dir, "none.yaml")},
		"unknown command":            {"sreve"},
		"--log-level":                {"serve", "--log-level", "loud"},
		"--log-format":               {"serve", "--log-format", "xml"},
		"grpc-addr grpc-port":        {"serve", "--grpc-addr", "a:1", "--grpc-port", "2"},
		"unknown flag: --confg":      {"serve", "--confg", "x"},
		"unknown command \"x\" for ": {"validate", "x"},
	} {
		if _, err := run(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, expected %s", args, err, want)
		}
	}
}

// TestStoreApart: plugins can be looked at where their store can't be reached.
func TestStoreApart(t *testing.T) {
	wasm, err := checkout.Path("envoy", "examples", "proxy-wasm-headers", "c", "plugin.wasm")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "extproc.yaml")
	for _, store := range []string{"nats://127.0.0.1:1", "redis://127.0.0.1:1/0"} {
		write(t, config, "store: "+store+"\nplugins: [{pluginName: a, url: "+wasm+"}]\n")
		for _, args := range [][]string{
			{"validate", "--config", config, "--cache-dir", ""},
			{"envoy", "--config", config, "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--extproc", "127.0.0.1:2", "--cache-dir", ""},
		} {
			if out, err := run(t, args...); err != nil {
				t.Errorf("%s with %s: %v\n%s", args[0], store, err, out)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	if out, err := run(t, "version"); err != nil || !strings.HasPrefix(out, "extproc ") {
		t.Errorf("got %q and %v", out, err)
	}
}

// TestListen: a socket file that was left behind is in nobody's way, one that is
// in use is.
func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	o := serveOptions{grpcAddr: "unix://" + path}
	first, err := listen(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen(o); err == nil || !strings.Contains(err.Error(), "another server listens on "+path) {
		t.Errorf("got %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = first.Close()
	second, err := listen(o)
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Close()
	for _, addr := range []string{"unix://", "no port"} {
		if l, err := listen(serveOptions{grpcAddr: addr}); err == nil {
			_ = l.Close()
			t.Errorf("%q is taken", addr)
		}
	}
	l, err := listen(serveOptions{grpcAddr: envoytest.FreeAddress(t)})
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

// TestServeEnds: a server that is told to end before it serves does so.
func TestServeEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "p.wasm"), "\x00asmx")
	write(t, filepath.Join(dir, "c.yaml"), "plugins: [{pluginName: a, url: p.wasm}]")
	o := serveOptions{config: filepath.Join(dir, "c.yaml"), grpcAddr: "unix://" + filepath.Join(dir, "s")}
	if err := serve(ctx, o, markings(), discard()); err != nil {
		t.Error(err)
	}
}
