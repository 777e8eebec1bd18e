package proxywasm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/extproc/extproc/abi/core"
	"github.com/extproc/extproc/plugin"
)

// versionPrefix begins the names of the exports that tell a module's version of
// the ABI.
const versionPrefix = "proxy_abi_version_"

var versionExports = map[string]versions{"0_1_0": v010, "0_2_0": v020, "0_2_1": v021}

// allocators are the names of the export that makes room in the guest's memory,
// in the order in which Envoy looks for them.
var allocators = []string{"malloc", "proxy_on_memory_allocate"}

// code is a compiled module, which all VMs share that run it with the same
// capabilities.
type code struct {
	version   versions
	allowed   []string // the capabilities; nil is all
	module    *core.Module
	compiled  wazero.CompiledModule
	hostCode  wazero.CompiledModule
	host      api.Module // what the module imports
	allocator string
	params    [callbackCount]int // how many the module's callback takes
	results   [callbackCount]bool
	has       [callbackCount]bool
}

// Limits of what a module may ask for before it runs.
const (
	wasmPage = 65536
	maxTable = 1_000_000
)

// codeKey is what has to be the same for code to be.
type codeKey struct {
	digest  [sha256.Size]byte
	allowed string // the capabilities, or "*"
}

func keyOf(wasm []byte, spec *plugin.Spec) codeKey {
	k := codeKey{digest: sha256.Sum256(wasm), allowed: "*"}
	if spec.VM.Capabilities != nil {
		k.allowed = strings.Join(slices.Sorted(slices.Values(spec.VM.Capabilities)), " ")
	}
	return k
}

// newCode reads and compiles a module.
func newCode(ctx context.Context, a *ABI, wasm []byte, allowed []string) (*code, error) {
	c, err := inspect(wasm, allowed)
	if err != nil {
		return nil, err
	}
	if err := c.compile(ctx, a); err != nil {
		return nil, errors.Join(err, c.close(ctx))
	}
	c.module.Forget()
	return c, nil
}

// inspect reads a module and tells what is wrong with it.
func inspect(wasm []byte, allowed []string) (*code, error) {
	m, err := core.Parse(wasm)
	if err != nil {
		return nil, err
	}
	c := &code{module: m, allowed: allowed}
	if c.version, err = abiVersion(m); err != nil {
		return nil, err
	}
	switch {
	case len(m.Memories) == 0:
		return nil, errors.New("has no memory, expected one")
	case len(m.Memories) > 1:
		return nil, fmt.Errorf("has %d memories, expected one", len(m.Memories))
	case m.ImportedMemories > 0:
		return nil, errors.New("imports its memory, expected it to have its own")
	}
	elements := uint64(0)
	for _, t := range m.Tables {
		elements += t.Limits.Min
	}
	if elements > maxTable {
		return nil, fmt.Errorf("its tables start with %d elements, the limit is %d", elements, maxTable)
	}
	if err := c.inspectExports(); err != nil {
		return nil, err
	}
	return c, nil
}

// fits tells whether the module can start with memory of a limit.
func (c *code) fits(limit uint64) error {
	if least := c.module.Memories[0].Min * wasmPage; least > limit {
		return fmt.Errorf("its memory starts with %d bytes, the limit is %d", least, limit)
	}
	return nil
}

// abiVersion is the version that a module's exports tell.
func abiVersion(m *core.Module) (versions, error) {
	var found []string
	for _, e := range m.Exports {
		if strings.HasPrefix(e.Name, versionPrefix) {
			found = append(found, e.Name)
			if e.Type.Kind != core.KindFunc {
				return 0, fmt.Errorf("export %s is a %v, expected a function", e.Name, e.Type.Kind)
			}
		}
	}
	const expected = "expected one of proxy_abi_version_0_1_0, 0_2_0 and 0_2_1"
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("exports no version of the ABI, %s", expected)
	case 1:
		if v := versionExports[strings.TrimPrefix(found[0], versionPrefix)]; v != 0 {
			return v, nil
		}
		return 0, fmt.Errorf("exports %s, %s", found[0], expected)
	}
	return 0, fmt.Errorf("exports %s, %s", strings.Join(found, " and "), expected)
}

// inspectExports finds the callbacks and the allocator.
func (c *code) inspectExports() error {
	for _, e := range c.module.Exports {
		if e.Type.Kind != core.KindFunc {
			continue
		}
		if slices.Contains(allocators, e.Name) {
			if err := wants(e, 1, 1, true); err != nil {
				return err
			}
		}
		i := slices.IndexFunc(callbacks[:], func(cb callback) bool { return cb.name == e.Name })
		if i < 0 {
			continue
		}
		cb := callbacks[i]
		fewest := cb.params
		if cb.fewest > 0 {
			fewest = cb.fewest
		}
		if err := wants(e, fewest, cb.params, cb.result); err != nil {
			return err
		}
		c.has[i], c.params[i], c.results[i] = c.allows(cb.name), len(e.Type.Func.Params), len(e.Type.Func.Results) == 1
	}
	for _, name := range allocators {
		if slices.ContainsFunc(c.module.Exports, func(e core.Export) bool { return e.Name == name && e.Type.Kind == core.KindFunc }) {
			c.allocator = name
			return nil
		}
	}
	return fmt.Errorf("exports no allocator, expected a function %s", strings.Join(allocators, " or "))
}

// wants checks the type of an export: nothing but i32. Results are not looked at
// where none are expected, and may be left out where one is.
func wants(e core.Export, fewest, most int, result bool) error {
	t := e.Type.Func
	ok := len(t.Params) >= fewest && len(t.Params) <= most && len(t.Results) <= 1
	for _, p := range slices.Concat(t.Params, t.Results) {
		ok = ok && p == core.I32
	}
	if ok {
		return nil
	}
	expected := core.FuncType{Params: slices.Repeat([]core.ValType{core.I32}, most)}
	if result {
		expected.Results = []core.ValType{core.I32}
	}
	return fmt.Errorf("export %s has type %s, expected %s", e.Name, text(t), text(expected))
}

// text is a function type as the text format abbreviates it.
func text(t core.FuncType) string {
	list := func(ts []core.ValType) string {
		names := make([]string, len(ts))
		for i, t := range ts {
			names[i] = api.ValueTypeName(t[0])
		}
		return "(" + strings.Join(names, ", ") + ")"
	}
	return list(t.Params) + " -> " + list(t.Results)
}

// hostName is the name by which rewritten modules import everything, each import
// by its number.
const hostName = "host"

// compile compiles the module and what it imports.
func (c *code) compile(ctx context.Context, a *ABI) error {
	builder := a.runtime.NewHostModuleBuilder(hostName)
	for i, imp := range c.module.Imports {
		if imp.Type.Kind != core.KindFunc {
			return fmt.Errorf("import %s %s is a %v, expected functions only", imp.Module, imp.Name, imp.Type.Kind)
		}
		f, params, err := c.link(imp)
		if err != nil {
			return err
		}
		var results []api.ValueType
		if len(imp.Type.Func.Results) > 0 {
			results = []api.ValueType{i32}
		}
		builder.NewFunctionBuilder().WithGoModuleFunction(f, params, results).Export(strconv.Itoa(i))
	}
	wasm, err := c.module.Rewrite(core.Rewrite{
		Import:   func(_, _ string, i int) (string, string) { return hostName, strconv.Itoa(i) },
		Meter:    true,
		TableMax: maxTable,
	})
	if err != nil {
		return err
	}
	if c.compiled, err = a.compiler.Compile(ctx, wasm); err != nil {
		return err
	}
	if len(c.module.Imports) == 0 {
		return nil
	}
	if c.hostCode, err = builder.Compile(ctx); err != nil {
		return err
	}
	c.host, err = a.runtime.InstantiateModule(ctx, c.hostCode, moduleConfig)
	return err
}

// link finds the function that satisfies an import. The import may leave out the
// result, as the specification of 0.1.0 does for some that have one in Envoy.
func (c *code) link(imp core.Import) (api.GoModuleFunction, []api.ValueType, error) {
	f, params, result, ok := offered(imp)
	if !ok {
		return nil, nil, fmt.Errorf("import %s %s is not offered by any version of the ABI", imp.Module, imp.Name)
	}
	t := imp.Type.Func
	found := make([]api.ValueType, len(t.Params))
	for i, p := range t.Params {
		found[i] = p[0]
	}
	if slices.Equal(found, params) && (len(t.Results) == 0 || result && len(t.Results) == 1 && t.Results[0] == core.I32) {
		if _, emscripten := f.(emscriptenFunction); !emscripten && !c.allows(imp.Name) {
			f = deniedFunction{imp.Name, imp.Module == "env", len(t.Results) > 0}
		}
		return f, params, nil
	}
	expected := core.FuncType{}
	for _, p := range params {
		expected.Params = append(expected.Params, core.ValType([]byte{p}))
	}
	if result {
		expected.Results = []core.ValType{core.I32}
	}
	return nil, nil, fmt.Errorf("import %s %s has type %s, expected %s", imp.Module, imp.Name, text(t), text(expected))
}

// allows says whether the guest may use a hostcall, callback or function of WASI.
func (c *code) allows(name string) bool { return c.allowed == nil || slices.Contains(c.allowed, name) }

func offered(imp core.Import) (f api.GoModuleFunction, params []api.ValueType, result, ok bool) {
	results := len(imp.Type.Func.Results) > 0
	switch imp.Module {
	case "env":
		for i := range hostcalls {
			if row := &hostcalls[i]; row.name == imp.Name {
				return hostFunction{row, results}, slots(row.params), true, true
			}
		}
		for i := range emscripten {
			if row := &emscripten[i]; row.name == imp.Name {
				return emscriptenFunction{wasiFunction{row, results}}, row.params, row.result, true
			}
		}
	case "wasi_snapshot_preview1", "wasi_unstable":
		for i := range wasi {
			if row := &wasi[i]; row.name == imp.Name {
				return wasiFunction{row, results}, row.params, row.result, true
			}
		}
	}
	return nil, nil, false, false
}

// slots are the core types of a row's parameters.
func slots(params []kind) []api.ValueType {
	var list []api.ValueType
	for _, k := range params {
		list = append(list, kinds[k].slots...)
	}
	return list
}

func (c *code) close(ctx context.Context) error {
	var errs []error
	if c.host != nil {
		errs = append(errs, c.host.Close(ctx))
	}
	for _, m := range []wazero.CompiledModule{c.hostCode, c.compiled} {
		if m != nil {
			errs = append(errs, m.Close(ctx))
		}
	}
	return errors.Join(errs...)
}
