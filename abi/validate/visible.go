package validate

import (
	"fmt"

	"github.com/extproc/extproc/abi/binary"
)

// checkVisible checks that an import or export uses no resource, record,
// variant, enum or flags but such as have a name outside (Explainer, "External
// Visibility of Types"). Imports may use the names of imports only.
func (s *scope) checkVisible(n *namespace, e entity) error {
	w := visibility{v: s.v, seen: map[*typ]bool{}, own: map[*typ]struct{}{}}
	w.named = []map[*typ]struct{}{s.imports.named, w.own}
	kind := "imports"
	if n == s.exports {
		w.named = append(w.named, s.exports.named)
		kind = "imports or exports"
	}
	if hidden := w.entity(e); hidden != "" {
		return fmt.Errorf("uses %s, which has no name among the %s before it", hidden, kind)
	}
	return nil
}

// register gives the types that an import or export introduces their names.
func (n *namespace) register(v *validator, e entity) {
	switch {
	case !v.spend(1):
	case e.typ != nil:
		if n.named == nil {
			n.named = map[*typ]struct{}{}
		}
		n.named[e.typ] = struct{}{}
	case e.inst != nil:
		for _, x := range e.inst.exports.list {
			n.register(v, x.entity)
		}
	}
}

// visibility looks for types without a name. Its methods return a description
// of the first, or "".
type visibility struct {
	v     *validator
	named []map[*typ]struct{}
	own   map[*typ]struct{} // exported so far by the instance in question
	seen  map[*typ]bool
}

func (w *visibility) isNamed(t *typ) bool {
	for _, set := range w.named {
		if _, ok := set[t]; ok {
			return true
		}
	}
	return false
}

func (w *visibility) entity(e entity) string {
	if !w.v.spend(1) {
		return ""
	}
	switch {
	case e.typ != nil:
		return w.content(e.typ)
	case e.fn != nil:
		return w.fn(e.fn)
	case e.inst != nil:
		return w.instance(e.inst)
	}
	return w.valType(e.val)
}

// content looks into a type that is itself being named. A component type was
// checked when it was declared.
func (w *visibility) content(t *typ) string {
	switch {
	case t.val != nil:
		return w.parts(t.val)
	case t.fn != nil:
		return w.fn(t.fn)
	case t.inst != nil:
		return w.instance(t.inst)
	}
	return ""
}

func (w *visibility) fn(f *funcType) string {
	for _, p := range f.params {
		if hidden := w.valType(p.typ); hidden != "" {
			return hidden
		}
	}
	return w.valType(f.result)
}

// instance takes the exports in order: each is a name for those behind it.
func (w *visibility) instance(t *instanceType) string {
	for _, x := range t.exports.list {
		if hidden := w.entity(x.entity); hidden != "" {
			return fmt.Sprintf("%s (in its export %q)", hidden, x.name)
		}
		if x.typ != nil {
			w.own[x.typ] = struct{}{}
		}
	}
	return ""
}

func (w *visibility) valType(t valType) string {
	if t.typ == nil || w.seen[t.typ] || w.isNamed(t.typ) {
		return ""
	}
	w.seen[t.typ] = true
	switch t.typ.val.kind {
	case binary.DefRecord, binary.DefVariant, binary.DefEnum, binary.DefFlags:
		return t.typ.what()
	}
	return w.parts(t.typ.val)
}

func (w *visibility) parts(d *defType) string {
	if !w.v.spend(1 + len(d.fields)) {
		return ""
	}
	if d.res != nil {
		if w.isNamed(d.res) {
			return ""
		}
		return "a resource"
	}
	for _, f := range d.fields {
		if hidden := w.valType(f.typ); hidden != "" {
			return hidden
		}
	}
	for _, t := range []valType{d.elem, d.err, d.key} {
		if hidden := w.valType(t); hidden != "" {
			return hidden
		}
	}
	return ""
}
