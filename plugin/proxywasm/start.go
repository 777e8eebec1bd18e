package proxywasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"unicode/utf16"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/extproc/extproc/abi/core"
)

// moduleConfig names no module, and leaves the start functions to us. Its source
// of random numbers, which only wazero's own WASI asks for, spares the seeding of
// one.
var moduleConfig = wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(noRandom{})

type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, errors.New("no random numbers here") }

// newVM instantiates the machine's module and runs its start functions.
func (m *machine) newVM(ctx context.Context) (*vm, error) {
	v := &vm{
		machine: m, memories: m.memories.NewSet(),
		contexts: map[uint32]*Context{}, roots: map[*Module]*Context{},
		stdout: lines{level: levelInfo}, stderr: lines{level: levelError},
	}
	v.ctx = callContext{Context: context.Background(), vm: v}
	v.base = Context{vm: v, plugin: m.first}
	v.base.root = &v.base
	v.current = &v.base
	if err := v.instantiate(ctx); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

func (v *vm) instantiate(ctx context.Context) (err error) {
	c := v.machine.code
	values := experimental.WithImportResolver(ctx, func(string) api.Module { return c.host })
	v.ctx.values = experimental.WithMemoryAllocator(values, v.memories)
	v.mod, err = v.machine.abi.runtime.InstantiateModule(&v.ctx, c.compiled, moduleConfig)
	v.ctx.values = nil
	if err == nil {
		err = v.memories.Err()
	}
	if err != nil {
		return err
	}
	v.memory = v.mod.Memory()
	if stop, ok := v.mod.ExportedGlobal(core.StopExport).(api.MutableGlobal); ok {
		v.watch.Stop = func() {
			stop.Set(1)
			v.memories.Rouse()
		}
	}
	for _, name := range c.module.ResetGlobals() {
		if g, ok := v.mod.ExportedGlobal(name).(api.MutableGlobal); ok {
			v.globals = append(v.globals, g)
		}
	}
	for i := range v.funcs {
		if c.has[i] {
			v.funcs[i] = v.mod.ExportedFunction(callbacks[i].name)
		}
	}
	v.alloc = v.mod.ExportedFunction(c.allocator)
	return v.start()
}

// start runs the start section, which the rewritten module exports, and the start
// functions in the order of the specification ("Integration").
func (v *vm) start() error {
	v.starting = true
	defer func() { v.starting = false }()
	if v.machine.code.module.Start {
		if err := v.startFunction(core.StartExport); err != nil {
			return err
		}
	}
	if v.mod.ExportedFunction("_initialize") == nil {
		return v.startFunction("_start")
	}
	if err := v.startFunction("_initialize"); err != nil {
		return err
	}
	if v.mod.ExportedFunction("main") == nil {
		return v.startFunction("__main_void")
	}
	return v.startFunction("main")
}

// startFunction calls one, if there is one. It may end itself, if it does so with
// code 0.
func (v *vm) startFunction(name string) error {
	f := v.mod.ExportedFunction(name)
	if f == nil {
		return nil
	}
	for _, t := range f.Definition().ParamTypes() {
		if t != i32 && t != i64 {
			return fmt.Errorf("export %s takes a %s, expected integers", name, api.ValueTypeName(t))
		}
	}
	stack := make([]uint64, max(len(f.Definition().ParamTypes()), len(f.Definition().ResultTypes()), 1))
	return v.run(&v.base, f, stack, name)
}

// addRoot makes the root context of a plugin and has it start.
func (v *vm) addRoot(p *Module) error {
	cx := &Context{plugin: p, calls: map[uint32]*callout{}}
	cx.root = cx
	v.newContext(cx)
	v.roots[p] = cx
	v.starting, cx.configuring = true, true
	defer func() { v.starting = false }()
	if _, err := v.invoke(cx, onContextCreate, uint64(cx.id), 0); err != nil {
		return fmt.Errorf("%w (root id %q: the module may know others)", err, p.rootID)
	}
	cx.configuring = false
	ok, err := v.invoke(cx, onVMStart, uint64(cx.id), uint64(len(v.machine.config)))
	if err == nil && ok == 0 {
		err = errors.New("proxy_on_vm_start returned false")
	}
	if err != nil {
		return err
	}
	cx.configuring = true
	ok, err = v.invoke(cx, onConfigure, uint64(cx.id), uint64(len(p.spec.Config)))
	cx.configuring = false
	if err == nil && ok == 0 {
		err = errors.New("proxy_on_configure returned false")
	}
	return err
}

// removeRoot ends the root context of a plugin. One that has more to do is kept
// until it calls proxy_done; true says that it is gone.
func (v *vm) removeRoot(p *Module) bool {
	cx := v.roots[p]
	if cx == nil || v.dead != nil {
		return true
	}
	if !cx.leaving {
		ok, err := v.invoke(cx, onDone, uint64(cx.id))
		if err != nil {
			return true
		}
		cx.leaving, cx.left = true, ok != 0
	}
	if !cx.left {
		return false
	}
	_, _ = v.invoke(cx, onDelete, uint64(cx.id)) // a failed VM has taken note
	delete(v.contexts, cx.id)
	delete(v.roots, p)
	cx.end()
	return true
}

// mentions reports whether a root id may be one that a module knows: the SDKs
// that look at it compare it with a literal, as bytes or in UTF-16.
func mentions(wasm []byte, rootID string) bool {
	if bytes.Contains(wasm, []byte(rootID)) {
		return true
	}
	var wide []byte
	for _, u := range utf16.Encode([]rune(rootID)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	return bytes.Contains(wasm, wide)
}
