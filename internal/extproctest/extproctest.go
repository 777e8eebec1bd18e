// Package extproctest gives tests the extproc program, built from this tree, and
// a real Envoy in front of it.
package extproctest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/envoyrun"
	"github.com/extproc/extproc/internal/envoytest"
	"github.com/extproc/extproc/internal/extprocrun"
)

// binary is built once for all tests of a process.
var binary = sync.OnceValues(func() (string, error) {
	root, err := checkout.Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Test processes build at the same time: each builds its own file, the last
	// one stays, and all are alike.
	own := filepath.Join(dir, fmt.Sprint("extproc.", os.Getpid()))
	build := exec.Command("go", "build", "-o", own, "./cmd/extproc")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/extproc: %w\n%s", err, out)
	}
	path := filepath.Join(dir, "extproc")
	return path, os.Rename(own, path)
})

// Binary is the path of extproc.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Stack is an upstream's address, extproc and Envoy in front of it.
type Stack struct {
	// URL is Envoy's, without a path.
	URL     string
	Extproc *extprocrun.Process
	Envoy   *envoyrun.Envoy
	// Config is the path of extproc's configuration, Address where it serves.
	Config, Address string

	args []string
}

// Options of a stack.
type Options struct {
	// Config is extproc's configuration, YAML.
	Config string
	// Upstream is the address of the service, host:port.
	Upstream string
	// HTTP2 says that the upstream is to be spoken to in HTTP/2.
	HTTP2 bool
	// Args are further flags of `extproc serve`.
	Args []string
	// Between, if set, is given the address that extproc serves on and returns the one
	// that Envoy calls.
	Between func(address string) string
}

// Start runs extproc and Envoy until the test ends; their logs are shown if it
// failed.
func Start(t testing.TB, opts Options) *Stack {
	t.Helper()
	dir := t.TempDir()
	s := &Stack{
		Config:  filepath.Join(dir, "extproc.yaml"),
		Address: "unix://" + socket(t),
		args:    append(slices.Clone(ephemeral), opts.Args...),
	}
	if err := os.WriteFile(s.Config, []byte(opts.Config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Serve(t)
	listen := envoytest.FreeAddress(t)
	address := s.Address
	if opts.Between != nil {
		address = opts.Between(address)
	}
	args := []string{
		"envoy", "--config", s.Config, "--listen", listen, "--upstream", opts.Upstream,
		"--extproc", address, "--admin", "127.0.0.1:0",
	}
	if opts.HTTP2 {
		args = append(args, "--upstream-http2")
	}
	cmd := exec.Command(Binary(t), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	bootstrap, err := cmd.Output()
	if err != nil {
		t.Fatalf("extproc envoy: %v\n%s", err, stderr.String())
	}
	s.Envoy = envoytest.Start(t, bootstrap)
	s.URL = "http://" + listen
	return s
}

// Serve starts extproc, again if it has been stopped.
func (s *Stack) Serve(t testing.TB) {
	t.Helper()
	p, err := extprocrun.Start(t.Context(), extprocrun.Options{
		Binary: Binary(t), Config: s.Config, Address: s.Address, Dir: t.TempDir(), Args: s.args,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Extproc = p
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of extproc:\n%s", p.Log())
		}
	})
}

// ephemeral keeps the servers beside the main one off the ports that another
// test may use.
var ephemeral = []string{"--grpc-health-port", "0", "--metrics-port", "0"}

// socket is a path short enough for a socket, which a test's own folder is not
// when the test has a long name.
func socket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "extproc") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}
