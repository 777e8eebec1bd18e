// Package wasihttp runs plugins that are components of the world
// wasi:http/proxy@0.2: they export wasi:http/incoming-handler, whose one
// function sees a request and answers it, calling outgoing-handler to have the
// request sent on down the proxy's filter chain.
//
// imports.go is the table of what they may import, handoff.go joins the phases
// of an exchange to a guest that blocks in its handler, and body.go decides
// which bodies can be left to the proxy.
package wasihttp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

const (
	handlerInterface  = "wasi:http/incoming-handler"
	handlerTrack      = handlerInterface + "@0.2"
	outgoingInterface = "wasi:http/outgoing-handler"
	typesInterface    = "wasi:http/types"
)

// ABI is the kind of guest that this package runs. It is safe for concurrent
// use.
type ABI struct {
	engine   *abi.Engine
	services *host.Services
	// linker has what any plugin may import.
	linker func() (*abi.Linker, error)
}

var _ plugin.Compiler = (*ABI)(nil)

// New makes the ABI on an engine and services, which all its plugins share.
func New(engine *abi.Engine, services *host.Services) *ABI {
	return &ABI{engine: engine, services: services, linker: sync.OnceValues(func() (*abi.Linker, error) {
		l := abi.NewLinker(engine)
		return l, define(l)
	})}
}

// Name implements plugin.ABI.
func (*ABI) Name() string { return "wasi:http component" }

// Detect reports whether wasm is a component: its preamble has layer 1
// (Binary.md).
func (*ABI) Detect(wasm []byte) bool {
	return len(wasm) >= 8 && string(wasm[:4]) == "\x00asm" && wasm[6] == 1 && wasm[7] == 0
}

// Load implements plugin.ABI.
func (a *ABI) Load(ctx context.Context, wasm []byte, spec *plugin.Spec) (plugin.Module, error) {
	c, err := a.Compile(ctx, wasm, spec)
	if err != nil {
		return nil, err
	}
	return c.Start(ctx)
}

// compiled is a plugin whose code is there and whose instances are not.
type compiled struct {
	abi       *ABI
	spec      *plugin.Spec
	component *abi.Component
	linked    *abi.Linked
}

// Compile implements plugin.Compiler.
func (a *ABI) Compile(ctx context.Context, wasm []byte, spec *plugin.Spec) (plugin.Compiled, error) {
	c := &compiled{abi: a, spec: spec}
	if err := c.compile(ctx, wasm); err != nil {
		return nil, fmt.Errorf("plugin %s: %w", spec.Name, err)
	}
	return c, nil
}

func (c *compiled) compile(ctx context.Context, wasm []byte) (err error) {
	if !c.abi.Detect(wasm) {
		return fmt.Errorf("not a component; make one of a core module with `wasm-tools component new`")
	}
	if c.component, err = c.abi.engine.Compile(ctx, wasm); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.component.Close(ctx))
		}
	}()
	if err := checkWorld(c.component); err != nil {
		return err
	}
	linker, err := c.abi.linker()
	if err != nil {
		return err
	}
	c.linked, err = linker.Link(c.component)
	return err
}

// Close implements plugin.Compiled.
func (c *compiled) Close(ctx context.Context) error {
	return errors.Join(c.linked.Close(ctx), c.component.Close(ctx))
}

// Start implements plugin.Compiled.
func (c *compiled) Start(ctx context.Context) (plugin.Module, error) {
	m := &Module{spec: c.spec, component: c.component, linked: c.linked}
	if err := c.abi.start(ctx, m); err != nil {
		m.Close(ctx)
		return nil, fmt.Errorf("plugin %s: %w", c.spec.Name, err)
	}
	return m, nil
}

func (a *ABI) start(ctx context.Context, m *Module) (err error) {
	if m.services, err = a.services.For(m.spec); err != nil {
		return err
	}
	m.prepare()
	if limit := m.spec.Limits.Memory; limit > 0 {
		m.linked.LimitMemory(limit)
	}
	m.pool, err = plugin.NewPool(ctx, plugin.PoolConfig[*instance]{
		New: m.instantiate, Close: (*instance).close, Max: m.spec.Limits.Instances,
	})
	if err == nil {
		err = m.startUp(ctx)
	}
	if err != nil {
		return fmt.Errorf("does not start: %w", err)
	}
	return nil
}

// checkWorld tells what is wrong with a component that isn't of our world.
func checkWorld(c *abi.Component) error {
	var names []string
	for _, e := range c.Exports() {
		if strings.HasPrefix(e.Name, handlerTrack) {
			return nil
		}
		names = append(names, e.Name)
	}
	found := "nothing"
	if len(names) > 0 {
		found = strings.Join(names, ", ")
	}
	return fmt.Errorf("exports %s; expected %s.x (world wasi:http/proxy)", found, handlerTrack)
}

// lease is what the server holds of a guest, so that a guest that is already at
// another exchange's service can't be reached by mistake.
type lease struct{ guest *guest }

// Step implements plugin.Guest.
func (l *lease) Step(ctx context.Context) (plugin.Status, error) {
	if l.guest == nil {
		return plugin.Status{}, errClosed
	}
	return l.guest.step(ctx)
}

// Close implements plugin.Guest.
func (l *lease) Close() {
	if g := l.guest; g != nil {
		l.guest = nil
		g.close()
		g.mod.recycle(g)
	}
}
