package abi

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/abi/core"
)

// Bounds on what a component may unfold to: a small file can nest
// instantiations and instance types so that they double at each level.
const (
	maxComponents  = 1000
	maxCores       = 1000
	maxMemories    = 64
	maxDefinitions = 1 << 20 // including their parts: arguments, fields, imports
	maxNesting     = 200
)

// flattener walks the definitions of a component as instantiation would and
// builds its plan.
type flattener struct {
	*plan
	modules map[*byte]*coreModule // by address of their bytes
	spent   int
	depth   int

	memories int // of core instances

	handles map[*canon.Type]bool // whether values of a type hold handles
	sigs    map[*canon.Func]*canon.Signature
	funcIDs map[coreRef]int
	memIDs  map[coreRef]int
	optIDs  map[options]*options // by themselves, less id
}

// unlinkable is why a valid component can't be linked, whatever the host
// offers.
type unlinkable struct {
	msg   string
	async bool
}

func (e *unlinkable) Error() string { return e.msg }

// flatten plans the component. modules are its core modules by the address of
// their first byte. An *unlinkable error leaves a plan with only imports.
func flatten(ast *binary.Component, modules map[*byte]*coreModule) (*plan, error) {
	f := &flattener{
		plan: &plan{
			imports: newInstanceDef(), exports: newInstanceDef(),
			resources: map[*canon.Resource]*resourceDef{},
		},
		modules: modules, funcIDs: map[coreRef]int{}, memIDs: map[coreRef]int{},
		optIDs: map[options]*options{}, handles: map[*canon.Type]bool{}, sigs: map[*canon.Func]*canon.Signature{},
	}
	exports, err := f.instantiate(closure{ast: ast}, nil, nil)
	if err != nil {
		return f.plan, err
	}
	stripped := map[*instanceDef]*instanceDef{}
	f.imports, f.exports = f.imports.strip(stripped), exports.strip(stripped)
	for _, d := range stripped {
		if err := d.checkSync(); err != nil {
			return f.plan, err
		}
	}
	if !f.crosses {
		// Only the host calls in, one call at a time: none can re-enter.
		for _, l := range f.lifts {
			l.enter = nil
		}
	}
	return f.plan, nil
}

// spend counts a definition and its parts.
func (f *flattener) spend(parts int) error {
	if f.spent += 1 + parts; f.spent > maxDefinitions {
		return fmt.Errorf("component unfolds to more than %d definitions", maxDefinitions)
	}
	return nil
}

// parts is the number of parts of a definition that are walked with it.
func parts(d binary.Def) int {
	switch d := d.(type) {
	case binary.CoreInstance:
		return len(d.Args) + len(d.Bag)
	case binary.Instance:
		return len(d.Args) + len(d.Bag)
	case binary.Type:
		if d.Val != nil {
			return len(d.Val.Fields) + len(d.Val.Labels)
		}
		if d.Func != nil {
			return len(d.Func.Params)
		}
	}
	return 0
}

// instantiate walks the definitions of c with args as its imports; nil args are
// those of the root. It returns the instance's exports.
func (f *flattener) instantiate(c closure, args map[string]item, parent *compDef) (*instanceDef, error) {
	if f.depth++; f.depth > maxNesting {
		return nil, fmt.Errorf("component instantiations nest deeper than %d", maxNesting)
	}
	defer func() { f.depth-- }()
	if len(f.comps) == maxComponents {
		return nil, fmt.Errorf("component unfolds to more than %d component instances", maxComponents)
	}
	comp := &compDef{id: len(f.comps), parent: parent}
	f.comps = append(f.comps, comp)
	s := &scope{parent: c.scope, comp: comp, args: args, exports: newInstanceDef()}
	for _, d := range c.ast.Defs {
		if err := f.spend(parts(d)); err != nil {
			return nil, err
		}
		if err := f.define(s, d); err != nil {
			return nil, err
		}
	}
	return s.exports, nil
}

// define evaluates a definition of a component.
func (f *flattener) define(s *scope, d binary.Def) error {
	switch d := d.(type) {
	case binary.CoreModule:
		s.modules = append(s.modules, f.modules[&d.Bytes[0]])
		return nil
	case binary.CoreInstance:
		return f.coreInstance(s, d)
	case binary.CoreType:
		s.coreTypes++
		return nil
	case *binary.Component:
		s.closures = append(s.closures, closure{ast: d, scope: s})
		return nil
	case binary.Instance:
		return f.instance(s, d)
	case binary.Alias:
		return f.alias(s, d)
	case binary.Type:
		t, err := f.defineType(s, d)
		s.types = append(s.types, t)
		return err
	case binary.Canon:
		return f.canon(s, d)
	case binary.Import:
		return f.importDef(s, d)
	case binary.Export:
		it, err := s.item(d.SortIdx)
		if err != nil {
			return err
		}
		s.exports.add(d.Name.Name, it)
		return s.add(it)
	case binary.Start:
		return &unlinkable{msg: "component start functions are not supported"}
	case binary.Value:
		return &unlinkable{msg: "component value definitions are not supported"}
	}
	return fmt.Errorf("unknown definition %T", d)
}

// importDef binds an import to the argument of its name, or for the root to
// what the host will have to supply.
func (f *flattener) importDef(s *scope, d binary.Import) error {
	if s.comp.parent != nil {
		it, ok := s.args[d.Name.Name]
		if !ok {
			return fmt.Errorf("missing argument for import %q", d.Name.Name)
		}
		return s.add(it)
	}
	instance, name := "", d.Name.Name
	it, err := f.imported(s, d.Type, instance, name)
	if err != nil {
		return err
	}
	f.imports.add(name, it)
	return s.add(it)
}

// instance evaluates an instance definition.
func (f *flattener) instance(s *scope, d binary.Instance) error {
	if d.Inline {
		bag := newInstanceDef()
		for _, e := range d.Bag {
			it, err := s.item(e.SortIdx)
			if err != nil {
				return err
			}
			bag.add(e.Name.Name, it)
		}
		s.instances = append(s.instances, bag)
		return nil
	}
	c, err := at(s.closures, d.Component, "component")
	if err != nil {
		return err
	}
	args := make(map[string]item, len(d.Args))
	for _, a := range d.Args {
		if args[a.Name], err = s.item(a.SortIdx); err != nil {
			return err
		}
	}
	inst, err := f.instantiate(c, args, s.comp)
	s.instances = append(s.instances, inst)
	return err
}

// alias evaluates an alias.
func (f *flattener) alias(s *scope, a binary.Alias) error {
	switch a.Kind {
	case binary.AliasExport:
		inst, err := at(s.instances, a.Instance, "instance")
		if err != nil {
			return err
		}
		it, ok := inst.items[a.Name]
		if !ok || it.sort != a.Sort {
			return fmt.Errorf("instance %d exports no %s %q", a.Instance, sortName(a.Sort), a.Name)
		}
		return s.add(it)
	case binary.AliasCoreExport:
		if a.Sort > binary.SortCoreTag {
			return fmt.Errorf("core alias of a %s", sortName(a.Sort))
		}
		inst, err := at(s.coreInsts, a.Instance, "core instance")
		if err != nil {
			return err
		}
		it, err := inst.export(a.Name, core.Kind(a.Sort))
		s.core[a.Sort] = append(s.core[a.Sort], it)
		return err
	}
	out, err := s.outer(a.Count)
	if err != nil {
		return err
	}
	if a.Sort == binary.SortCoreType {
		s.coreTypes++
		return nil
	}
	it, err := out.item(binary.SortIdx{Sort: a.Sort, Idx: a.Idx})
	if err != nil {
		return err
	}
	return s.add(it)
}

// coreInstance evaluates a core instance definition.
func (f *flattener) coreInstance(s *scope, d binary.CoreInstance) error {
	if d.Inline {
		bag := map[string]coreItem{}
		for _, e := range d.Bag {
			if e.Sort > binary.SortCoreTag {
				return fmt.Errorf("core instance with a %s", sortName(e.Sort))
			}
			ref, err := at(s.core[e.Sort], e.Idx, sortName(e.Sort))
			if err != nil {
				return err
			}
			bag[e.Name] = coreItem{kind: core.Kind(e.Sort), ref: ref}
		}
		s.coreInsts = append(s.coreInsts, &coreInstance{bag: bag})
		return nil
	}
	m, err := at(s.modules, d.Module, "core module")
	if err != nil {
		return err
	}
	args := make(map[string]*coreInstance, len(d.Args))
	for _, a := range d.Args {
		if args[a.Name], err = at(s.coreInsts, a.Instance, "core instance"); err != nil {
			return err
		}
	}
	if err := f.spend(len(m.Imports)); err != nil {
		return err
	}
	if m.ownsMemory {
		f.memories++
	}
	if len(f.cores) == maxCores || f.memories > maxMemories {
		return fmt.Errorf("component unfolds to more than %d core instances or %d memories", maxCores, maxMemories)
	}
	def, err := wire(m, args)
	if err != nil {
		return err
	}
	s.coreInsts = append(s.coreInsts, &coreInstance{module: m, id: source(len(f.cores))})
	f.cores = append(f.cores, def)
	return nil
}

// wire resolves the imports of a core module. Imports are renamed by position
// of their source among the sources, so that modules used alike in several
// places are compiled once.
func wire(m *coreModule, args map[string]*coreInstance) (*coreDef, error) {
	def := &coreDef{module: m}
	index := map[source]string{}
	for _, imp := range m.Imports {
		inst := args[imp.Module]
		if inst == nil {
			return nil, fmt.Errorf("core module %d: missing argument for import module %q", m.index, imp.Module)
		}
		ref, err := inst.export(imp.Name, imp.Type.Kind)
		if err != nil {
			return nil, fmt.Errorf("core module %d: import %q %q: %w", m.index, imp.Module, imp.Name, err)
		}
		module, ok := index[ref.source]
		if !ok {
			module = strconv.Itoa(len(def.sources))
			index[ref.source] = module
			def.sources = append(def.sources, ref.source)
		}
		def.names = append(def.names, importName{module, ref.name})
	}
	return def, nil
}

var errNoExport = errors.New("no such export")

// export finds an export of the kind.
func (c *coreInstance) export(name string, kind core.Kind) (coreRef, error) {
	if c.module == nil {
		if it, ok := c.bag[name]; ok && it.kind == kind {
			return it.ref, nil
		}
		return coreRef{}, errNoExport
	}
	if k, ok := c.module.exports[name]; ok && k == kind {
		return coreRef{source: c.id, name: name}, nil
	}
	return coreRef{}, errNoExport
}

// signature compiles a function type.
func (f *flattener) signature(t *canon.Func) (*canon.Signature, error) {
	if sig := f.sigs[t]; sig != nil {
		return sig, nil
	}
	sig, err := canon.Compile(t)
	f.sigs[t] = sig
	return sig, err
}

// funcID is the number of a core function that the runtime will call.
func (f *flattener) funcID(ref coreRef) int { return intern(&f.funcs, f.funcIDs, ref) }

// memID is the number of a memory that canonical options use.
func (f *flattener) memID(ref coreRef) int { return intern(&f.mems, f.memIDs, ref) }

func intern(list *[]coreRef, ids map[coreRef]int, ref coreRef) int {
	id, ok := ids[ref]
	if !ok {
		id = len(*list)
		ids[ref] = id
		*list = append(*list, ref)
	}
	return id
}
