package validate

import (
	"fmt"

	"github.com/extproc/extproc/abi/binary"
)

// componentTypeDef checks the declarators of a component type.
func (s *scope) componentTypeDef(decls []binary.Def) (*componentType, error) {
	inner := newScope(s.v, s, inComponentType)
	defer inner.close()
	if err := inner.defs(decls); err != nil {
		return nil, err
	}
	return inner.componentType()
}

// componentType is what a scope's imports and exports amount to.
func (s *scope) componentType() (*componentType, error) {
	t := &componentType{owner: s, imports: s.imports.externs, exports: s.exports.externs}
	t.extent = extent{nodes: 1}
	t.exports.measure(&t.extent)
	t.imports.measure(&t.extent)
	return t, t.check()
}

func (s *scope) instanceTypeDef(decls []binary.Def) (*instanceType, error) {
	inner := newScope(s.v, s, inInstanceType)
	defer inner.close()
	if err := inner.defs(decls); err != nil {
		return nil, err
	}
	t := &instanceType{owner: inner, exports: inner.exports.externs}
	return t, t.measure()
}

func (t *instanceType) measure() error {
	t.extent = extent{nodes: 1}
	t.exports.measure(&t.extent)
	return t.check()
}

func (x *externs) measure(sum *extent) {
	for i := range x.list {
		sum.within(x.list[i].extent())
	}
}

func (x extent) check() error {
	switch {
	case x.depth > maxDepth:
		return fmt.Errorf("types are nested more than %d deep", maxDepth)
	case x.nodes > maxNodes:
		return fmt.Errorf("written out, the type has more than %d parts", maxNodes)
	}
	return nil
}

func (e *entity) extent() extent {
	switch {
	case e.fn != nil:
		return e.fn.extent
	case e.typ != nil:
		return e.typ.extent()
	case e.comp != nil:
		return e.comp.extent
	case e.inst != nil:
		return e.inst.extent
	case e.module != nil:
		return extent{nodes: 1 + len(e.module.imports) + len(e.module.exports)}
	}
	return e.val.facts().extent
}

func (t *typ) extent() extent {
	switch {
	case t.val != nil:
		return t.val.extent
	case t.fn != nil:
		return t.fn.extent
	case t.comp != nil:
		return t.comp.extent
	case t.inst != nil:
		return t.inst.extent
	}
	return extent{nodes: 1, resources: true}
}
