package validate

import (
	"fmt"

	"github.com/extproc/extproc/abi/binary"
)

// instance checks an instance definition (Explainer, "Instance Definitions").
func (s *scope) instance(d binary.Instance) error {
	build := s.instantiate
	if d.Inline {
		build = s.bag
	}
	t, err := build(d)
	if err != nil {
		return err
	}
	s.instances = append(s.instances, t)
	return nil
}

// bag makes an instance of definitions. No indices are introduced in it, so
// its functions cannot be methods: those need a resource named beside them.
func (s *scope) bag(d binary.Instance) (*instanceType, error) {
	n := &namespace{}
	for _, x := range d.Bag {
		e, err := s.entity(x.SortIdx)
		if err != nil {
			return nil, at(err, "export %q", x.Name.Name)
		}
		if err := n.add(x.Name, e); err != nil {
			return nil, at(err, "export %q", x.Name.Name)
		}
		clear(n.labels)
		clear(n.bound)
	}
	t := &instanceType{exports: n.externs}
	return t, t.measure()
}

// instantiate checks arguments against imports, in the order of the imports:
// types given for earlier ones take their place in later ones and in the
// exports.
func (s *scope) instantiate(d binary.Instance) (*instanceType, error) {
	comp, err := lookup(s.components, d.Component, "component")
	if err != nil {
		return nil, err
	}
	args := make(map[string]entity, len(d.Args))
	for _, a := range d.Args {
		if _, twice := args[a.Name]; twice {
			return nil, fmt.Errorf("the argument %q is given twice", a.Name)
		}
		if args[a.Name], err = s.entity(a.SortIdx); err != nil {
			return nil, at(err, "argument %q", a.Name)
		}
	}
	m := newMatcher(s.v)
	m.bound = comp.owner
	for _, x := range comp.imports.list {
		e, ok := args[x.name]
		if !ok {
			return nil, fmt.Errorf("no argument is given for the import %q of component %d", x.name, d.Component)
		}
		if err := m.match(e, x.entity); err != nil {
			return nil, at(err, "argument %q", x.name)
		}
	}
	sub := newSubst(s.v, comp.owner, s)
	for want := range m.res {
		sub.res[want] = m.resolve(want)
	}
	sub.typs = m.typs
	t := &instanceType{exports: comp.exports}
	t.exports.list = sub.externs(comp.exports.list)
	return t, t.measure()
}
