package abi

import (
	"fmt"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/abi/core"
)

// scope holds the index spaces of one component instance, or of one component
// or instance type, while its definitions are walked. Nested components keep
// the scope they were defined in, as outer aliases may refer to it.
type scope struct {
	parent *scope
	comp   *compDef        // nil within types
	args   map[string]item // what imports are satisfied with; nil for the root

	modules   []*coreModule
	coreInsts []*coreInstance
	core      [binary.SortCoreTag + 1][]coreRef // functions, tables, memories, globals, tags
	coreTypes int

	funcs     []*function
	types     []typeDef
	closures  []closure
	instances []*instanceDef
	exports   *instanceDef
}

// closure is a component with the scope it is defined in.
type closure struct {
	ast   *binary.Component
	scope *scope
}

// typeDef is an entry of the type index space: one of its fields is set.
type typeDef struct {
	val       *canon.Type
	fn        *canon.Func
	resource  *canon.Resource
	instance  *binary.InstanceType
	component *binary.ComponentType
	scope     *scope // of instance and component
}

// coreInstance is a core instance: one of the plan, or a bag of definitions.
type coreInstance struct {
	module *coreModule // nil for a bag

	id  source
	bag map[string]coreItem
}

// coreItem is a core definition and what it is.
type coreItem struct {
	kind core.Kind
	ref  coreRef
}

// item is a component-level definition of any sort.
type item struct {
	sort     binary.Sort
	module   *coreModule
	fn       *function
	typ      typeDef
	closure  closure
	instance *instanceDef
}

// instanceDef is a component-level instance: named items in order.
type instanceDef struct {
	names []string
	items map[string]item
}

func newInstanceDef() *instanceDef { return &instanceDef{items: map[string]item{}} }

func (d *instanceDef) add(name string, it item) {
	if _, ok := d.items[name]; !ok {
		d.names = append(d.names, name)
	}
	d.items[name] = it
}

// strip is d without what is of no use once the component is flattened and would
// keep its definitions, and so its binary, in memory. done holds what is
// stripped already, as instances may share parts many times over.
func (d *instanceDef) strip(done map[*instanceDef]*instanceDef) *instanceDef {
	if d == nil || done[d] != nil {
		return done[d]
	}
	out := newInstanceDef()
	done[d] = out
	for _, name := range d.names {
		it := d.items[name]
		out.add(name, item{
			sort: it.sort, fn: it.fn, instance: it.instance.strip(done),
			typ: typeDef{val: it.typ.val, fn: it.typ.fn, resource: it.typ.resource},
		})
	}
	return out
}

// at is space[i]. Validation has checked indices already; this keeps a mistake
// there from becoming a panic here.
func at[T any](space []T, i uint32, what string) (T, error) {
	if uint64(i) >= uint64(len(space)) {
		var none T
		return none, fmt.Errorf("%s index %d out of range: there are %d", what, i, len(space))
	}
	return space[i], nil
}

// add puts it in the index space of its sort.
func (s *scope) add(it item) error {
	switch it.sort {
	case binary.SortCoreModule:
		s.modules = append(s.modules, it.module)
	case binary.SortFunc:
		s.funcs = append(s.funcs, it.fn)
	case binary.SortType:
		s.types = append(s.types, it.typ)
	case binary.SortComponent:
		s.closures = append(s.closures, it.closure)
	case binary.SortInstance:
		s.instances = append(s.instances, it.instance)
	default:
		return fmt.Errorf("%s definitions are not supported", sortName(it.sort))
	}
	return nil
}

// item is the definition si refers to.
func (s *scope) item(si binary.SortIdx) (it item, err error) {
	it.sort = si.Sort
	what := sortName(si.Sort)
	switch si.Sort {
	case binary.SortCoreModule:
		it.module, err = at(s.modules, si.Idx, what)
	case binary.SortFunc:
		it.fn, err = at(s.funcs, si.Idx, what)
	case binary.SortType:
		it.typ, err = at(s.types, si.Idx, what)
	case binary.SortComponent:
		it.closure, err = at(s.closures, si.Idx, what)
	case binary.SortInstance:
		it.instance, err = at(s.instances, si.Idx, what)
	default:
		err = fmt.Errorf("%s definitions are not supported", what)
	}
	return it, err
}

// outer is the scope count levels out.
func (s *scope) outer(count uint32) (*scope, error) {
	for ; count > 0 && s != nil; count-- {
		s = s.parent
	}
	if s == nil {
		return nil, fmt.Errorf("outer alias leaves the component")
	}
	return s, nil
}

var sortNames = [...]string{
	binary.SortCoreFunc:     "core function",
	binary.SortCoreTable:    "core table",
	binary.SortCoreMemory:   "core memory",
	binary.SortCoreGlobal:   "core global",
	binary.SortCoreTag:      "core tag",
	binary.SortCoreType:     "core type",
	binary.SortCoreModule:   "core module",
	binary.SortCoreInstance: "core instance",
	binary.SortFunc:         "function",
	binary.SortValue:        "value",
	binary.SortType:         "type",
	binary.SortComponent:    "component",
	binary.SortInstance:     "instance",
}

func sortName(s binary.Sort) string {
	if int(s) < len(sortNames) {
		return sortNames[s]
	}
	return fmt.Sprintf("sort %d", s)
}
