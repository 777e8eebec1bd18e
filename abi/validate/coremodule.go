package validate

import (
	"fmt"
	"strings"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

// coreModule takes the type of an embedded module from its imports and
// exports.
func (s *scope) coreModule(d binary.CoreModule) error {
	m, err := core.Parse(d.Bytes)
	if err != nil {
		return err
	}
	s.v.modules[&d.Bytes[0]] = m
	t := &moduleType{}
	for _, x := range m.Imports {
		if err := t.addImport(x); err != nil {
			return err
		}
	}
	for _, x := range m.Exports {
		if err := t.addExport(x); err != nil {
			return err
		}
	}
	s.v.spend(partCost * (len(t.imports) + len(t.exports)))
	s.modules = append(s.modules, t)
	return nil
}

func (t *moduleType) export(name string) (core.ExternType, bool) {
	i, ok := t.byName[name]
	if !ok {
		return core.ExternType{}, false
	}
	return t.exports[i].Type, true
}

func (t *moduleType) addExport(x core.Export) error {
	if t.byName == nil {
		t.byName = map[string]int{}
	}
	if _, ok := t.byName[x.Name]; ok {
		return fmt.Errorf("the export %q is defined twice", x.Name)
	}
	if err := checkLimits(x.Type); err != nil {
		return at(err, "export %q", x.Name)
	}
	t.byName[x.Name] = len(t.exports)
	t.exports = append(t.exports, x)
	return nil
}

// importKey identifies a two-level import. Core WebAssembly allows the same
// twice, components do not.
type importKey struct{ module, name string }

func (t *moduleType) addImport(x core.Import) error {
	if t.byImport == nil {
		t.byImport = map[importKey]int{}
	}
	key := importKey{x.Module, x.Name}
	if _, ok := t.byImport[key]; ok {
		return fmt.Errorf("the import %q of %q is declared twice", x.Name, x.Module)
	}
	if err := checkLimits(x.Type); err != nil {
		return at(err, "import %q of %q", x.Name, x.Module)
	}
	t.byImport[key] = len(t.imports)
	t.imports = append(t.imports, x)
	return nil
}

// checkLimits checks the limits of a table or memory.
func checkLimits(t core.ExternType) error {
	l := t.Limits
	most := uint64(1<<32 - 1)
	switch {
	case t.Kind == core.KindMemory && l.Is64:
		most = 1 << 48
	case t.Kind == core.KindMemory:
		most = 1 << (32 - l.PageLog2)
	case t.Kind != core.KindTable:
		return nil
	case l.Is64:
		most = 1<<64 - 1
	}
	switch {
	case l.Min > most || l.HasMax && l.Max > most:
		return fmt.Errorf("a %s can have a size of at most %d", t.Kind, most)
	case l.HasMax && l.Max < l.Min:
		return fmt.Errorf("the maximum size of the %s is less than its minimum", t.Kind)
	case l.Shared && !l.HasMax:
		return fmt.Errorf("a shared %s must have a maximum size", t.Kind)
	}
	return nil
}

// matchModule checks that a module can stand for one of the wanted type: it
// imports no more and exports no less.
func matchModule(got, want *moduleType) error {
	for _, x := range got.imports {
		i, ok := want.byImport[importKey{x.Module, x.Name}]
		if !ok {
			return fmt.Errorf("it needs the import %q of %q, which is not in the expected type", x.Name, x.Module)
		}
		if err := matchCore(want.imports[i].Type, x.Type); err != nil {
			return at(err, "import %q of %q", x.Name, x.Module)
		}
	}
	for _, x := range want.exports {
		t, ok := got.export(x.Name)
		if !ok {
			return fmt.Errorf("the export %q is missing", x.Name)
		}
		if err := matchCore(t, x.Type); err != nil {
			return at(err, "export %q", x.Name)
		}
	}
	return nil
}

// matchCore is import matching of the core specification.
func matchCore(got, want core.ExternType) error {
	ok := got.Kind == want.Kind
	switch {
	case !ok:
	case want.Kind == core.KindFunc || want.Kind == core.KindTag:
		ok = got.Func.Equal(want.Func)
	case want.Kind == core.KindGlobal:
		ok = got.Val == want.Val && got.Mutable == want.Mutable
	default:
		ok = got.Val == want.Val && matchLimits(got.Limits, want.Limits)
	}
	if !ok {
		return fmt.Errorf("expected a %s, found a %s", coreExtern(want), coreExtern(got))
	}
	return nil
}

func matchLimits(got, want core.Limits) bool {
	return got.Min >= want.Min &&
		(!want.HasMax || got.HasMax && got.Max <= want.Max) &&
		got.Shared == want.Shared && got.Is64 == want.Is64 && got.PageLog2 == want.PageLog2
}

var coreTypeNames = map[core.ValType]string{
	core.I32: "i32", core.I64: "i64", core.F32: "f32", core.F64: "f64", core.V128: "v128",
	core.FuncRef: "funcref", core.ExternRef: "externref",
}

func coreVal(t core.ValType) string {
	if s, ok := coreTypeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("reference (% x)", string(t))
}

func coreVals(list []core.ValType) string {
	var names []string
	for _, t := range list {
		names = append(names, coreVal(t))
	}
	return "[" + strings.Join(names, " ") + "]"
}

func coreFunc(t core.FuncType) string {
	return "func " + coreVals(t.Params) + " -> " + coreVals(t.Results)
}

// coreExtern is a core type for people.
func coreExtern(t core.ExternType) string {
	switch t.Kind {
	case core.KindFunc:
		return coreFunc(t.Func)
	case core.KindTag:
		return "tag " + coreVals(t.Func.Params)
	case core.KindGlobal:
		if t.Mutable {
			return "mutable global " + coreVal(t.Val)
		}
		return "global " + coreVal(t.Val)
	}
	s := fmt.Sprintf("%s of %d", t.Kind, t.Limits.Min)
	if t.Limits.HasMax {
		s += fmt.Sprintf(" to %d", t.Limits.Max)
	}
	if t.Limits.Shared {
		s = "shared " + s
	}
	if t.Limits.Is64 {
		s = "64-bit " + s
	}
	if t.Kind == core.KindTable {
		s += " " + coreVal(t.Val)
	}
	return s
}
