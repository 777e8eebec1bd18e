package validate

import (
	"errors"
	"fmt"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

// namespace holds the imports or the exports of a scope.
type namespace struct {
	externs
	seen   map[string]string // names as written, by canonical form
	labels map[*typ]string   // plain names of resource types
	bound  map[string]bool   // those names
	named  map[*typ]struct{} // types introduced here, also within instances
}

// add checks the name of an import or export and records it.
func (n *namespace) add(name binary.Name, e entity) error {
	parsed, err := parseExternName(name.Name)
	if err != nil {
		return err
	}
	key := parsed.canonical(name.Name)
	if prev, ok := n.seen[key]; ok {
		return fmt.Errorf("the name conflicts with %q", prev)
	}
	if n.seen == nil {
		n.seen, n.labels, n.bound = map[string]string{}, map[*typ]string{}, map[string]bool{}
	}
	n.seen[key] = name.Name
	if err := checkAttributes(name, parsed, e); err != nil {
		return err
	}
	if parsed.annotation != "" {
		if err := n.checkAnnotation(parsed, e); err != nil {
			return err
		}
	}
	if e.typ != nil && e.typ.res != nil && !parsed.iface && parsed.annotation == "" {
		n.labels[e.typ] = name.Name
		n.bound[name.Name] = true
	}
	n.externs.add(name.Name, e)
	return nil
}

func checkAttributes(name binary.Name, parsed externName, e entity) error {
	if name.Has&binary.AttrImplements != 0 {
		iface, err := parseExternName(name.Implements)
		switch {
		case err != nil:
			return at(err, "implements")
		case !iface.iface:
			return fmt.Errorf("implements: %q is not the name of an interface", name.Implements)
		case e.sort != binary.SortInstance:
			return errors.New("only an instance can have the attribute implements")
		case parsed.iface || parsed.annotation != "":
			return errors.New("only a plain name can have the attribute implements")
		}
	}
	if name.Has&binary.AttrVersionSuffix != 0 {
		if !parsed.iface || !isCanonVersion(parsed.version) {
			return fmt.Errorf("versionsuffix: %q does not end in a version such as 1 or 0.2", name.Name)
		}
		if err := checkSemver(parsed.version + name.VersionSuffix); err != nil {
			return at(err, "versionsuffix")
		}
	}
	return nil
}

// checkAnnotation checks the type of a constructor, method or static function
// (Binary, "Import and Export Definitions").
func (n *namespace) checkAnnotation(name externName, e entity) error {
	if e.fn == nil {
		return fmt.Errorf("a [%s] must be a func, not %s", name.annotation, e.what())
	}
	switch name.annotation {
	case "constructor":
		return n.checkConstructor(name, e.fn)
	case "method":
		if len(e.fn.params) == 0 || e.fn.params[0].label != "self" {
			return errors.New("a [method] must have a first parameter called self")
		}
		return n.checkHandle(e.fn.params[0].typ, binary.DefBorrow, name.resource)
	}
	if !n.bound[name.resource] {
		return fmt.Errorf("no resource called %q has been introduced before", name.resource)
	}
	return nil
}

func (n *namespace) checkConstructor(name externName, fn *funcType) error {
	result := fn.result
	if result.none() {
		return errors.New("a [constructor] must return its resource")
	}
	if t := result.typ; t != nil && t.val.kind == binary.DefResult {
		result = t.val.elem
	}
	return n.checkHandle(result, binary.DefOwn, name.resource)
}

// checkHandle checks that t is an own or borrow of the resource named label.
func (n *namespace) checkHandle(t valType, kind binary.DefKind, label string) error {
	want := defNames[kind] + "<" + label + ">"
	if t.typ == nil || t.typ.val.kind != kind {
		return fmt.Errorf("expected %s, found %s", want, t)
	}
	switch found, ok := n.labels[t.typ.val.res]; {
	case !ok:
		return fmt.Errorf("expected %s, but the resource in the function's type has not been given a name here", want)
	case found != label:
		return fmt.Errorf("expected %s, found %s<%s>", want, defNames[kind], found)
	}
	return nil
}

// externType is the type that an import, export or declarator states. For
// instances that is the type as it was declared, not yet opened.
func (s *scope) externType(t binary.ExternType) (entity, error) {
	e := entity{sort: t.Sort}
	var entry *typ
	var err error
	switch t.Sort {
	case binary.SortCoreModule:
		e.module, err = s.moduleTypeIdx(t.Idx)
		return e, err
	case binary.SortValue:
		e.val, err = s.valueBound(t.Value)
		return e, err
	case binary.SortType:
		if t.SubResource {
			e.typ = &typ{res: &resource{owner: s, rep: core.I32}}
			return e, nil
		}
	}
	if entry, err = lookup(s.types, t.Idx, "type"); err != nil {
		return e, err
	}
	ok := true
	switch t.Sort {
	case binary.SortType:
		e.typ = entry
	case binary.SortFunc:
		e.fn, ok = entry.fn, entry.fn != nil
	case binary.SortComponent:
		e.comp, ok = entry.comp, entry.comp != nil
	case binary.SortInstance:
		e.inst, ok = entry.inst, entry.inst != nil
	}
	if !ok {
		err = fmt.Errorf("type %d is %s, but the type of %s is expected", t.Idx, entry.what(), article(t.Sort.String()))
	}
	return e, err
}

func (s *scope) valueBound(b *binary.ValueBound) (valType, error) {
	if !b.Eq {
		return s.valType(b.Type)
	}
	val, err := lookup(s.values, b.Idx, "value")
	return val.typ, err
}

// introduce makes an entity that stands on its own out of one that states or
// has a type: type entries are new, and of an instance type's resources this
// scope owns fresh ones.
func (s *scope) introduce(name string, e entity) entity {
	switch {
	case e.typ != nil:
		t := *e.typ
		t.name = name
		e.typ = &t
	case e.inst != nil:
		e.inst = s.open(e.inst)
	}
	return e
}

func (s *scope) importDef(d binary.Import) error {
	e, err := s.externType(d.Type)
	if err != nil {
		return err
	}
	return s.addExtern(s.imports, d.Name, e)
}

func (s *scope) export(d binary.Export) error {
	if s.kind != inComponent { // a declarator
		e, err := s.externType(*d.Type)
		if err != nil {
			return err
		}
		return s.addExtern(s.exports, d.Name, e)
	}
	e, err := s.entity(d.SortIdx)
	if err != nil {
		return err
	}
	if d.Type != nil {
		want, err := s.externType(*d.Type)
		if err != nil {
			return err
		}
		if err := s.ascribe(e, want, d.Type.SubResource); err != nil {
			return at(err, "ascribed type")
		}
		e = want
	}
	if e.sort == binary.SortValue && e.val.facts().borrow {
		return errors.New("a value that contains a borrow cannot be exported")
	}
	return s.addExtern(s.exports, d.Name, e)
}

// ascribe checks that an entity has the type that its export states.
func (s *scope) ascribe(e, want entity, abstract bool) error {
	if abstract {
		if e.typ == nil || e.typ.res == nil {
			return fmt.Errorf("expected a resource, found %s", e.what())
		}
		return nil
	}
	m := newMatcher(s.v)
	if want.inst != nil {
		m.bound = want.inst.owner
	}
	return m.match(e, want)
}

// addExtern introduces an import or export, checks its name and whether all
// types in it are visible from outside.
func (s *scope) addExtern(n *namespace, name binary.Name, stated entity) error {
	if s.kind != inInstanceType {
		if err := s.checkVisible(n, stated); err != nil {
			return err
		}
	}
	e := s.introduce(name.Name, stated)
	if err := n.add(name, e); err != nil {
		return err
	}
	n.register(s.v, e)
	if n == s.exports && stated.inst != nil {
		// Unlike a type's, an instance's export names what it exports itself.
		n.register(s.v, stated)
	}
	s.add(e, n == s.exports)
	return nil
}
