// Package extprocrun runs the extproc program as its users do.
package extprocrun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// Options of a run.
type Options struct {
	// Binary is the path of extproc.
	Binary string
	// Config is the path of its configuration.
	Config string
	// Address is where it serves gRPC: host:port or unix:///path.
	Address string
	// Args are further flags of `extproc serve`.
	Args []string
	// Env is set besides what is set here, as NAME=VALUE.
	Env []string
	// Dir keeps the log.
	Dir string
}

// Process is a running extproc.
type Process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	err    error // how it ended, once exited is closed
}

const (
	// startLimit allows for a large component that is compiled for the first time.
	startLimit = 2 * time.Minute
	stopLimit  = 60 * time.Second
)

// Start runs `extproc serve` and returns when its health service says that it
// serves. If it ends before that, the error holds what it printed.
func Start(ctx context.Context, opts Options) (*Process, error) {
	log, err := os.Create(filepath.Join(opts.Dir, "extproc.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := append([]string{"serve", "--config", opts.Config, "--grpc-addr", opts.Address}, opts.Args...)
	cmd := exec.Command(opts.Binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), opts.Env...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, log: log.Name(), exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	if err := p.ready(ctx, opts.Address); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%w\n%s", err, p.Log())
	}
	return p, nil
}

func (p *Process) ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	target := address
	if !strings.HasPrefix(address, "unix:") {
		target = "passthrough:///" + address
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	health := healthv1.NewHealthClient(conn)
	for {
		resp, err := health.Check(ctx, &healthv1.HealthCheckRequest{})
		if err == nil && resp.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return nil
		}
		select {
		case <-p.exited:
			return errors.New("extproc ended before it served")
		case <-ctx.Done():
			return fmt.Errorf("extproc did not serve in time: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Signal sends the process a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop asks the process to end and waits for it. The error is its exit status,
// or that it had to be killed.
func (p *Process) Stop() error {
	_ = p.Signal(syscall.SIGTERM) // gone already is as good
	select {
	case <-p.exited:
		return p.err
	case <-time.After(stopLimit):
		p.Kill()
		return fmt.Errorf("extproc did not end within %v of SIGTERM", stopLimit)
	}
}

// Kill ends the process at once.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // gone already is as good
	<-p.exited
}

// Exited is closed when the process is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Log is what the process has printed so far.
func (p *Process) Log() string {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(log)
}
