package core

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// kinds is a module with an import and an export of each kind.
func kinds() []byte {
	var a asm
	a.add(secType, 0x60, types(I32, "\x63\x70"), types(F64, V128))
	a.add(secType, 0x60, types(I64), types())
	a.add(secImport, str("m"), str("f"), 0, 0)
	a.add(secImport, str("m"), str("t"), 1, ExternRef, 1, 2, 3)
	a.add(secImport, str(""), str("mem"), 2, 3, 1, 2)
	a.add(secImport, str("m"), str("g"), 3, I64, 1)
	a.add(secImport, str("m"), str("tag"), 4, 0, 1)
	a.add(secTable, "\x64\x00", 0, 5)
	a.add(secMemory, 0xc, 7, 0)
	a.add(secGlobal, F32, 1, 0x43, "\x00\x00\x80\x3f", 0x0b)
	a.export("g2", KindGlobal, 1)
	a.export("f", KindFunc, 0)
	a.export("t2", KindTable, 1)
	a.export("m2", KindMemory, 1)
	a.export("tag", KindTag, 0)
	return a.module()
}

func TestParse(t *testing.T) {
	m, err := Parse(kinds())
	if err != nil {
		t.Fatal(err)
	}
	fn := FuncType{Params: []ValType{I32, FuncRef}, Results: []ValType{F64, V128}}
	wantImports := []Import{
		{"m", "f", ExternType{Kind: KindFunc, Func: fn}},
		{"m", "t", ExternType{Kind: KindTable, Val: ExternRef, Limits: Limits{Min: 2, Max: 3, HasMax: true}}},
		{"", "mem", ExternType{Kind: KindMemory, Limits: Limits{Min: 1, Max: 2, HasMax: true, Shared: true, PageLog2: 16}}},
		{"m", "g", ExternType{Kind: KindGlobal, Val: I64, Mutable: true}},
		{"m", "tag", ExternType{Kind: KindTag, Func: FuncType{Params: []ValType{I64}}}},
	}
	if !reflect.DeepEqual(m.Imports, wantImports) {
		t.Errorf("imports\n%#v, want\n%#v", m.Imports, wantImports)
	}
	wantExports := []Export{
		{"g2", 1, ExternType{Kind: KindGlobal, Val: F32, Mutable: true}},
		{"f", 0, ExternType{Kind: KindFunc, Func: fn}},
		{"t2", 1, ExternType{Kind: KindTable, Val: "\x64\x00", Limits: Limits{Min: 5}}},
		{"m2", 1, ExternType{Kind: KindMemory, Limits: Limits{Min: 7, Is64: true}}},
		{"tag", 0, ExternType{Kind: KindTag, Func: FuncType{Params: []ValType{I64}}}},
	}
	if !reflect.DeepEqual(m.Exports, wantExports) {
		t.Errorf("exports\n%#v, want\n%#v", m.Exports, wantExports)
	}
	if m.ImportedFuncs != 1 || m.ImportedTables != 1 || m.ImportedMemories != 1 || m.ImportedGlobals != 1 || m.ImportedTags != 1 {
		t.Error("imports are counted wrongly")
	}
	if m.Start || !m.Facts.SharedMemory {
		t.Errorf("start %v, facts %+v", m.Start, m.Facts)
	}
	if !wantImports[0].Type.Equal(wantExports[1].Type) || wantImports[0].Type.Equal(wantImports[4].Type) {
		t.Error("Equal")
	}
}

func TestParseErrors(t *testing.T) {
	section := func(id int, content ...any) []byte {
		c := cat(content...)
		return cat("\x00asm\x01\x00\x00\x00", id, leb(uint64(len(c))), c)
	}
	var locals asm
	locals.fn("", nil, nil, cat(2, leb(1<<31), I32, leb(1<<31), I32))
	for _, c := range []struct {
		name, want string
		wasm       []byte
	}{
		{"empty", "not a core module", nil},
		{"component", "not a core module", []byte("\x00asm\x0d\x00\x01\x00")},
		{"section too long", "exceeds the module", cat("\x00asm\x01\x00\x00\x00", 1, leb(100))},
		{"many types claimed", "unexpected end", section(secType, leb(0xffffffff))},
		{"many imports claimed", "unexpected end", section(secImport, leb(0xffffffff))},
		{"many parameters claimed", "parameters", section(secType, 1, 0x60, leb(0xffffffff))},
		{"bad value type", "invalid value type", section(secType, 1, 0x60, 1, 0x00, 0)},
		{"function of no type", "no function type", section(secFunc, 1, 0)},
		{"function without body", "1 functions but 0 bodies", cat(section(secType, 1, 0x60, 0, 0), secFunc, 2, 1, 0)},
		{"order", "out of order", cat(section(secFunc, 0), secType, 1, 0)},
		{"unknown section", "unknown section", section(14, 0)},
		{"rest", "bytes left", section(secType, 0, 0)},
		{"name", "exceeds its section", section(secImport, 1, leb(1<<30))},
		{"utf-8", "UTF-8", section(secImport, 1, 1, 0xff, 0, 0, 0)},
		{"long integer", "integer", section(secType, 0x80, 0x80, 0x80, 0x80, 0x80, 0)},
		{"wide integer", "integer", section(secType, 0x80, 0x80, 0x80, 0x80, 0x10)},
		{"export of nothing", "doesn't exist", section(secExport, 1, 0, 0, 0)},
		{"start of nothing", "start function", section(secStart, 0)},
		{"table", "table elements", section(secTable, 1, FuncRef, 0, leb(1<<27))},
		{"locals", "locals", locals.module()},
		{"data", "exceeds its section", section(secData, 1, 1, leb(0xffffffff))},
		{"limits", "limits flags", section(secMemory, 1, 0x10, 0)},
	} {
		before := allocated()
		_, err := Parse(c.wasm)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.Offset > len(c.wasm) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if n := allocated() - before; n > 1<<20 {
			t.Errorf("%s: %d bytes allocated", c.name, n)
		}
	}
}

func allocated() uint64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.TotalAlloc
}

func TestTruncated(t *testing.T) {
	for _, wasm := range [][]byte{kinds(), loopModule(), endless()} {
		for n := 0; n < len(wasm); n += 1 + len(wasm)/2000 {
			if m, err := Parse(wasm[:n]); err == nil {
				if _, err := m.Rewrite(Rewrite{Meter: true}); err != nil && len(m.Memories) == 0 {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestResettable(t *testing.T) {
	fn := func(code ...any) func(a *asm) {
		return func(a *asm) { a.fn("", nil, nil, nil, code...) }
	}
	global := func(t ValType, mut int, init ...any) func(a *asm) {
		return func(a *asm) { a.add(secGlobal, t, mut, cat(init...), 0x0b) }
	}
	for _, c := range []struct {
		name, reason string
		parts        []func(a *asm)
	}{
		{"nothing", "", nil},
		{"numbers", "", []func(*asm){global(I64, 1, 0x42, 0), fn(0x42, 0, 0x24, 0)}},
		{"constant reference", "", []func(*asm){global(FuncRef, 0, 0xd0, 0x70)}},
		{"reference that nothing sets", "", []func(*asm){global(FuncRef, 1, 0xd0, 0x70)}},
		{"table.get", "", []func(*asm){fn(0x41, 0, 0x25, 0, 0x1a)}},
		{"data.drop without passive data", "", []func(*asm){fn(0xfc, 9, 0)}},
		{"memory.init", "", []func(*asm){fn(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 8, 0, 0), func(a *asm) { a.add(secData, 1, 0) }}},
		{"reference", "global", []func(*asm){global(FuncRef, 1, 0xd0, 0x70), fn(0xd0, 0x70, 0x24, 0)}},
		{"exported reference", "global", []func(*asm){global(ExternRef, 1, 0xd0, 0x6f), func(a *asm) { a.export("", KindGlobal, 0) }}},
		{"vector", "global", []func(*asm){global(V128, 1, 0xfd, 12, make([]byte, 16)), fn(0xfd, 12, make([]byte, 16), 0x24, 0)}},
		{"table.set", "table", []func(*asm){fn(0x41, 0, 0xd0, 0x70, 0x26, 0)}},
		{"table.init", "table", []func(*asm){fn(0xfc, 12, 0, 0)}},
		{"table.copy", "table", []func(*asm){fn(0xfc, 14, 0, 0)}},
		{"table.grow", "table", []func(*asm){fn(0xfc, 15, 0)}},
		{"table.fill", "table", []func(*asm){fn(0xfc, 17, 0)}},
		{"elem.drop", "element", []func(*asm){fn(0xfc, 13, 0)}},
		{"data.drop", "data", []func(*asm){fn(0xfc, 9, 0), func(a *asm) { a.add(secData, 1, 0) }}},
		{"shared memory", "shared", []func(*asm){func(a *asm) { a.add(secMemory, 3, 1, 1) }}},
	} {
		var a asm
		for _, p := range c.parts {
			p(&a)
		}
		m, err := Parse(a.module())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		ok, reason := m.Facts.Resettable()
		if ok != (c.reason == "") || !strings.Contains(reason, c.reason) {
			t.Errorf("%s: %v, %q, want %q", c.name, ok, reason, c.reason)
		}
	}
}

func TestResetGlobals(t *testing.T) {
	var a asm
	a.add(secImport, str("m"), str("g"), 3, I32, 1)
	for range 4 {
		a.add(secGlobal, I32, 1, 0x41, 5, 0x0b)
	}
	a.fn("", nil, nil, nil, 0x41, 0, 0x24, 0, 0x41, 0, 0x24, 2)
	a.export("third", KindGlobal, 3)
	m, err := Parse(a.module())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{Reserved + "global-2", Reserved + "global-3"}
	if got := m.ResetGlobals(); !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q: those of its own that are set or exported", got, want)
	}
	out, err := Parse(rewritten(t, a.module(), Rewrite{}))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range want {
		if e := out.Exports[1+i]; e.Name != name || e.Index != uint32(2+i) || e.Type.Kind != KindGlobal {
			t.Errorf("export %+v, want %s", e, name)
		}
	}
}

func TestRewriteImports(t *testing.T) {
	out, err := Parse(rewritten(t, kinds(), Rewrite{Import: func(module, name string, index int) (string, string) {
		return "source of " + module, name + string(rune('0'+index))
	}}))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := Parse(kinds())
	for i, imp := range out.Imports {
		was := before.Imports[i]
		if imp.Module != "source of "+was.Module || imp.Name != was.Name+string(rune('0'+i)) || !imp.Type.Equal(was.Type) {
			t.Errorf("import %+v was %+v", imp, was)
		}
	}
	if !reflect.DeepEqual(out.Exports[:len(before.Exports)], before.Exports) {
		t.Error("exports changed")
	}
}

func TestCustomSections(t *testing.T) {
	var a asm
	a.fn("f", nil, nil, nil)
	names := cat(str("name"), 1, 4, 1, 0, 1, "x")
	a.customs = [][]byte{cat(str("producers"), "rest"), names, cat(str("name"), "second")}
	out := rewritten(t, a.module(), Rewrite{})
	if !strings.HasSuffix(string(out), string(cat(0, []byte{0x80 | byte(len(names)), 0x80, 0x80, 0x80, 0}, names))) {
		t.Errorf("the section name is not kept: %q", out)
	}
	if strings.Contains(string(out), "producers") || strings.Contains(string(out), "second") {
		t.Error("other custom sections are kept")
	}
	a.customs = [][]byte{cat(str("name"), 1, 4, 0xff, 0xff, 0xff, 0xff)}
	if out := rewritten(t, a.module(), Rewrite{}); strings.Contains(string(out), "name") {
		t.Error("a malformed section name is kept")
	}
}

func TestReservedExports(t *testing.T) {
	var a asm
	a.fn(StopExport, nil, nil, nil)
	m, err := Parse(a.module())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Rewrite(Rewrite{}); err == nil || !strings.Contains(err.Error(), "reserved") {
		t.Errorf("rewriting a module with a reserved export: %v", err)
	}
}

// TestRealModules rewrites the modules that wazero brings along, of many
// compilers, and those of the examples as far as they are built.
func TestRealModules(t *testing.T) {
	rt := newRuntime(t, wazero.NewRuntimeConfigInterpreter())
	dir := wazeroDir(t)
	files := append(wasmFiles(t, filepath.Join(dir, "examples")), wasmFiles(t, filepath.Join(dir, "imports"))...)
	files = append(files, wasmFiles(t, filepath.Join(dir, "experimental"))...)
	files = append(files, wasmFiles(t, filepath.Join(dir, "internal/integration_test/engine"))...)
	for _, path := range files {
		wasm, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !compiles(rt, wasm) {
			continue
		}
		if !compiles(rt, rewritten(t, wasm, Rewrite{Meter: true})) {
			t.Errorf("%s: not valid after rewriting", path)
		}
	}
}

func compiles(rt wazero.Runtime, wasm []byte) bool {
	c, err := rt.CompileModule(context.Background(), wasm)
	if err == nil {
		c.Close(context.Background())
	}
	return err == nil
}

func addSeeds(f *testing.F) {
	for _, wasm := range [][]byte{kinds(), loopModule(), endless()} {
		f.Add(wasm)
	}
	files := wasmFiles(f, filepath.Join(wazeroDir(f), "internal/integration_test/spectest"))
	for i := 0; i < len(files); i += 40 {
		wasm, err := os.ReadFile(files[i])
		if err != nil {
			f.Fatal(err)
		}
		if len(wasm) < 4096 {
			f.Add(wasm)
		}
	}
}

// FuzzParse: whatever Parse accepts can be rewritten, and the outcome parsed.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := Parse(wasm)
		if err != nil {
			return
		}
		out, err := m.Rewrite(Rewrite{Meter: true})
		if err != nil {
			return // a reserved export or a 64-bit memory
		}
		if _, err := Parse(out); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRewrite: what Parse and wazero accept, wazero accepts when rewritten.
func FuzzRewrite(f *testing.F) {
	addSeeds(f)
	rt := newRuntime(f, wazero.NewRuntimeConfigInterpreter())
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := Parse(wasm)
		// wazero reserves memory by the counts that a section "name" claims.
		if err != nil || m.names.present && !m.namesWellFormed() || !compiles(rt, wasm) {
			return
		}
		for _, opts := range []Rewrite{{}, {Meter: true}} {
			out, err := m.Rewrite(opts)
			if err != nil {
				return
			}
			c, err := rt.CompileModule(context.Background(), out)
			if err != nil {
				t.Fatal(err)
			}
			c.Close(context.Background())
		}
	})
}
