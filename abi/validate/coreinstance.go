package validate

import (
	"fmt"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

// coreInstance checks a core instance (Explainer, "Instance Definitions").
func (s *scope) coreInstance(d binary.CoreInstance) error {
	build := s.coreInstantiate
	if d.Inline {
		build = s.coreBag
	}
	t, err := build(d)
	if err != nil {
		return err
	}
	s.coreInstances = append(s.coreInstances, t)
	return nil
}

func (s *scope) coreBag(d binary.CoreInstance) (*moduleType, error) {
	t := &moduleType{}
	for _, x := range d.Bag {
		typ, err := s.coreExtern(x.SortIdx)
		if err != nil {
			return nil, at(err, "export %q", x.Name)
		}
		if err := t.addExport(core.Export{Name: x.Name, Type: typ}); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (s *scope) coreInstantiate(d binary.CoreInstance) (*moduleType, error) {
	module, err := lookup(s.modules, d.Module, "core module")
	if err != nil {
		return nil, err
	}
	args := make(map[string]*moduleType, len(d.Args))
	for _, a := range d.Args {
		if _, twice := args[a.Name]; twice {
			return nil, fmt.Errorf("the argument %q is given twice", a.Name)
		}
		if args[a.Name], err = lookup(s.coreInstances, a.Instance, "core instance"); err != nil {
			return nil, at(err, "argument %q", a.Name)
		}
	}
	if !s.v.spend(len(module.imports)) {
		return nil, errComplex
	}
	for _, x := range module.imports {
		arg, ok := args[x.Module]
		if !ok {
			return nil, fmt.Errorf("no argument is given for the imports from %q of core module %d", x.Module, d.Module)
		}
		t, ok := arg.export(x.Name)
		if !ok {
			return nil, fmt.Errorf("argument %q: it has no export %q, which core module %d imports", x.Module, x.Name, d.Module)
		}
		if err := matchCore(t, x.Type); err != nil {
			return nil, at(err, "argument %q: export %q", x.Module, x.Name)
		}
	}
	return module, nil
}

// coreExtern looks up the type of a core definition.
func (s *scope) coreExtern(si binary.SortIdx) (core.ExternType, error) {
	switch si.Sort {
	case binary.SortCoreFunc:
		f, err := lookup(s.coreFuncs, si.Idx, "core function")
		return core.ExternType{Kind: core.KindFunc, Func: f}, err
	case binary.SortCoreTable:
		return lookup(s.coreTables, si.Idx, "core table")
	case binary.SortCoreMemory:
		return lookup(s.coreMemories, si.Idx, "core memory")
	case binary.SortCoreGlobal:
		return lookup(s.coreGlobals, si.Idx, "core global")
	case binary.SortCoreTag:
		return lookup(s.coreTags, si.Idx, "core tag")
	}
	return core.ExternType{}, fmt.Errorf("a core instance cannot export a %s", si.Sort)
}

// coreKinds are the kinds that core sorts name.
var coreKinds = map[binary.Sort]core.Kind{
	binary.SortCoreFunc:   core.KindFunc,
	binary.SortCoreTable:  core.KindTable,
	binary.SortCoreMemory: core.KindMemory,
	binary.SortCoreGlobal: core.KindGlobal,
	binary.SortCoreTag:    core.KindTag,
}

// coreAlias checks an alias of an export of a core instance.
func (s *scope) coreAlias(a binary.Alias) error {
	inst, err := lookup(s.coreInstances, a.Instance, "core instance")
	if err != nil {
		return err
	}
	t, ok := inst.export(a.Name)
	if !ok {
		return fmt.Errorf("core instance %d has no such export", a.Instance)
	}
	if kind, ok := coreKinds[a.Sort]; !ok || kind != t.Kind {
		return fmt.Errorf("the export is a %s, not a %s", coreExtern(t), a.Sort)
	}
	switch t.Kind {
	case core.KindFunc:
		s.coreFuncs = append(s.coreFuncs, t.Func)
	case core.KindTable:
		s.coreTables = append(s.coreTables, t)
	case core.KindMemory:
		s.coreMemories = append(s.coreMemories, t)
	case core.KindGlobal:
		s.coreGlobals = append(s.coreGlobals, t)
	default:
		s.coreTags = append(s.coreTags, t)
	}
	return nil
}
