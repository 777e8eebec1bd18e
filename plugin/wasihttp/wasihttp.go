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
	"fmt"
	"strings"

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
}

var _ plugin.ABI = (*ABI)(nil)

// New makes the ABI on an engine and services, which all its plugins share.
func New(engine *abi.Engine, services *host.Services) *ABI {
	return &ABI{engine: engine, services: services}
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
	m, err := a.load(ctx, wasm, spec)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", spec.Name, err)
	}
	return m, nil
}

func (a *ABI) load(ctx context.Context, wasm []byte, spec *plugin.Spec) (_ *Module, err error) {
	if !a.Detect(wasm) {
		return nil, fmt.Errorf("not a component; make one of a core module with `wasm-tools component new`")
	}
	component, err := a.engine.Compile(ctx, wasm)
	if err != nil {
		return nil, err
	}
	m := &Module{spec: spec, component: component}
	defer func() {
		if err != nil {
			m.Close(ctx)
		}
	}()
	if err := checkWorld(component); err != nil {
		return nil, err
	}
	if m.services, err = a.services.For(spec); err != nil {
		return nil, err
	}
	m.prepare()
	linker := abi.NewLinker(a.engine)
	if err := define(linker); err != nil {
		return nil, err
	}
	if m.linked, err = linker.Link(component); err != nil {
		return nil, err
	}
	if limit := spec.Limits.Memory; limit > 0 {
		m.linked.LimitMemory(limit)
	}
	m.pool, err = plugin.NewPool(ctx, plugin.PoolConfig[*instance]{
		New: m.instantiate, Close: (*instance).close, Max: spec.Limits.Instances,
	})
	if err != nil {
		return nil, fmt.Errorf("does not start: %w", err)
	}
	if err := m.startUp(ctx); err != nil {
		return nil, fmt.Errorf("does not start: %w", err)
	}
	return m, nil
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
