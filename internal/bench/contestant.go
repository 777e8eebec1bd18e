package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/extproc/extproc/envoy"
	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/envoyrun"
	"github.com/extproc/extproc/internal/extprocrun"
	"github.com/extproc/extproc/plugin"
)

// yardstick is the contestant that all are compared with.
const yardstick = "grpc-go, no-op"

// contestant is a way to have traffic seen.
type contestant struct {
	name string
	// wasm is the plugin in the checkout, "" if there is none. It runs in extproc if
	// there is a transport, else in Envoy.
	wasm, transport string
	// plugin is what it sets the response header x-plugin to.
	plugin string
	// needs are those of the yardstick.
	needs plugin.Needs
	// variant is how extproc is run, if not as it comes.
	variant variant
}

const (
	module    = "envoy/examples/proxy-wasm-headers/c/plugin.wasm"
	component = "envoy/examples/header-rules/c.wasm"
	reader    = "internal/bench/read.wasm"
	forwarder = "internal/guests/duplex/rust.wasm"
	transform = "envoy/examples/body-transform/rust.wasm"
)

// both runs a plugin in extproc, on each transport.
func both(what, wasm, plugin string) (list []contestant) {
	for _, transport := range []string{"grpc-go", "frames"} {
		list = append(list, contestant{name: "extproc " + transport + ", " + what, wasm: wasm, transport: transport, plugin: plugin})
	}
	return list
}

var headerContestants = slices.Concat([]contestant{
	{name: "no filter"},
	{name: "Envoy's V8, module", wasm: module, plugin: "headers"},
	{name: yardstick, needs: plugin.Needs{Headers: [2]bool{true, true}}},
}, both("module", module, "headers"), both("component", component, "header-rules"))

// bodyContestants do different things to bodies: only the yardstick and those that
// forward them unchanged do the same.
var bodyContestants = slices.Concat([]contestant{
	{name: "no filter"},
	{name: "Envoy's V8, module that reads", wasm: reader, plugin: "read"},
	{name: yardstick, needs: plugin.Needs{Headers: [2]bool{true, true}, Body: [2]plugin.BodyNeed{plugin.Always, plugin.Always}}},
}, both("component for headers", component, "header-rules"),
	both("module that reads", reader, "read"),
	both("component that forwards", forwarder, ""),
	both("component that changes", transform, ""))

// chosen are the contestants that fit, and the yardstick.
func chosen(list []contestant, only *regexp.Regexp) (fit []contestant) {
	for _, c := range list {
		if c.name == yardstick || only.MatchString(c.name) {
			fit = append(fit, c)
		}
	}
	return fit
}

// variant is a program and environment to run extproc with.
type variant struct {
	text, program string
	env           []string
}

// variants is a flag: each of its words sets a variable, or is a program.
type variants []variant

func (v *variants) String() string { return fmt.Sprint(*v) }

// Set adds a variant.
func (v *variants) Set(text string) error {
	made := variant{text: text}
	for _, word := range strings.Fields(text) {
		switch {
		case strings.Contains(word, "="):
			made.env = append(made.env, word)
		case made.program != "":
			return fmt.Errorf("expected one program, got %s and %s", made.program, word)
		default:
			made.program = word
		}
	}
	*v = append(*v, made)
	return nil
}

// also follows each contestant with extproc by its variants.
func (v variants) also(list []contestant) (all []contestant) {
	for _, c := range list {
		all = append(all, c)
		if c.transport == "" {
			continue
		}
		for _, other := range v {
			c := c
			c.name, c.variant = c.name+", "+other.text, other
			all = append(all, c)
		}
	}
	return all
}

// running is a contestant with its Envoy and its server.
type running struct {
	contestant
	socket string // Envoy's
	envoy  *envoyrun.Envoy
	server int // its process, 0 if there is none
	stop   func()
}

// start runs a server if there has to be one, and an Envoy in front.
func (o *options) start(ctx context.Context, c contestant, upstream, dir string) (r *running, err error) {
	r = &running{contestant: c, socket: filepath.Join(dir, "e"), stop: func() {}}
	defer func() {
		if err != nil {
			r.stop()
			err = fmt.Errorf("%s: %w", c.name, err)
		}
	}()
	where := envoy.Options{
		Listen: "unix://" + r.socket, Upstream: upstream, ExtProc: "unix://" + filepath.Join(dir, "s"), Admin: "127.0.0.1:0",
	}
	var bootstrap []byte
	switch {
	case c.transport != "":
		bootstrap, err = r.startExtProc(ctx, cmp.Or(c.variant.program, o.extproc), where, dir)
	case c.name == yardstick:
		bootstrap, err = r.startYardstick(ctx, o.yardstick, where, dir)
	default:
		bootstrap, err = withoutServer(where, c.wasm)
	}
	if err != nil {
		return r, err
	}
	if bootstrap, err = balanced(bootstrap); err != nil {
		return r, err
	}
	r.envoy, err = envoyrun.Start(ctx, envoyrun.Options{Binary: o.envoy, Bootstrap: bootstrap, Dir: dir, Workers: runtime.NumCPU()})
	if err != nil {
		return r, err
	}
	server := r.stop
	r.stop = func() { r.envoy.Stop(); server() }
	return r, nil
}

func (r *running) startExtProc(ctx context.Context, binary string, where envoy.Options, dir string) ([]byte, error) {
	wasm, err := checkout.Path(filepath.FromSlash(r.wasm))
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]any{"plugins": []any{map[string]any{
		"pluginName": "bench", "url": "file://" + wasm,
		"limits": map[string]any{"timeout": "20s"}, // the machine may be slow
	}}})
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "extproc.yaml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return nil, err
	}
	p, err := extprocrun.Start(ctx, extprocrun.Options{
		Binary: binary, Config: config, Address: where.ExtProc, Dir: dir, Env: r.variant.env,
		// The module logs every request, which Envoy doesn't write down at its level either.
		Args: []string{"--transport", r.transport, "--log-level", "warn", "--grpc-health-port", "0", "--metrics-port", "0"},
	})
	if err != nil {
		return nil, err
	}
	r.server, r.stop = p.PID(), func() { _ = p.Stop() } // Ctrl-C has reached it before
	cmd := exec.CommandContext(ctx, binary, "envoy", "--config", config, "--listen", where.Listen,
		"--upstream", where.Upstream, "--extproc", where.ExtProc, "--admin", where.Admin)
	cmd.Stderr = os.Stderr
	return cmd.Output()
}

func (r *running) startYardstick(ctx context.Context, binary string, where envoy.Options, dir string) ([]byte, error) {
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(binary, "-socket", socket)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r.server = cmd.Process.Pid
	r.stop = func() {
		_ = cmd.Process.Kill() // gone already is as good
		_ = cmd.Wait()         // it was killed
	}
	if err := accepts(ctx, socket); err != nil {
		return nil, err
	}
	return envoy.Bootstrap(where, envoy.Plugin{Needs: r.needs, Timeout: time.Second})
}

// accepts waits until something listens on a socket.
func accepts(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
