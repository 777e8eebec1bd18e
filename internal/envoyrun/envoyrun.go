// Package envoyrun finds and runs a real Envoy.
package envoyrun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/extproc/extproc/internal/checkout"
)

// Binary is the Envoy to run: $ENVOY, else the one `make tools` installs, else
// the one on PATH.
func Binary() (string, error) {
	if path := os.Getenv("ENVOY"); path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return "", fmt.Errorf("$ENVOY: %w", err)
		}
		return path, nil
	}
	path, err := checkout.Tool("envoy")
	if err != nil {
		return "", fmt.Errorf("no $ENVOY, and %w", err)
	}
	return path, nil
}

// Validate asks Envoy whether it would run a bootstrap. The error holds what
// Envoy had to say.
func Validate(ctx context.Context, binary string, bootstrap []byte) error {
	dir, err := os.MkdirTemp("", "envoy")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(path, bootstrap, 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, binary, "--mode", "validate", "-c", path, "--log-level", "warn").CombinedOutput()
	if err != nil {
		return fmt.Errorf("envoy --mode validate: %w\n%s", err, out)
	}
	return nil
}

// Options of a run.
type Options struct {
	// Binary is the path of Envoy.
	Binary string
	// Bootstrap is its configuration, whose admin address has port 0.
	Bootstrap []byte
	// Dir keeps configuration, log and admin address.
	Dir string
	// LogLevel is one of Envoy's; "" is warning.
	LogLevel string
	// Workers is the number of worker threads; 0 is one.
	Workers int
}

// Envoy is a running Envoy.
type Envoy struct {
	// Admin is the address of the admin listener, host:port.
	Admin string

	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed once the process is gone
}

const (
	// startLimit allows for a large module that Envoy's wasm filter compiles.
	startLimit = 2 * time.Minute
	stopLimit  = 10 * time.Second
)

// Start runs Envoy and returns when it serves.
func Start(ctx context.Context, opts Options) (*Envoy, error) {
	config := filepath.Join(opts.Dir, "envoy.yaml")
	if err := os.WriteFile(config, opts.Bootstrap, 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(opts.Dir, "envoy.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	adminPath := filepath.Join(opts.Dir, "admin")
	if err := os.Remove(adminPath); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	level := opts.LogLevel
	if level == "" {
		level = "warning"
	}
	cmd := exec.Command(opts.Binary,
		"-c", config,
		"--admin-address-path", adminPath,
		"--use-dynamic-base-id", // several may run on one machine
		"--concurrency", strconv.Itoa(max(opts.Workers, 1)),
		"--log-level", level,
		"--drain-time-s", "1", "--parent-shutdown-time-s", "2")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e := &Envoy{cmd: cmd, log: log.Name(), exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it went is in the log
		close(e.exited)
	}()
	if err := e.ready(ctx, adminPath); err != nil {
		e.Stop()
		return nil, fmt.Errorf("%w\n%s", err, e.Log())
	}
	return e, nil
}

// ready waits until the admin address is known and says that all is live.
func (e *Envoy) ready(ctx context.Context, adminPath string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if e.Admin == "" {
			address, err := os.ReadFile(adminPath)
			if err == nil {
				e.Admin = strings.TrimSpace(string(address))
			}
		}
		if e.Admin != "" {
			if _, err := e.AdminGet(ctx, "/ready"); err == nil {
				return nil
			}
		}
		select {
		case <-e.exited:
			return errors.New("envoy ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("envoy was not ready in time: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// Stop ends Envoy, by force if it does not go.
func (e *Envoy) Stop() {
	_ = e.cmd.Process.Signal(syscall.SIGTERM) // gone already is as good
	select {
	case <-e.exited:
		return
	case <-time.After(stopLimit):
	}
	e.Kill()
}

// Kill ends Envoy at once, with all it is at.
func (e *Envoy) Kill() {
	_ = e.cmd.Process.Kill() // gone already is as good
	<-e.exited
}

// PID is the process id.
func (e *Envoy) PID() int { return e.cmd.Process.Pid }

// Exited is closed when Envoy is gone.
func (e *Envoy) Exited() <-chan struct{} { return e.exited }

// Log is what Envoy has logged so far.
func (e *Envoy) Log() string {
	log, err := os.ReadFile(e.log)
	if err != nil {
		return err.Error()
	}
	return string(log)
}
