package validate

import (
	"errors"
	"fmt"

	"github.com/extproc/extproc/abi/binary"
)

func aliasPlace(a binary.Alias) string {
	switch a.Kind {
	case binary.AliasExport:
		return fmt.Sprintf("alias of export %q of instance %d", a.Name, a.Instance)
	case binary.AliasCoreExport:
		return fmt.Sprintf("alias of export %q of core instance %d", a.Name, a.Instance)
	}
	return fmt.Sprintf("outer alias of %s %d", a.Sort, a.Idx)
}

// alias checks an alias (Explainer, "Alias Definitions").
func (s *scope) alias(a binary.Alias) error {
	switch {
	case a.Kind == binary.AliasOuter:
		return s.outerAlias(a)
	case a.Kind == binary.AliasCoreExport:
		if s.kind != inComponent {
			return errDeclAlias
		}
		return s.coreAlias(a)
	case s.kind != inComponent && a.Sort != binary.SortType && a.Sort != binary.SortInstance:
		return errDeclAlias
	}
	inst, err := lookup(s.instances, a.Instance, "instance")
	if err != nil {
		return err
	}
	e, ok := inst.exports.find(a.Name)
	if !ok {
		return fmt.Errorf("instance %d has no such export", a.Instance)
	}
	if e.sort != a.Sort {
		return fmt.Errorf("the export is %s, not %s", article(e.sort.String()), article(a.Sort.String()))
	}
	s.add(e, false)
	return nil
}

var errDeclAlias = errors.New("in a component or instance type only types and exported instances can be aliased")

func (s *scope) outerAlias(a binary.Alias) error {
	if s.kind != inComponent && a.Sort != binary.SortType && a.Sort != binary.SortCoreType {
		return errDeclAlias
	}
	target, crossed, err := s.outer(a.Count)
	if err != nil {
		return err
	}
	if a.Sort == binary.SortCoreType {
		t, err := lookup(target.coreTypes, a.Idx, "core type")
		s.coreTypes = append(s.coreTypes, t)
		return err
	}
	e, err := target.entity(binary.SortIdx{Sort: a.Sort, Idx: a.Idx})
	if err != nil {
		return err
	}
	if crossed && e.typ != nil && s.freeResources(e.typ) {
		return errors.New("a type that refers to resources cannot be aliased from outside of the component")
	}
	s.add(e, false)
	return nil
}

// outer is the scope count levels out, and whether a component lies between.
func (s *scope) outer(count uint32) (target *scope, crossed bool, err error) {
	target = s
	for range count {
		crossed = crossed || target.kind == inComponent
		if target = target.parent; target == nil {
			return nil, false, fmt.Errorf("the alias goes out by %d scopes, which is too far", count)
		}
	}
	return target, crossed, nil
}

// freeResources reports whether a type refers to resources other than its own
// placeholders.
func (s *scope) freeResources(t *typ) bool {
	if !t.extent().resources {
		return false
	}
	f := freeSearch{v: s.v, bound: map[*scope]bool{}, seen: map[any]bool{}}
	return f.typ(t)
}

type freeSearch struct {
	v     *validator
	bound map[*scope]bool
	seen  map[any]bool
}

func (f *freeSearch) typ(t *typ) bool {
	switch {
	case t == nil || f.seen[t] || !f.v.spend(1):
		return false
	case t.res != nil:
		return !f.bound[t.res.owner]
	}
	f.seen[t] = true
	return f.entity(&entity{fn: t.fn, comp: t.comp, inst: t.inst}) || t.val != nil && f.def(t.val)
}

func (f *freeSearch) def(d *defType) bool {
	if !d.resources {
		return false
	}
	for _, x := range d.fields {
		if f.typ(x.typ.typ) {
			return true
		}
	}
	return f.typ(d.res) || f.typ(d.elem.typ) || f.typ(d.err.typ) || f.typ(d.key.typ)
}

func (f *freeSearch) entity(e *entity) bool {
	switch {
	case !f.v.spend(1):
		return false
	case e.fn != nil:
		for _, p := range e.fn.params {
			if f.typ(p.typ.typ) {
				return true
			}
		}
		return f.typ(e.fn.result.typ)
	case e.comp != nil:
		f.bound[e.comp.owner] = true
		return f.externs(e.comp.imports) || f.externs(e.comp.exports)
	case e.inst != nil:
		if e.inst.owner != nil {
			f.bound[e.inst.owner] = true
		}
		return f.externs(e.inst.exports)
	}
	return f.typ(e.typ) || f.typ(e.val.typ)
}

func (f *freeSearch) externs(x externs) bool {
	for i := range x.list {
		if f.entity(&x.list[i].entity) {
			return true
		}
	}
	return false
}
