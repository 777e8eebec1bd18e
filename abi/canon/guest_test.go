package canon

import "fmt"

// guest is a linear memory with an allocator that hands out memory upwards, as
// much as the guest of testdata/vectors.py does.
type guest struct {
	mem   []byte
	next  uint32
	calls [][4]uint32
	grow  bool // grow, and so move, the memory at every call of realloc
}

const heap = 64

func newGuest(size int) *guest { return &guest{mem: make([]byte, size), next: heap} }

func (g *guest) Bytes() []byte { return g.mem }

func (g *guest) realloc(old, oldSize, align, size uint32) (uint32, error) {
	g.calls = append(g.calls, [4]uint32{old, oldSize, align, size})
	p := (g.next + 7) &^ 7
	end := uint64(p) + uint64(size)
	if end > 1<<28 {
		return 0, fmt.Errorf("guest out of memory at %d bytes", end)
	}
	if end > uint64(len(g.mem)) || g.grow {
		g.mem = append(make([]byte, 0, end+64), g.mem...)[:max(uint64(len(g.mem)), end)]
	}
	g.next = uint32(end)
	copy(g.mem[p:end], g.mem[old:old+oldSize])
	return p, nil
}

func (g *guest) call(e Encoding) *Call {
	return &Call{Options: &Options{Memory: g, Realloc: g.realloc, Encoding: e, Table: NewTable(0)}}
}

func fn(result *Type, params ...*Type) *Func {
	f := &Func{Result: result}
	for i, p := range params {
		f.Params = append(f.Params, Field{Name: fmt.Sprint("p", i), Type: p})
	}
	return f
}

func mustCompile(t interface{ Fatal(...any) }, f *Func) *Signature {
	s, err := Compile(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func prim(k Kind) *Type      { return &Type{Kind: k} }
func listOf(t *Type) *Type   { return &Type{Kind: List, Elem: t} }
func optionOf(t *Type) *Type { return &Type{Kind: Option, Cases: []Case{{Name: "none"}, {"some", t}}} }

func tupleOf(ts ...*Type) *Type {
	t := &Type{Kind: Tuple}
	for _, f := range ts {
		t.Fields = append(t.Fields, Field{Type: f})
	}
	return t
}

func variantOf(ts ...*Type) *Type {
	t := &Type{Kind: Variant}
	for i, c := range ts {
		t.Cases = append(t.Cases, Case{fmt.Sprint("c", i), c})
	}
	return t
}

// same reports whether a and b are the same value of type t, by the fields that
// count for it. Flags have no bits beyond their labels.
func same(t *Type, a, b Value) bool {
	switch t.Kind {
	case String:
		return a.Str == b.Str
	case Record, Tuple, FixedList, List, Map:
		if t.Kind == List && t.Elem.Kind == U8 {
			return a.Str == b.Str && len(a.List)+len(b.List) == 0
		}
		if len(a.List) != len(b.List) {
			return false
		}
		for i := range a.List {
			if !same(elemType(t, i), a.List[i], b.List[i]) {
				return false
			}
		}
		return true
	case Variant, Option, Result, Enum:
		if a.Num != b.Num || len(a.List) != len(b.List) {
			return false
		}
		return len(a.List) == 0 || same(t.Cases[a.Num].Type, a.List[0], b.List[0])
	case Own, Borrow:
		return a.Num == b.Num && a.Obj == b.Obj
	}
	return a.Num == b.Num
}

func elemType(t *Type, i int) *Type {
	switch t.Kind {
	case Record, Tuple:
		return t.Fields[i].Type
	case Map:
		return tupleOf(t.Key, t.Elem)
	}
	return t.Elem
}
