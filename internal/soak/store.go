package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"time"

	"github.com/extproc/extproc/internal/checkout"
)

// redis is the store that plugins share data in.
type redis struct {
	dir  string
	port int
	cmd  *exec.Cmd
	// outages are the times in which it was gone, or the plugins' connections to it.
	outages outages
}

// url is where it is, also after it was started again.
func (r *redis) url() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", r.port) }

func (r *redis) start(ctx context.Context) error {
	program, err := checkout.Tool("redis-server")
	if err != nil {
		return err
	}
	r.cmd = exec.Command(program, "--port", fmt.Sprint(r.port), "--bind", "127.0.0.1", "--dir", r.dir, "--save", "", "--loglevel", "warning")
	if err := r.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprint("127.0.0.1:", r.port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis-server: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r *redis) kill() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill() // gone already is as good
		_ = r.cmd.Wait()
	}
}

// recovery is how long plugins may take to find a store again.
const recovery = 3 * time.Second

// killStore has the plugins do without their store for a while. It keeps nothing.
func (s *stack) killStore(ctx context.Context) error {
	s.store.outages.begin()
	defer s.store.outages.end()
	s.store.kill()
	time.Sleep(time.Second)
	if err := s.store.start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	time.Sleep(recovery)
	return nil
}
