package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/envoyrun"
	"github.com/extproc/extproc/internal/extprocrun"
	"github.com/extproc/extproc/internal/upstream"
)

// stack is everything that a soak runs.
type stack struct {
	upstream *upstream.Server
	extproc  *extprocrun.Process
	envoy    atomic.Pointer[envoyrun.Envoy]
	proxy    envoyrun.Options // of an Envoy
	config   string           // extproc's configuration
	listen   string           // Envoy's address
	metrics  string           // where extproc's metrics are
	outages  *outages
	store    *redis
	// teams counts the values that plugins were configured with, one after another.
	teams atomic.Int64
}

func start(ctx context.Context, dir string, opts options) (s *stack, err error) {
	s = &stack{config: filepath.Join(dir, "extproc.yaml"), outages: &outages{}}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.upstream, err = upstream.Start(ctx, "127.0.0.1:0"); err != nil {
		return s, fmt.Errorf("upstream: %w", err)
	}
	ports, err := envoyrun.FreePorts(3)
	if err != nil {
		return s, err
	}
	s.listen, s.metrics = fmt.Sprint("127.0.0.1:", ports[0]), fmt.Sprint("127.0.0.1:", ports[1])
	s.store = &redis{dir: dir, port: ports[2]}
	if err := s.store.start(ctx); err != nil {
		return s, err
	}
	if err := s.configure(); err != nil {
		return s, err
	}
	address := "unix://" + filepath.Join(dir, "s")
	s.extproc, err = extprocrun.Start(ctx, extprocrun.Options{
		Binary: opts.extproc, Config: s.config, Address: address, Dir: dir,
		Args: []string{"--grpc-health-port", "0", "--metrics-port", fmt.Sprint(ports[1])},
	})
	if err != nil {
		return s, err
	}
	cmd := exec.CommandContext(ctx, opts.extproc, "envoy", "--config", s.config,
		"--listen", s.listen, "--upstream", s.upstream.Address, "--extproc", address, "--admin", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	bootstrap, err := cmd.Output()
	if err != nil {
		return s, fmt.Errorf("extproc envoy: %w", err)
	}
	binary, err := envoyrun.Binary()
	if err != nil {
		return s, err
	}
	s.proxy = envoyrun.Options{Binary: binary, Bootstrap: bootstrap, Dir: dir}
	return s, s.startEnvoy(ctx)
}

func (s *stack) startEnvoy(ctx context.Context) error {
	e, err := envoyrun.Start(ctx, s.proxy)
	if err == nil {
		s.envoy.Store(e)
	}
	return err
}

// plugins are the chain: guests of both kinds, one that reads bodies, one that
// traps when it is asked to, one that shares data, and one whose configuration
// changes.
var plugins = []struct {
	name string
	path []string
	more map[string]any
}{
	{"header-rules", []string{"envoy", "examples", "header-rules", "rust.wasm"}, nil},
	{"trap", []string{"internal", "guests", "trap", "rust.wasm"}, map[string]any{"failStrategy": "FAIL_CLOSE"}},
	{"module", []string{"envoy", "examples", "proxy-wasm-headers", "c", "plugin.wasm"}, nil},
	{"store", []string{"internal", "soak", "store.wasm"}, nil},
	{"body-transform", []string{"envoy", "examples", "body-transform", "rust.wasm"}, nil},
	{"team", []string{"envoy", "examples", "configuration", "rust.wasm"}, nil},
}

// configure writes a configuration that differs from the one before it.
func (s *stack) configure() error {
	var list []any
	team := s.teams.Add(1)
	for _, p := range plugins {
		path, err := checkout.Path(p.path...)
		if err != nil {
			return err
		}
		entry := map[string]any{
			"pluginName": p.name, "url": "file://" + path,
			"limits": map[string]any{"timeout": "20s", "instances": 256}, // the machine may be slow
		}
		for key, value := range p.more {
			entry[key] = value
		}
		if p.name == "team" {
			entry["pluginConfig"] = map[string]string{"header": "x-team", "value": fmt.Sprint(team)}
		}
		list = append(list, entry)
	}
	text, err := json.Marshal(map[string]any{"plugins": list, "store": s.store.url()})
	if err != nil {
		return err
	}
	return s.replace(text)
}

// replace writes the configuration all at once, as editors and Kubernetes do.
func (s *stack) replace(text []byte) error {
	next := s.config + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.config)
}

// stop ends what was started, the callers before the called.
func (s *stack) stop() {
	if e := s.envoy.Load(); e != nil {
		e.Stop()
	}
	if s.extproc != nil {
		_ = s.extproc.Stop() // Ctrl-C has reached it before
	}
	if s.store != nil {
		s.store.kill()
	}
	if s.upstream != nil {
		_ = s.upstream.Close() // nothing is lost with it
	}
}
