package validate

import (
	"errors"
	"fmt"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

// coreType is an entry of a core type index space: a function type, a module
// type, or with neither a type that nothing here looks into.
type coreType struct {
	fn     *core.FuncType
	module *moduleType
}

func (s *scope) coreType(d binary.CoreType) error {
	types, err := s.coreTypeEntries(d)
	s.coreTypes = append(s.coreTypes, types...)
	return err
}

// coreTypeEntries is what a core type definition adds to an index space. A
// recursive group adds several.
func (s *scope) coreTypeEntries(d binary.CoreType) ([]coreType, error) {
	switch {
	case d.Module != nil:
		m, err := s.moduleTypeDef(d.Module)
		return []coreType{{module: m}}, err
	case d.Func != nil:
		t := coreFuncType(d.Func)
		return []coreType{{fn: &t}}, nil
	}
	return make([]coreType, d.Count), nil
}

func coreFuncType(f *binary.CoreFuncType) core.FuncType {
	return core.FuncType{Params: coreValTypes(f.Params), Results: coreValTypes(f.Results)}
}

func coreValTypes(in []binary.CoreValType) []core.ValType {
	var out []core.ValType
	for _, t := range in {
		out = append(out, coreValType(t))
	}
	return out
}

// coreValType shortens (ref null t) of an abstract t as package core does.
func coreValType(t binary.CoreValType) core.ValType {
	if len(t) == 2 && t[0] == 0x63 && t[1] >= 0x69 && t[1] <= 0x74 {
		t = t[1:]
	}
	return core.ValType(t)
}

func (s *scope) moduleTypeIdx(i uint32) (*moduleType, error) {
	t, err := lookup(s.coreTypes, i, "core type")
	if err == nil && t.module == nil {
		err = fmt.Errorf("core type %d is not a module type", i)
	}
	return t.module, err
}

// moduleScope is a module type while its declarators are checked. Its type
// index space begins empty.
type moduleScope struct {
	outer *scope
	types []coreType
	typ   *moduleType
}

func (s *scope) moduleTypeDef(d *binary.CoreModuleType) (*moduleType, error) {
	m := moduleScope{outer: s, typ: &moduleType{}}
	for i, decl := range d.Decls {
		if err := m.decl(decl); err != nil {
			return nil, at(err, "declarator %d", i)
		}
	}
	return m.typ, nil
}

func (m *moduleScope) decl(d binary.CoreModuleDecl) error {
	switch {
	case d.Import != nil:
		t, err := m.externType(d.Import.Type)
		if err != nil {
			return err
		}
		return m.typ.addImport(core.Import{Module: d.Import.Module, Name: d.Import.Name, Type: t})
	case d.Export != nil:
		t, err := m.externType(d.Export.Type)
		if err != nil {
			return err
		}
		return m.typ.addExport(core.Export{Name: d.Export.Name, Type: t})
	case d.Alias != nil:
		return m.alias(d.Alias)
	}
	types, err := m.outer.coreTypeEntries(*d.Type)
	m.types = append(m.types, types...)
	return err
}

var errModuleAlias = errors.New("a module type cannot alias a module type")

// alias resolves an outer alias, which counts the module type as a scope.
func (m *moduleScope) alias(a *binary.Alias) error {
	types := m.types
	if a.Count > 0 {
		target, _, err := m.outer.outer(a.Count - 1)
		if err != nil {
			return err
		}
		types = target.coreTypes
	}
	t, err := lookup(types, a.Idx, "core type")
	if err == nil && t.module != nil {
		err = errModuleAlias
	}
	m.types = append(m.types, t)
	return err
}

func (m *moduleScope) externType(t binary.CoreExternType) (core.ExternType, error) {
	out := core.ExternType{Val: coreValType(t.Elem), Mutable: t.Mut}
	switch t.Sort {
	case binary.SortCoreFunc, binary.SortCoreTag:
		entry, err := lookup(m.types, t.Idx, "core type")
		if err != nil {
			return out, err
		}
		if entry.fn == nil {
			return out, fmt.Errorf("core type %d is not a function type", t.Idx)
		}
		out.Func = *entry.fn
		if t.Sort == binary.SortCoreTag {
			out.Kind = core.KindTag
			if len(out.Func.Results) > 0 {
				return out, errors.New("a tag cannot have results")
			}
		}
		return out, nil
	case binary.SortCoreGlobal:
		out.Kind = core.KindGlobal
		return out, nil
	case binary.SortCoreTable:
		out.Kind = core.KindTable
	default:
		out.Kind = core.KindMemory
		out.Limits.PageLog2 = 16
	}
	out.Limits.Min, out.Limits.Shared, out.Limits.Is64 = t.Min, t.Shared, t.Is64
	if t.Max != nil {
		out.Limits.Max, out.Limits.HasMax = *t.Max, true
	}
	if t.PageLog2 != nil {
		if *t.PageLog2 != 0 && *t.PageLog2 != 16 {
			return out, fmt.Errorf("a page size of 2^%d is not supported", *t.PageLog2)
		}
		out.Limits.PageLog2 = uint8(*t.PageLog2)
	}
	return out, nil
}
