package abi

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sync/errgroup"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/abi/core"
	"github.com/extproc/extproc/abi/validate"
)

// Component is a compiled component. It is safe for concurrent use.
type Component struct {
	*compilation
	closed atomic.Bool
	memory atomic.Int64 // bytes that its instances have
}

// compilation is what there is once of a component, however many are made of the
// same bytes.
type compilation struct {
	engine     *Engine
	digest     [sha256.Size]byte
	plan       *plan
	unlinkable error // why it can't be linked, if it can't
	noReset    string
	maxDepth   int
	handles    uint32                  // limit of each handle table
	tables     uint64                  // limit of each table, in elements
	compiled   []wazero.CompiledModule // as plan.cores
	hostCode   wazero.CompiledModule
	host       api.Module
}

// Memory is how many bytes of memory the component's instances have.
func (c *Component) Memory() uint64 { return uint64(c.memory.Load()) }

// Compile decodes, validates and compiles a component. One that is there already
// shares its code.
func (e *Engine) Compile(ctx context.Context, wasm []byte) (*Component, error) {
	digest := sha256.Sum256(wasm)
	c, err := e.compilations.Take(ctx, digest, func(ctx context.Context) (*compilation, error) {
		return e.compile(ctx, wasm, digest)
	})
	if err != nil {
		return nil, err
	}
	return &Component{compilation: c}, nil
}

func (e *Engine) compile(ctx context.Context, wasm []byte, digest [sha256.Size]byte) (*compilation, error) {
	ast, err := binary.Decode(wasm)
	if err != nil {
		return nil, err
	}
	parsed, err := validate.Component(ast)
	if err != nil {
		return nil, err
	}
	modules, err := e.modules(ast, parsed)
	if err != nil {
		return nil, err
	}
	c := &compilation{engine: e, digest: digest}
	c.plan, err = flatten(ast, modules)
	var unlinkable *unlinkable
	if errors.As(err, &unlinkable) {
		c.unlinkable = unlinkable
	} else if err != nil {
		return nil, err
	}
	if unlinkable != nil && unlinkable.async {
		return nil, unlinkable
	}
	if err := c.limit(); err != nil {
		return nil, err
	}
	if err := c.compile(ctx, modules); err != nil {
		_ = c.free(ctx)
		return nil, err
	}
	for _, m := range modules {
		m.Module = nil
	}
	return c, nil
}

// limit divides what is capped for a component among its parts.
func (c *compilation) limit() error {
	const fewHandles = 1000
	cfg, tables, elements := c.engine.cfg, uint64(0), uint64(0)
	for _, def := range c.plan.cores {
		for _, t := range def.module.Tables[def.module.ImportedTables:] {
			tables++
			elements += t.Limits.Min
		}
	}
	if elements > uint64(cfg.TableLimit) {
		return fmt.Errorf("its tables start with %d elements, the limit is %d", elements, cfg.TableLimit)
	}
	c.tables = uint64(cfg.TableLimit) / max(tables, 1)
	c.handles = max(cfg.HandleLimit/uint32(max(len(c.plan.comps), 1)), fewHandles)
	c.maxDepth = depthLimit(c.plan)
	return nil
}

// modules are the core modules of a component and those nested in it.
func (e *Engine) modules(ast *binary.Component, parsed validate.Modules) (map[*byte]*coreModule, error) {
	modules := make(map[*byte]*coreModule, len(parsed))
	var walk func(c *binary.Component) error
	walk = func(c *binary.Component) error {
		for _, d := range c.Defs {
			switch d := d.(type) {
			case *binary.Component:
				if err := walk(d); err != nil {
					return err
				}
			case binary.CoreModule:
				key := &d.Bytes[0]
				m, err := e.module(parsed[key], len(modules))
				if err != nil {
					return err
				}
				modules[key] = m
			}
		}
		return nil
	}
	return modules, walk(ast)
}

func (e *Engine) module(parsed *core.Module, index int) (*coreModule, error) {
	if len(parsed.Memories) > 1 {
		return nil, fmt.Errorf("core module %d: it has %d memories, more than one is not supported", index, len(parsed.Memories))
	}
	for _, l := range parsed.Memories {
		if l.Min*wasmPage > e.cfg.MemoryLimit {
			return nil, fmt.Errorf("core module %d: its memory starts with %d bytes, the limit is %d", index, l.Min*wasmPage, e.cfg.MemoryLimit)
		}
	}
	m := &coreModule{Module: parsed, index: index, exports: make(map[string]core.Kind, len(parsed.Exports))}
	for _, e := range parsed.Exports {
		m.exports[e.Name] = e.Type.Kind
	}
	m.start = parsed.Start
	m.resetGlobals = parsed.ResetGlobals()
	if len(parsed.Memories) > 0 && parsed.ImportedMemories == 0 {
		l := parsed.Memories[0]
		m.ownsMemory = !l.HasMax || l.Max > 0
	}
	return m, nil
}

// compile compiles the core instances' modules, in parallel, and the host
// module. Modules that are never instantiated must be valid too.
func (c *compilation) compile(ctx context.Context, modules map[*byte]*coreModule) error {
	c.compiled = make([]wazero.CompiledModule, len(c.plan.cores))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	used := map[*coreModule]bool{}
	for i, def := range c.plan.cores {
		used[def.module] = true
		if ok, reason := def.module.Facts.Resettable(); !ok && c.noReset == "" {
			c.noReset = fmt.Sprintf("core module %d: %s", def.module.index, reason)
		}
		group.Go(func() (err error) {
			c.compiled[i], err = c.compileCore(ctx, def)
			return err
		})
	}
	for _, m := range modules {
		if !used[m] {
			group.Go(func() error { return c.checkCore(ctx, m) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return c.compileHost(ctx)
}

func (c *compilation) compileCore(ctx context.Context, def *coreDef) (wazero.CompiledModule, error) {
	code, err := def.module.Rewrite(core.Rewrite{
		Import:   func(_, _ string, i int) (string, string) { return def.names[i].module, def.names[i].name },
		Meter:    true,
		TableMax: c.tables,
	})
	if err == nil {
		var m wazero.CompiledModule
		if m, err = c.engine.compiler.Compile(ctx, code); err == nil {
			return m, nil
		}
	}
	return nil, fmt.Errorf("core module %d: %w", def.module.index, err)
}

// checkCore compiles a module for the sake of its validation.
func (c *compilation) checkCore(ctx context.Context, m *coreModule) error {
	def := &coreDef{module: m, names: make([]importName, len(m.Imports))}
	for i := range def.names {
		def.names[i] = importName{"0", strconv.Itoa(i)}
	}
	compiled, err := c.compileCore(ctx, def)
	if err != nil {
		return err
	}
	return compiled.Close(ctx)
}

// compileHost makes the host module: one function for each slot. It serves all
// instances, as they come with the context of each call.
func (c *compilation) compileHost(ctx context.Context) error {
	if len(c.plan.slots) == 0 {
		return nil
	}
	b := c.engine.runtime.NewHostModuleBuilder("host")
	for i, s := range c.plan.slots {
		t := s.coreType()
		b.NewFunctionBuilder().WithGoFunction(s, apiTypes(t.Params), apiTypes(t.Results)).Export(strconv.Itoa(i))
	}
	var err error
	if c.hostCode, err = b.Compile(ctx); err != nil {
		return fmt.Errorf("host module: %w", err)
	}
	if c.host, err = c.engine.runtime.InstantiateModule(ctx, c.hostCode, moduleConfig); err != nil {
		return fmt.Errorf("host module: %w", err)
	}
	return nil
}

func apiTypes(ts []core.ValType) []api.ValueType {
	out := make([]api.ValueType, len(ts))
	for i, t := range ts {
		out[i] = t[0]
	}
	return out
}

// Close gives up the compiled code, which is freed with the last component that
// shares it. The component's instances must have been closed.
func (c *Component) Close(ctx context.Context) error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.engine.compilations.Drop(ctx, c.digest)
}

func (c *compilation) free(ctx context.Context) error {
	var errs []error
	if c.host != nil {
		errs = append(errs, c.host.Close(ctx))
	}
	if c.hostCode != nil {
		errs = append(errs, c.hostCode.Close(ctx))
	}
	for _, m := range c.compiled {
		if m != nil {
			errs = append(errs, m.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// Extern describes an import or export of a component.
type Extern struct {
	Name     string      // "wasi:http/types@0.2.3"
	Sort     binary.Sort // SortInstance, SortFunc, SortType, ...
	Func     *canon.Func // type of a function
	Type     *canon.Type // value type
	Resource *canon.Resource
	Items    []Extern // what an instance holds; not given for instances within
}

// Imports lists what the component needs.
func (c *Component) Imports() []Extern { return c.plan.imports.externs(true) }

// Exports lists what the component offers.
func (c *Component) Exports() []Extern { return c.plan.exports.externs(true) }

// ExportedFunc is the type of an exported function, looked up as Instance.Func
// does, or nil when there is none.
func (c *Component) ExportedFunc(instance, name string) *canon.Func {
	fn := c.plan.exports.function(instance, name)
	if fn == nil {
		return nil
	}
	return fn.typ
}

func (d *instanceDef) externs(items bool) []Extern {
	list := make([]Extern, 0, len(d.names))
	for _, name := range d.names {
		it := d.items[name]
		e := Extern{Name: name, Sort: it.sort, Type: it.typ.val, Resource: it.typ.resource}
		if it.fn != nil {
			e.Func = it.fn.typ
		}
		if it.instance != nil && items {
			e.Items = it.instance.externs(false)
		}
		list = append(list, e)
	}
	return list
}
