package validate

import (
	"fmt"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

type scopeKind uint8

const (
	inComponent scopeKind = iota
	inComponentType
	inInstanceType
)

// scope holds the index spaces of a component, component type or instance type
// while it is checked. Afterwards it remains as the owner of the resources
// that were introduced in it.
type scope struct {
	v      *validator
	parent *scope
	kind   scopeKind

	coreFuncs     []core.FuncType
	coreTables    []core.ExternType
	coreMemories  []core.ExternType
	coreGlobals   []core.ExternType
	coreTags      []core.ExternType
	coreTypes     []coreType
	modules       []*moduleType
	coreInstances []*moduleType // of which the exports count

	funcs      []*funcType
	values     []valueEntry
	types      []*typ
	components []*componentType
	instances  []*instanceType

	imports, exports *namespace
}

type valueEntry struct {
	typ  valType
	used bool
}

func newScope(v *validator, parent *scope, kind scopeKind) *scope {
	return &scope{v: v, parent: parent, kind: kind, imports: &namespace{}, exports: &namespace{}}
}

// close forgets all of a scope but its identity.
func (s *scope) close() { *s = scope{} }

// lookup indexes an index space.
func lookup[T any](space []T, i uint32, what string) (T, error) {
	if uint64(i) < uint64(len(space)) {
		return space[i], nil
	}
	var zero T
	return zero, fmt.Errorf("%s index %d is out of bounds: only %d are defined", what, i, len(space))
}

// entity looks up what an index stands for.
func (s *scope) entity(si binary.SortIdx) (entity, error) {
	e := entity{sort: si.Sort}
	var err error
	switch si.Sort {
	case binary.SortCoreModule:
		e.module, err = lookup(s.modules, si.Idx, "core module")
	case binary.SortFunc:
		e.fn, err = lookup(s.funcs, si.Idx, "function")
	case binary.SortValue:
		e.val, err = s.useValue(si.Idx)
	case binary.SortType:
		e.typ, err = lookup(s.types, si.Idx, "type")
	case binary.SortComponent:
		e.comp, err = lookup(s.components, si.Idx, "component")
	case binary.SortInstance:
		e.inst, err = lookup(s.instances, si.Idx, "instance")
	default:
		err = fmt.Errorf("%s cannot be used here", article(si.Sort.String()))
	}
	return e, err
}

// useValue marks a value as consumed, which it may be once.
func (s *scope) useValue(i uint32) (valType, error) {
	val, err := lookup(s.values, i, "value")
	if err != nil {
		return valType{}, err
	}
	if val.used {
		return valType{}, fmt.Errorf("value %d is used more than once", i)
	}
	s.values[i].used = true
	return val.typ, nil
}

// add appends what an import, export or alias introduces to its index space.
// A value that an export introduces has been consumed by it.
func (s *scope) add(e entity, used bool) {
	switch e.sort {
	case binary.SortCoreModule:
		s.modules = append(s.modules, e.module)
	case binary.SortFunc:
		s.funcs = append(s.funcs, e.fn)
	case binary.SortValue:
		s.values = append(s.values, valueEntry{typ: e.val, used: used})
	case binary.SortType:
		s.types = append(s.types, e.typ)
	case binary.SortComponent:
		s.components = append(s.components, e.comp)
	case binary.SortInstance:
		s.instances = append(s.instances, e.inst)
	}
}
