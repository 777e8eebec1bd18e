// Package guests holds components that misbehave or report, for tests of hosts, and runs components in wasmtime, the reference host.
package guests

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/checkout"
)

// Path returns the file of a guest of this folder, such as "trap".
func Path(tb testing.TB, name string) string {
	tb.Helper()
	return inCheckout(tb, "internal", "guests", name, "rust.wasm")
}

// Server is a component that wasmtime serves until the test ends.
type Server struct {
	// URL has a scheme, a host and a port, and no path.
	URL string

	mu     sync.Mutex
	output bytes.Buffer
}

// Serve runs `wasmtime serve` on a component, on a port of its own. Flags are added to the command line.
func Serve(tb testing.TB, component string, flags ...string) *Server {
	tb.Helper()
	args := append([]string{"serve", "--addr", "127.0.0.1:0", "-S", "cli,config,keyvalue"}, flags...)
	cmd := exec.Command(wasmtime(tb), append(args, component)...)
	out, in, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	in.Close()
	s := &Server{}
	addr, done := make(chan string, 1), make(chan struct{})
	go s.read(out, addr, done)
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-done
		if tb.Failed() {
			tb.Logf("wasmtime serve %s wrote:\n%s", component, s.Output())
		}
	})
	select {
	case s.URL = <-addr:
	case <-done:
		tb.Fatalf("wasmtime serve %s ended at once:\n%s", component, s.Output())
	case <-time.After(2 * time.Minute):
		tb.Fatalf("wasmtime serve %s is not ready after two minutes:\n%s", component, s.Output())
	}
	return s
}

// Output returns what wasmtime and the component have written so far.
func (s *Server) Output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

func (s *Server) read(out *os.File, addr chan<- string, done chan<- struct{}) {
	defer close(done)
	defer out.Close()
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		s.mu.Lock()
		s.output.WriteString(line)
		s.mu.Unlock()
		if url, found := strings.CutPrefix(line, "Serving HTTP on "); found {
			addr <- strings.TrimSuffix(strings.TrimSpace(url), "/")
		}
		if err != nil {
			return
		}
	}
}

func wasmtime(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("WASMTIME"); path != "" {
		return path
	}
	path, err := checkout.Tool("wasmtime")
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

func inCheckout(tb testing.TB, elem ...string) string {
	tb.Helper()
	path, err := checkout.Path(elem...)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}
