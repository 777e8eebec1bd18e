package validate

import (
	"errors"
	"fmt"

	"github.com/extproc/extproc/abi/binary"
)

// matcher checks that one type can be used where another is wanted (Explainer,
// "Type Checking"). As it goes it finds out what the wanted type's resources
// stand for.
type matcher struct {
	v     *validator
	bound *scope // owns the wanted type's placeholders
	res   map[*resource]*resource
	trail []*resource   // keys of res in order
	typs  map[*typ]*typ // wanted type entries to those given, of instantiation
	depth int           // of component types being compared
}

func newMatcher(v *validator) *matcher {
	return &matcher{v: v, res: map[*resource]*resource{}, typs: map[*typ]*typ{}}
}

// resolve follows what a resource stands for. Those standing for themselves
// are not placeholders any more.
func (m *matcher) resolve(r *resource) *resource {
	for {
		to, ok := m.res[r]
		if !ok || to == r {
			return r
		}
		r = to
	}
}

func (m *matcher) bind(want, got *resource) {
	m.res[want] = got
	m.trail = append(m.trail, want)
}

func (e *entity) what() string {
	if e.typ != nil {
		return e.typ.what()
	}
	return article(e.sort.String())
}

func (m *matcher) match(got, want entity) error {
	if !m.v.spend(1) {
		return errComplex
	}
	if got.sort != want.sort {
		return fmt.Errorf("expected %s, found %s", article(want.sort.String()), article(got.sort.String()))
	}
	switch want.sort {
	case binary.SortCoreModule:
		if !m.v.spend(len(got.module.imports) + len(want.module.exports)) {
			return errComplex
		}
		return matchModule(got.module, want.module)
	case binary.SortFunc:
		return m.fn(got.fn, want.fn)
	case binary.SortValue:
		return m.valType(got.val, want.val)
	case binary.SortType:
		return m.typ(got.typ, want.typ)
	case binary.SortComponent:
		return m.component(got.comp, want.comp)
	default:
		return m.instance(got.inst, want.inst)
	}
}

// typ matches the bound of a type. The first mention of a resource that the
// wanted type owns is a (sub resource), all others are (eq).
func (m *matcher) typ(got, want *typ) error {
	if m.depth == 0 {
		m.typs[want] = got
	}
	if want.res != nil && got.res != nil {
		if _, known := m.res[want.res]; !known && m.bound != nil && want.res.owner == m.bound {
			m.bind(want.res, m.resolve(got.res))
			return nil
		}
	}
	return m.content(got, want)
}

// content compares types for equality.
func (m *matcher) content(got, want *typ) error {
	switch {
	case want.val != nil && got.val != nil:
		return m.def(got.val, want.val)
	case want.fn != nil && got.fn != nil:
		return m.fn(got.fn, want.fn)
	case want.res != nil && got.res != nil:
		if m.resolve(got.res) != m.resolve(want.res) {
			return errors.New("resource types are not the same")
		}
		return nil
	case want.comp != nil && got.comp != nil:
		if got.comp == want.comp {
			return nil
		}
		return m.both(func() error { return m.component(got.comp, want.comp) },
			func() error { return m.component(want.comp, got.comp) })
	case want.inst != nil && got.inst != nil:
		return m.both(func() error { return m.instanceType(got.inst, want.inst) },
			func() error { return m.instanceType(want.inst, got.inst) })
	}
	return fmt.Errorf("expected %s, found %s", want.what(), got.what())
}

// both checks subtyping in both directions, each on its own.
func (m *matcher) both(there, back func() error) error {
	if err := m.scoped(nil, there); err != nil {
		return err
	}
	return m.scoped(nil, back)
}

// scoped runs check with the placeholders of owner, and forgets afterwards
// what they stood for.
func (m *matcher) scoped(owner *scope, check func() error) error {
	bound, mark := m.bound, len(m.trail)
	m.bound = owner
	m.depth++
	err := check()
	m.depth--
	m.bound = bound
	for _, r := range m.trail[mark:] {
		delete(m.res, r)
	}
	m.trail = m.trail[:mark]
	return err
}

func (m *matcher) instanceType(got, want *instanceType) error {
	return m.scoped(want.owner, func() error { return m.instance(got, want) })
}

func (m *matcher) instance(got, want *instanceType) error {
	for _, x := range want.exports.list {
		e, ok := got.exports.find(x.name)
		if !ok {
			return fmt.Errorf("the export %q is missing", x.name)
		}
		if err := m.match(e, x.entity); err != nil {
			return at(err, "export %q", x.name)
		}
	}
	return nil
}

// component compares component types, imports the other way round. What the
// wanted type imports is then given, no placeholder.
func (m *matcher) component(got, want *componentType) error {
	return m.scoped(got.owner, func() error {
		for _, x := range got.imports.list {
			e, ok := want.imports.find(x.name)
			if !ok {
				return fmt.Errorf("it needs the import %q, which is not in the expected type", x.name)
			}
			if err := m.match(e, x.entity); err != nil {
				return at(err, "import %q", x.name)
			}
		}
		m.fix(want.imports.list, want.owner)
		m.bound = want.owner
		return m.instance(&instanceType{exports: got.exports}, &instanceType{exports: want.exports})
	})
}

func (m *matcher) fix(list []extern, owner *scope) {
	for _, x := range list {
		if !m.v.spend(1) {
			return
		}
		if x.typ != nil && x.typ.res != nil && x.typ.res.owner == owner {
			if _, known := m.res[x.typ.res]; !known {
				m.bind(x.typ.res, x.typ.res)
			}
		}
		if x.inst != nil {
			m.fix(x.inst.exports.list, owner)
		}
	}
}

func (m *matcher) fn(got, want *funcType) error {
	if got == want {
		return nil
	}
	if got.async != want.async || len(got.params) != len(want.params) || got.result.none() != want.result.none() {
		return fmt.Errorf("expected %s, found %s", want, got)
	}
	for i, p := range want.params {
		if g := got.params[i]; g.label != p.label {
			return fmt.Errorf("expected a parameter called %q, found %q", p.label, g.label)
		}
		if err := m.valType(got.params[i].typ, p.typ); err != nil {
			return at(err, "parameter %q", p.label)
		}
	}
	if err := m.valType(got.result, want.result); err != nil {
		return at(err, "result")
	}
	return nil
}

// valType compares value types for equality. A primitive type may stand behind
// an index on one side.
func (m *matcher) valType(got, want valType) error {
	switch {
	case got == want:
		return nil
	case got.none() || want.none():
		return fmt.Errorf("expected %s, found %s", want, got)
	case got.typ != nil && want.typ != nil:
		return m.def(got.typ.val, want.typ.val)
	case got.asPrim() != want.asPrim():
		return fmt.Errorf("expected %s, found %s", want, got)
	}
	return nil
}

func (m *matcher) def(got, want *defType) error {
	if got == want {
		return nil
	}
	if !m.v.spend(1 + len(want.fields) + len(want.labels)) {
		return errComplex
	}
	if got.kind != want.kind || got.prim != want.prim || got.length != want.length {
		return fmt.Errorf("expected %s, found %s", want.what(), got.what())
	}
	switch want.kind {
	case binary.DefRecord, binary.DefVariant, binary.DefTuple:
		return m.fields(got, want)
	case binary.DefFlags, binary.DefEnum:
		return matchLabels(got, want)
	case binary.DefOwn, binary.DefBorrow:
		return m.content(got.res, want.res)
	}
	for _, part := range []struct {
		name      string
		got, want valType
	}{
		{"key", got.key, want.key},
		{"element", got.elem, want.elem},
		{"error", got.err, want.err},
	} {
		if err := m.valType(part.got, part.want); err != nil {
			return at(err, "%s of %s", part.name, want.what())
		}
	}
	return nil
}

func (m *matcher) fields(got, want *defType) error {
	if len(got.fields) != len(want.fields) {
		return fmt.Errorf("expected %s of %d, found one of %d", want.what(), len(want.fields), len(got.fields))
	}
	for i, f := range want.fields {
		g := got.fields[i]
		if g.label != f.label {
			return fmt.Errorf("expected %q in %s, found %q", f.label, want.what(), g.label)
		}
		if err := m.valType(g.typ, f.typ); err != nil {
			if f.label == "" {
				f.label = fmt.Sprint(i)
			}
			return at(err, "%q of %s", f.label, want.what())
		}
	}
	return nil
}

func matchLabels(got, want *defType) error {
	if len(got.labels) != len(want.labels) {
		return fmt.Errorf("expected %s of %d, found one of %d", want.what(), len(want.labels), len(got.labels))
	}
	for i, l := range want.labels {
		if got.labels[i] != l {
			return fmt.Errorf("expected %q in %s, found %q", l, want.what(), got.labels[i])
		}
	}
	return nil
}
