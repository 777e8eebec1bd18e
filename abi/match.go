package abi

import (
	"fmt"
	"strings"

	"github.com/extproc/extproc/abi/canon"
)

// matcher compares signatures of rows with the types of an imported instance.
type matcher struct{ names *instanceDef }

// matches reports whether the row's type is the import's.
func (m *matcher) matches(want *witFunc, got *canon.Func) bool {
	if want.async != got.Async || len(want.params) != len(got.Params) {
		return false
	}
	for i, p := range want.params {
		if g := got.Params[i]; p.name != g.Name || !m.same(p.typ, g.Type) {
			return false
		}
	}
	return m.same(want.result, got.Result)
}

func (m *matcher) same(want *witType, got *canon.Type) bool {
	if want == nil || got == nil {
		return want == nil && got == nil
	}
	if want.named() {
		def := m.names.items[want.name].typ
		if def.resource != nil {
			return got.Kind == canon.Own && got.Resource == def.resource
		}
		return def.val == got
	}
	if want.kind != got.Kind {
		return false
	}
	arg := func(i int) *witType {
		if i < len(want.args) {
			return want.args[i]
		}
		return nil
	}
	switch want.kind {
	case canon.Own, canon.Borrow:
		r := m.names.items[want.name].typ.resource
		return r != nil && r == got.Resource
	case canon.Tuple:
		if len(want.args) != len(got.Fields) {
			return false
		}
		for i, f := range got.Fields {
			if !m.same(want.args[i], f.Type) {
				return false
			}
		}
		return true
	case canon.Option:
		return m.same(arg(0), got.Cases[1].Type)
	case canon.Result:
		return m.same(arg(0), got.Cases[0].Type) && m.same(arg(1), got.Cases[1].Type)
	case canon.Map:
		return m.same(arg(0), got.Key) && m.same(arg(1), got.Elem)
	}
	return want.len == got.Len && m.same(arg(0), got.Elem)
}

// text is an imported type as WIT would have it, with the instance's names.
func (m *matcher) text(f *canon.Func) string {
	var b strings.Builder
	if f.Async {
		b.WriteString("async ")
	}
	b.WriteString("func(")
	for i, p := range f.Params {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.Name + ": ")
		m.write(&b, p.Type)
	}
	b.WriteString(")")
	if f.Result != nil {
		b.WriteString(" -> ")
		m.write(&b, f.Result)
	}
	return b.String()
}

// maxText keeps texts of types that share parts many times over readable.
const maxText = 500

func (m *matcher) write(b *strings.Builder, t *canon.Type) {
	if b.Len() > maxText {
		b.WriteString("...")
		return
	}
	if t == nil {
		b.WriteString("_")
		return
	}
	switch t.Kind {
	case canon.Record, canon.Variant, canon.Enum, canon.Flags:
		b.WriteString(m.name(func(d typeDef) bool { return d.val == t }, t.Kind.String()))
	case canon.Own, canon.Borrow:
		name := m.name(func(d typeDef) bool { return d.resource == t.Resource }, t.Resource.Name)
		fmt.Fprintf(b, "%s<%s>", t.Kind, name)
	case canon.Tuple:
		args := make([]*canon.Type, len(t.Fields))
		for i, f := range t.Fields {
			args[i] = f.Type
		}
		m.writeArgs(b, t.Kind, args...)
	case canon.Option:
		m.writeArgs(b, t.Kind, t.Cases[1].Type)
	case canon.Result:
		m.writeResult(b, t.Cases[0].Type, t.Cases[1].Type)
	case canon.Map:
		m.writeArgs(b, t.Kind, t.Key, t.Elem)
	case canon.FixedList:
		b.WriteString("list<")
		m.write(b, t.Elem)
		fmt.Fprintf(b, ", %d>", t.Len)
	case canon.List, canon.Stream, canon.Future:
		if t.Elem == nil {
			b.WriteString(t.Kind.String())
		} else {
			m.writeArgs(b, t.Kind, t.Elem)
		}
	default:
		b.WriteString(t.Kind.String())
	}
}

func (m *matcher) writeResult(b *strings.Builder, ok, fault *canon.Type) {
	switch {
	case fault != nil:
		m.writeArgs(b, canon.Result, ok, fault)
	case ok != nil:
		m.writeArgs(b, canon.Result, ok)
	default:
		b.WriteString("result")
	}
}

func (m *matcher) writeArgs(b *strings.Builder, k canon.Kind, args ...*canon.Type) {
	b.WriteString(k.String() + "<")
	for i, a := range args {
		if i > 0 {
			b.WriteString(", ")
		}
		m.write(b, a)
	}
	b.WriteString(">")
}

// name is the name of a type of the instance, or a word for it if it has none.
func (m *matcher) name(is func(typeDef) bool, word string) string {
	for _, n := range m.names.names {
		if is(m.names.items[n].typ) {
			return n
		}
	}
	return word
}
