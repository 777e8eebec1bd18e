package core

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// asm collects the sections of a module under test.
type asm struct {
	sections [sectionCount][][]byte
	customs  [][]byte
}

func leb(v uint64) []byte { return binary.AppendUvarint(nil, v) }

func sleb(v int64) (out []byte) {
	for {
		b := byte(v) & 0x7f
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

func str(s string) []byte { return append(leb(uint64(len(s))), s...) }

// cat concatenates ints (single bytes), byte slices and strings (raw).
func cat(parts ...any) (out []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			out = append(out, byte(p))
		case byte:
			out = append(out, p)
		case []byte:
			out = append(out, p...)
		case string:
			out = append(out, p...)
		case ValType:
			out = append(out, p...)
		}
	}
	return out
}

func (a *asm) add(id int, parts ...any) (index int) {
	a.sections[id] = append(a.sections[id], cat(parts...))
	return len(a.sections[id]) - 1
}

func types(ts ...ValType) []byte {
	out := leb(uint64(len(ts)))
	for _, t := range ts {
		out = append(out, t...)
	}
	return out
}

// fn adds a function with its type, locals groups and code (with its end), and
// exports it if name is not empty. It returns its index among the defined.
func (a *asm) fn(name string, params, results []ValType, locals []byte, code ...any) int {
	t := a.add(secType, 0x60, types(params...), types(results...))
	f := a.add(secFunc, leb(uint64(t)))
	if locals == nil {
		locals = []byte{0}
	}
	b := cat(locals, cat(code...), 0x0b)
	a.add(secCode, leb(uint64(len(b))), b)
	if name != "" {
		a.export(name, KindFunc, f+len(a.sections[secImport]))
	}
	return f
}

func (a *asm) export(name string, kind Kind, index int) {
	a.add(secExport, str(name), int(kind), leb(uint64(index)))
}

func (a *asm) module() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, id := range sectionOrder {
		elems := a.sections[id]
		if elems == nil {
			continue
		}
		var content []byte
		if id != secStart && id != secDataCount {
			content = leb(uint64(len(elems)))
		}
		for _, e := range elems {
			content = append(content, e...)
		}
		out = cat(out, id, leb(uint64(len(content))), content)
	}
	for _, c := range a.customs {
		out = cat(out, 0, leb(uint64(len(c))), c)
	}
	return out
}

var allFeatures = api.CoreFeaturesV2 | experimental.CoreFeaturesThreads |
	experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst |
	experimental.CoreFeaturesExceptionHandling | experimental.CoreFeaturesTypedFunctionReferences

func newRuntime(t testing.TB, cfg wazero.RuntimeConfig) wazero.Runtime {
	rt := wazero.NewRuntimeWithConfig(context.Background(), cfg.WithCoreFeatures(allFeatures))
	t.Cleanup(func() { rt.Close(context.Background()) })
	return rt
}

func rewritten(t testing.TB, wasm []byte, opts Rewrite) []byte {
	t.Helper()
	m, err := Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Rewrite(opts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func instantiate(t testing.TB, rt wazero.Runtime, wasm []byte) api.Module {
	t.Helper()
	inst, err := rt.InstantiateWithConfig(refusing(context.Background()), wasm,
		wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	return inst
}
