package validate

import (
	"strconv"
	"strings"

	"github.com/extproc/extproc/abi/binary"
)

var primNames = map[binary.Prim]string{
	binary.PrimBool: "bool", binary.PrimS8: "s8", binary.PrimU8: "u8", binary.PrimS16: "s16",
	binary.PrimU16: "u16", binary.PrimS32: "s32", binary.PrimU32: "u32", binary.PrimS64: "s64",
	binary.PrimU64: "u64", binary.PrimF32: "f32", binary.PrimF64: "f64", binary.PrimChar: "char",
	binary.PrimString: "string", binary.PrimErrorContext: "error-context",
}

var defNames = map[binary.DefKind]string{
	binary.DefRecord: "record", binary.DefVariant: "variant", binary.DefList: "list",
	binary.DefFixedList: "list", binary.DefTuple: "tuple", binary.DefFlags: "flags",
	binary.DefEnum: "enum", binary.DefOption: "option", binary.DefResult: "result",
	binary.DefOwn: "own", binary.DefBorrow: "borrow", binary.DefStream: "stream",
	binary.DefFuture: "future", binary.DefMap: "map",
}

// what says what kind of type it is, with an article.
func (d *defType) what() string {
	switch d.kind {
	case binary.DefPrim:
		return primNames[d.prim]
	case binary.DefFlags:
		return defNames[d.kind]
	}
	return article(defNames[d.kind])
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// maxText bounds the length of a type for people.
const maxText = 400

// text writes types as WIT does, up to a length.
type text struct{ strings.Builder }

func (t valType) String() string {
	var w text
	w.valType(t)
	return w.String()
}

// String is the type as in WIT: "func(self: borrow<fields>) -> result<_, u8>".
func (f *funcType) String() string {
	var w text
	w.fn(f)
	return w.String()
}

func (w *text) fn(f *funcType) {
	if f.async {
		w.WriteString("async ")
	}
	w.WriteString("func(")
	for i, p := range f.params {
		if w.Len() > maxText {
			break
		}
		if i > 0 {
			w.WriteString(", ")
		}
		w.WriteString(p.label + ": ")
		w.valType(p.typ)
	}
	w.WriteString(")")
	if !f.result.none() {
		w.WriteString(" -> ")
		w.valType(f.result)
	}
}

func (w *text) valType(t valType) {
	switch {
	case w.Len() > maxText:
		w.WriteString("...")
	case t.none():
		w.WriteString("_")
	case t.typ == nil:
		w.WriteString(primNames[t.prim])
	case t.typ.name != "":
		w.WriteString(t.typ.name)
	default:
		w.def(t.typ.val)
	}
}

func (w *text) def(d *defType) {
	switch {
	case d.kind == binary.DefPrim:
		w.WriteString(primNames[d.prim])
		return
	case d.res != nil:
		w.handle(d)
		return
	}
	w.WriteString(defNames[d.kind])
	var args []valType
	switch d.kind {
	case binary.DefFlags, binary.DefEnum:
		w.WriteString(" { " + strings.Join(d.labels[:min(len(d.labels), 10)], ", ") + " }")
		return
	case binary.DefRecord, binary.DefVariant:
		w.fields(d)
		return
	case binary.DefFixedList: // list<u8, 4>
		w.WriteString("<")
		w.valType(d.elem)
		w.WriteString(", " + strconv.FormatUint(uint64(d.length), 10) + ">")
		return
	case binary.DefTuple:
		for _, f := range d.fields {
			args = append(args, f.typ)
		}
	case binary.DefMap:
		args = []valType{d.key, d.elem}
	case binary.DefResult:
		if args = []valType{d.elem}; !d.err.none() {
			args = append(args, d.err)
		}
	default:
		args = []valType{d.elem}
	}
	w.args(args)
}

// handle writes an own as WIT does, as the name of the resource alone.
func (w *text) handle(d *defType) {
	switch name := d.res.name; {
	case name == "":
		w.WriteString(defNames[d.kind] + "<resource>")
	case d.kind == binary.DefOwn:
		w.WriteString(name)
	default:
		w.WriteString("borrow<" + name + ">")
	}
}

func (w *text) args(args []valType) {
	if len(args) == 1 && args[0].none() {
		return
	}
	w.WriteString("<")
	for i, a := range args {
		if w.Len() > maxText {
			break
		}
		if i > 0 {
			w.WriteString(", ")
		}
		w.valType(a)
	}
	w.WriteString(">")
}

func (w *text) fields(d *defType) {
	w.WriteString(" { ")
	for i, f := range d.fields {
		if w.Len() > maxText {
			break
		}
		if i > 0 {
			w.WriteString(", ")
		}
		w.WriteString(f.label)
		switch {
		case f.typ.none():
		case d.kind == binary.DefVariant:
			w.WriteString("(")
			w.valType(f.typ)
			w.WriteString(")")
		default:
			w.WriteString(": ")
			w.valType(f.typ)
		}
	}
	w.WriteString(" }")
}
