package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/extproc/extproc/envoy"
	"github.com/extproc/extproc/internal/envoyrun"
	"github.com/extproc/extproc/internal/extprocrun"
	"github.com/extproc/extproc/internal/upstream"
)

// The ports that the demo takes if they are free.
const (
	listenPort   = 10000
	barePort     = 10001
	upstreamPort = 8080
)

// stack is everything the demo runs.
type stack struct {
	upstream *upstream.Server
	extproc  *extprocrun.Process
	envoy    *envoyrun.Envoy
	bareHost *envoyrun.Envoy
	// listen is the address of the Envoy with the plugin, bare of the one
	// without.
	listen, bare string
}

func start(ctx context.Context, dir string, opts options) (s *stack, err error) {
	s = new(stack)
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	addresses, err := localAddresses(listenPort, barePort, upstreamPort)
	if err != nil {
		return s, err
	}
	s.listen, s.bare = addresses[0], addresses[1]
	extprocAddress := "unix://" + filepath.Join(dir, "extproc.sock")

	if s.upstream, err = upstream.Start(ctx, addresses[2]); err != nil {
		return s, fmt.Errorf("upstream: %w", err)
	}
	config, err := writeConfig(dir, opts.plugin)
	if err != nil {
		return s, err
	}
	step("extproc serves %s on %s", opts.plugin, extprocAddress)
	s.extproc, err = extprocrun.Start(ctx, extprocrun.Options{
		Binary: opts.extproc, Config: config, Address: extprocAddress, Dir: dir,
		Args: []string{"--grpc-health-port", "0", "--metrics-port", "0"},
	})
	if err != nil {
		return s, err
	}
	return s, s.startEnvoys(ctx, dir, opts.extproc, config, extprocAddress)
}

// startEnvoys runs one Envoy with the configuration that extproc prints for its
// plugins, and one without a plugin to compare with.
func (s *stack) startEnvoys(ctx context.Context, dir, extproc, config, extprocAddress string) error {
	binary, err := envoyrun.Binary()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, extproc, "envoy", "--config", config,
		"--listen", s.listen, "--upstream", s.upstream.Address, "--extproc", extprocAddress, "--admin", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	bootstrap, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("extproc envoy: %w", err)
	}
	step("Envoy (%s) listens on %s and sends to the upstream on %s", binary, s.listen, s.upstream.Address)
	s.envoy, err = runEnvoy(ctx, binary, bootstrap, filepath.Join(dir, "envoy"))
	if err != nil {
		return err
	}
	bootstrap, err = envoy.Bootstrap(envoy.Options{
		Listen: s.bare, Upstream: s.upstream.Address, ExtProc: extprocAddress, Admin: "127.0.0.1:0",
	})
	if err != nil {
		return err
	}
	step("Envoy without a plugin listens on %s", s.bare)
	s.bareHost, err = runEnvoy(ctx, binary, bootstrap, filepath.Join(dir, "bare"))
	return err
}

func runEnvoy(ctx context.Context, binary string, bootstrap []byte, dir string) (*envoyrun.Envoy, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return envoyrun.Start(ctx, envoyrun.Options{Binary: binary, Bootstrap: bootstrap, Dir: dir})
}

// wait returns when the user has had enough, or with an error when a part ended
// by itself.
func (s *stack) wait(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case <-s.extproc.Exited():
		err = errors.New("extproc ended\n" + s.extproc.Log())
	case <-s.envoy.Exited():
		err = errors.New("envoy ended\n" + s.envoy.Log())
	}
	// Ctrl-C reaches every process of the terminal; a part may be quicker than
	// this one to take it.
	select {
	case <-ctx.Done():
		fmt.Println("\nStopping.")
		return nil
	case <-time.After(time.Second):
		return err
	}
}

// stop ends what was started, the callers before the called.
func (s *stack) stop() {
	for _, e := range []*envoyrun.Envoy{s.envoy, s.bareHost} {
		if e != nil {
			e.Stop()
		}
	}
	if s.extproc != nil {
		_ = s.extproc.Stop() // Ctrl-C has reached it before, and a second signal ends it at once
	}
	if s.upstream != nil {
		_ = s.upstream.Close() // nothing is lost with it
	}
}

func localAddresses(wanted ...int) ([]string, error) {
	addresses := make([]string, len(wanted))
	for i, port := range wanted {
		free, err := envoyrun.PortOr(port)
		if err != nil {
			return nil, err
		}
		addresses[i] = fmt.Sprintf("127.0.0.1:%d", free)
	}
	return addresses, nil
}

func writeConfig(dir, wasm string) (string, error) {
	wasm, err := filepath.Abs(wasm)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "extproc.yaml")
	config := fmt.Sprintf("plugins:\n  - pluginName: demo\n    url: file://%s\n", wasm)
	return path, os.WriteFile(path, []byte(config), 0o600)
}

func step(format string, args ...any) { fmt.Printf("* "+format+"\n", args...) }
