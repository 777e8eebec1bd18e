package proxywasm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/extproc/extproc/abi/core"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// Module is a plugin that is loaded: a root context in each VM of its machine. It
// is safe for concurrent use.
type Module struct {
	abi    *ABI
	spec   *plugin.Spec
	rootID string
	// services are the ABI's as the plugin sees them.
	services *host.Services
	machine  *machine
	streams  sync.Pool
	// odd says that the module seems not to know the root id, until that was said.
	odd atomic.Bool

	mu     sync.Mutex
	using  int           // exchanges at work
	closed chan struct{} // once closing: closed when using is 0
}

var (
	_ plugin.Module    = (*Module)(nil)
	_ plugin.Renewable = (*Module)(nil)
)

func newModule(c *compiled) *Module {
	p := &Module{abi: c.abi, spec: c.spec, rootID: c.spec.RootID()}
	p.odd.Store(c.odd)
	return p
}

// machineKey is what plugins have to agree on to share VMs.
type machineKey struct {
	code      codeKey
	vmID      string
	config    string
	env       string
	limits    plugin.Limits
	workers   int
	isolation plugin.Isolation
	backoff   plugin.Backoff
	store     plugin.Store
	alone     *Module // with isolation, VMs are not shared
}

func (p *Module) key(code codeKey) machineKey {
	spec := p.spec
	k := machineKey{
		code: code, vmID: spec.VM.ID, config: string(spec.VM.Config), limits: spec.Limits,
		workers: spec.VM.Workers, isolation: spec.VM.Isolation, backoff: spec.VM.Backoff,
		store: spec.Store,
	}
	k.limits.Body, k.limits.Exchange = 0, 0 // of no concern to a VM
	if k.workers <= 0 {
		k.workers = p.abi.cfg.Workers
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Env)) {
		k.env += name + "=" + spec.Env[name] + "\x00"
	}
	if k.isolation != plugin.Shared {
		k.alone = p
	}
	return k
}

// Needs implements plugin.Module.
func (p *Module) Needs() plugin.Needs {
	var n plugin.Needs
	n.Headers = [2]bool{true, p.watchesResponse()}
	for _, d := range [...]plugin.Direction{plugin.Request, plugin.Response} {
		if p.watches(d) {
			n.Body[d] = plugin.OnDemand
		}
	}
	if p.imports("proxy_get_property") {
		n.Attributes = plugin.DefaultAttributes()
	}
	if p.imports("proxy_set_property") {
		n.Writes = []string{plugin.PropertyNamespace}
	}
	return n
}

// imports says whether the module may call a hostcall.
func (p *Module) imports(name string) bool {
	c := p.machine.code
	return c.allows(name) && slices.ContainsFunc(c.module.Imports, func(i core.Import) bool { return i.Module == "env" && i.Name == name })
}

// watches says whether the module looks at the body or trailers of a message.
func (p *Module) watches(d plugin.Direction) bool {
	return p.calls(d, plugin.BodyPart) || p.calls(d, plugin.TrailersPart)
}

// calls says whether the module is called for a phase.
func (p *Module) calls(d plugin.Direction, part plugin.Part) bool {
	return p.machine.code.has[phaseCallbacks[d][part]] && !p.spec.VM.Skips[d][part]
}

// watchesResponse says whether the module looks at any part of the response,
// if only to log it.
func (p *Module) watchesResponse() bool {
	logs := p.machine.code.has[onLog] && !p.spec.VM.Skips[plugin.Response][plugin.HeadersPart]
	return p.calls(plugin.Response, plugin.HeadersPart) || p.watches(plugin.Response) || logs
}

// Start implements plugin.Module. The VM is chosen with the first step, whose
// context bounds the wait for one.
func (p *Module) Start(ex *plugin.Exchange) (plugin.Guest, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.spec.Name, plugin.ErrPoolClosed)
	}
	p.using++
	s, ok := p.streams.Get().(*stream)
	if !ok {
		s = &stream{plugin: p, wake: plugin.NewBell()}
	}
	s.ex = ex
	s.halves[plugin.Request].begin(plugin.Request, &ex.Request)
	s.halves[plugin.Response].begin(plugin.Response, &ex.Response)
	return &lease{s}, nil
}

// recycle keeps a stream's memory for the next exchange.
func (p *Module) recycle(s *stream) {
	s.wake.Still()
	clear(s.properties)
	*s = stream{plugin: p, wake: s.wake, properties: s.properties, text: s.text}
	p.streams.Put(s)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.using--; p.using == 0 && p.closed != nil {
		close(p.closed)
	}
}

// lease finds a VM for an exchange.
func (p *Module) lease(ctx context.Context, due plugin.Instant) (*vm, error) {
	return p.machine.lease(ctx, due)
}

func (p *Module) giveBack(v *vm) { p.machine.giveBack(v) }

// Instances implements plugin.Counted: VMs with exchanges and without.
func (p *Module) Instances() (busy, idle int) { return p.machine.count() }

// Memory implements plugin.Counted.
func (p *Module) Memory() uint64 { return p.machine.memories.Used() }

// Renew implements plugin.Renewable. VMs that plugins share are replaced for all.
func (p *Module) Renew() { p.machine.renew() }

// Close implements plugin.Module. It waits for exchanges under way, and for a
// root context that is not done yet to call proxy_done.
func (p *Module) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closed != nil {
		p.mu.Unlock()
		return nil
	}
	p.closed = make(chan struct{})
	if p.using == 0 {
		close(p.closed)
	}
	p.mu.Unlock()
	select {
	case <-p.closed:
	case <-ctx.Done():
		// The exchanges that are left lose their VMs.
	}
	p.machine.part(ctx, p)
	p.services.Callouts.Close()
	err := p.abi.machines.Drop(ctx, p.machine.key)
	p.services.Close()
	return err
}
