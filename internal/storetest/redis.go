package storetest

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/checkout"
)

// Redis is a Redis server of its own, which keeps what it has acknowledged.
type Redis struct {
	program, dir string
	port         int
	cmd          *exec.Cmd
}

// StartRedis starts a server that ends with the test.
func StartRedis(tb testing.TB) *Redis {
	tb.Helper()
	program, err := checkout.Tool("redis-server")
	if err != nil {
		tb.Fatal(err)
	}
	r := &Redis{program: program, dir: tb.TempDir()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	r.Start(tb)
	tb.Cleanup(r.Stop)
	return r
}

// URL is where the server is, also after it was started again.
func (r *Redis) URL() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", r.port) }

// Stop kills the server. What it has stored stays.
func (r *Redis) Stop() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

// Start starts a server that was stopped, at the same address.
func (r *Redis) Start(tb testing.TB) {
	tb.Helper()
	r.cmd = exec.CommandContext(context.Background(), r.program, "--port", fmt.Sprint(r.port), "--bind", "127.0.0.1", "--dir", r.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning")
	r.cmd.Stdout, r.cmd.Stderr = tb.Output(), tb.Output()
	if err := r.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("the Redis server doesn't start: %v", err)
		}
	}
}
