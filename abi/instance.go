package abi

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/abi/core"
	"github.com/extproc/extproc/abi/memory"
)

// Instance is an instance of a component with all its inner instances. It may
// be used by one goroutine at a time; only Stop may be called from others.
type Instance struct {
	linked *Linked
	data   any
	ctx    callContext

	mods     []api.Module    // as plan.cores
	funcs    []coreFunc      // as plan.funcs
	opts     []canon.Options // as plan.opts
	comps    []compState     // as plan.comps
	lifts    []Func          // as plan.lifts
	memories *memory.Set
	globals  []api.MutableGlobal // that Reset restores
	linears  []api.Memory        // as memories.Linears

	calls   callStack
	arena   arena
	active  *row // the host function that is running
	storage [contextSlots]uint64
	task    *task // of the asynchronous function that is running
	depth   int   // of calls into core code
	running bool
	dead    error  // why no call can be made any more
	noReset string // why Reset is impossible, "" if it is not
	stop    stop
}

// compState is the state of a component instance (CanonicalABI.md, Component
// Instances).
type compState struct {
	table              *canon.Table
	mayEnter, mayLeave bool
	reallocating       bool
	backpressure       int
}

// callContext is what wazero hands to the host module: the caller's context and
// the instance that the call is for.
type callContext struct {
	context.Context
	in *Instance
	// values holds what wazero looks for while it instantiates. It is nil
	// otherwise, as it looks for nothing of ours then.
	values context.Context
}

func (c *callContext) Value(key any) any {
	if c.values == nil {
		return nil
	}
	return c.values.Value(key)
}

// caller is the instance that calls a function of the host module.
func caller(ctx context.Context) *Instance { return ctx.(*callContext).in }

// Instantiate makes an instance. data is what Call.Data returns in it. When ctx
// ends, guest code that runs meanwhile is stopped.
func (l *Linked) Instantiate(ctx context.Context, data any) (*Instance, error) {
	in := newInstance(l, data)
	unwatch := context.AfterFunc(ctx, in.Stop)
	err := in.instantiate(ctx)
	if !unwatch() && err == nil {
		err = stopped()
	}
	if err == nil {
		err = l.image.settle(in)
	}
	if err != nil {
		in.dead = err
		_ = in.Close(ctx)
		return nil, fmt.Errorf("instantiate: %w", err)
	}
	return in, nil
}

func newInstance(l *Linked, data any) *Instance {
	p := l.component.plan
	in := &Instance{
		linked: l, data: data,
		mods:     make([]api.Module, 0, len(p.cores)),
		funcs:    make([]coreFunc, len(p.funcs)),
		opts:     make([]canon.Options, len(p.opts)),
		comps:    make([]compState, len(p.comps)),
		lifts:    make([]Func, len(p.lifts)),
		memories: l.component.engine.memory.NewSet(),
	}
	in.ctx.in = in
	in.memories.Count(&l.component.memory)
	if l.memoryLimit > 0 {
		in.memories.Limit(l.memoryLimit / wasmPage * wasmPage)
	}
	for i := range in.comps {
		in.comps[i] = compState{table: canon.NewTable(l.component.handles), mayEnter: true, mayLeave: true}
	}
	for i, l := range p.lifts {
		in.lifts[i] = Func{in: in, lift: l}
	}
	return in
}

// instantiate carries out the plan.
func (in *Instance) instantiate(ctx context.Context) error {
	c := in.linked.component
	var def *coreDef
	values := experimental.WithImportResolver(ctx, func(name string) api.Module {
		i, err := strconv.Atoi(name)
		if err != nil || i >= len(def.sources) {
			return nil
		}
		return in.module(def.sources[i])
	})
	in.ctx.values = experimental.WithMemoryAllocator(values, in.memories)
	in.ctx.Context = ctx
	defer func() { in.ctx.Context, in.ctx.values = nil, nil }()
	in.bindOptions()
	for i := range c.plan.cores {
		def = c.plan.cores[i]
		mod, err := c.engine.runtime.InstantiateModule(&in.ctx, c.compiled[i], moduleConfig)
		if err == nil {
			in.mods = append(in.mods, mod)
			err = in.start(mod, def.module)
		}
		if err == nil {
			err = in.memories.Err()
		}
		if err != nil {
			return in.asTrap(err)
		}
	}
	return nil
}

// moduleConfig names no module: wazero's registry of names is not used. The
// source of random numbers, which only its own WASI asks for, spares the seeding
// of one for each core instance (8 µs).
var moduleConfig = wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(noRandom{})

type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, errors.New("no random numbers here") }

// start makes a new core instance stoppable and runs its start function, which
// is only possible in this order as the rewritten module exports it.
func (in *Instance) start(mod api.Module, m *coreModule) error {
	if g, ok := mod.ExportedGlobal(core.StopExport).(api.MutableGlobal); ok {
		in.stop.add(g)
	}
	if !m.start {
		return nil
	}
	return mod.ExportedFunction(core.StartExport).CallWithStack(&in.ctx, nil)
}

// module is the core instance that a source stands for.
func (in *Instance) module(s source) api.Module {
	if s == hostSource {
		return in.linked.component.host
	}
	return in.mods[s]
}

// linear is a memory as canon sees it.
type linear struct {
	in  *Instance
	ref coreRef
	mem api.Memory // found at first use: memories come into being one by one
}

func (m *linear) Bytes() []byte {
	if m.mem == nil {
		m.mem = m.in.module(m.ref.source).ExportedMemory(m.ref.name)
	}
	b, _ := m.mem.Read(0, m.mem.Size())
	return b
}

// bindOptions makes the canonical options of the plan those of this instance.
func (in *Instance) bindOptions() {
	p := in.linked.component.plan
	mems := make([]linear, len(p.mems))
	for i, ref := range p.mems {
		mems[i] = linear{in: in, ref: ref}
	}
	for i, o := range p.opts {
		c := &in.opts[i]
		*c = canon.Options{Encoding: o.encoding, Table: in.comps[o.comp.id].table, Instance: o.comp}
		if o.memory >= 0 {
			c.Memory = &mems[o.memory]
		}
		if o.realloc >= 0 {
			r := &realloc{in: in, comp: &in.comps[o.comp.id], fn: o.realloc}
			c.Realloc = r.call
		}
	}
}

// MemoryBytes is the size of all linear memories of the instance.
func (in *Instance) MemoryBytes() (n uint64) {
	for _, l := range in.memories.Linears() {
		n += uint64(len(l.Bytes()))
	}
	return n
}

// Data is what Call.Data returns.
func (in *Instance) Data() any { return in.data }

// SetData replaces what Call.Data returns.
func (in *Instance) SetData(data any) { in.data = data }

var errClosed = errors.New("the instance is closed")

// Close ends the instance, dropping the host's resources it still holds.
func (in *Instance) Close(ctx context.Context) error {
	if errors.Is(in.dead, errClosed) {
		return nil
	}
	in.dropHandles()
	in.dead = errClosed
	var errs []error
	for i := len(in.mods) - 1; i >= 0; i-- {
		errs = append(errs, in.mods[i].Close(ctx))
	}
	in.memories.Free()
	return errors.Join(errs...)
}
