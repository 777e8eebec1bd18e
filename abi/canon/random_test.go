package canon

import (
	"math/rand/v2"
	"testing"
)

// dice makes choices out of bytes: random ones or a fuzzer's.
type dice struct{ bytes []byte }

func (d *dice) byte() byte {
	if len(d.bytes) == 0 {
		return 0
	}
	b := d.bytes[0]
	d.bytes = d.bytes[1:]
	return b
}

func (d *dice) upTo(n int) int { return int(d.byte()) % n }

func (d *dice) word() (w uint64) {
	for range 8 {
		w = w<<8 | uint64(d.byte())
	}
	return w
}

var aResource = &Resource{Name: "r"}

var scalarKinds = []Kind{Bool, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, Char, String}

// typ returns a type nested at most depth deep; nothing in it is a handle unless
// handles is set.
func (d *dice) typ(depth int, handles bool) *Type {
	n := len(scalarKinds) + 2
	if depth > 0 {
		n += 9
	}
	switch i := d.upTo(n) - len(scalarKinds); i {
	case 0, 1:
		if handles {
			return &Type{Kind: Own + Kind(i), Resource: aResource}
		}
		return prim(String)
	case 2, 3:
		return listOf(d.typ(depth-1, handles))
	case 4:
		return &Type{Kind: FixedList, Elem: d.typ(depth-1, handles), Len: uint32(1 + d.upTo(5))}
	case 5:
		return &Type{Kind: Map, Key: prim(scalarKinds[d.upTo(len(scalarKinds))]), Elem: d.typ(depth-1, handles)}
	case 6, 7:
		ts := []*Type{d.typ(depth-1, handles)}
		for range d.upTo(4) {
			ts = append(ts, d.typ(depth-1, handles))
		}
		return tupleOf(ts...)
	case 8:
		return d.variant(depth, handles)
	case 9:
		return optionOf(d.typ(depth-1, handles))
	case 10:
		return &Type{Kind: Flags, Labels: make([]string, 1+d.upTo(32))}
	default:
		return prim(scalarKinds[i+len(scalarKinds)])
	}
}

func (d *dice) variant(depth int, handles bool) *Type {
	ts := make([]*Type, 1+d.upTo(5))
	for i := range ts {
		if d.upTo(3) > 0 {
			ts[i] = d.typ(depth-1, handles)
		}
	}
	if d.upTo(8) == 0 {
		ts = append(ts, make([]*Type, 256)...)
	}
	return variantOf(ts...)
}

var texts = []string{"", "a", "text", "é", "aÿ", "Ā", "日本", "a🍰", "\x00", "\U0010ffff", "long enough to be worth a copy"}

// value returns a value of type t, which holds no handles.
func (d *dice) value(t *Type) Value {
	switch t.Kind {
	case String:
		return Value{Str: texts[d.upTo(len(texts))] + texts[d.upTo(len(texts))], Num: uint64(d.upTo(4))}
	case List:
		if t.Elem.Kind == U8 {
			return Value{Str: texts[d.upTo(len(texts))]}
		}
		return d.values(t, d.upTo(4))
	case FixedList:
		return d.values(t, int(t.Len))
	case Map:
		return d.values(t, d.upTo(3))
	case Tuple:
		return d.values(t, len(t.Fields))
	case Variant, Option:
		i := d.upTo(len(t.Cases))
		v := Value{Num: uint64(i)}
		if c := t.Cases[i].Type; c != nil {
			v.List = []Value{d.value(c)}
		}
		return v
	case Flags:
		return Value{Num: d.word() & (1<<len(t.Labels) - 1)}
	}
	var v Value
	l, _ := layOut(t, 0)
	if l.liftPlain(nil, d.word(), &v) != nil {
		v.Num = 'x' // not a char
	}
	return v
}

func (d *dice) values(t *Type, n int) Value {
	var v Value
	for i := range n {
		v.List = append(v.List, d.value(elemType(t, i)))
	}
	return v
}

// roundTrip passes values from a host to a guest and back, then from that guest
// to another by way of an import, and compares.
func roundTrip(t *testing.T, d *dice) {
	f := &Func{}
	var args []Value
	for range 1 + d.upTo(4) {
		f.Params = append(f.Params, Field{Name: "p", Type: d.typ(3, false)})
	}
	f.Result = d.typ(3, false)
	for _, p := range f.Params {
		args = append(args, d.value(p.Type))
	}
	result := []Value{d.value(f.Result)}
	sig, err := Compile(f)
	if err != nil {
		t.Fatal(err)
	}
	g := newGuest(256)
	g.grow = d.upTo(2) == 0
	cx := g.call(Encoding(d.upTo(3)))
	cx.Copy = d.upTo(2) == 0
	got := make([]Value, len(args))
	var flat [MaxFlatParams + 1]uint64
	if _, err := sig.LowerParams(cx, args, flat[:]); err != nil {
		t.Fatal(err)
	}
	if err := sig.LiftParams(cx, flat[:], got); err != nil {
		t.Fatal(err)
	}
	for i, p := range f.Params {
		if !same(p.Type, args[i], got[i]) {
			t.Errorf("parameter %d is %+v, expected %+v", i, got[i], args[i])
		}
	}
	// The result, through two guests of different encodings.
	for range 2 {
		to := newGuest(256)
		flat[len(sig.flat)] = 0
		toCx := to.call(Encoding(d.upTo(3)))
		if sig.ret {
			p, err := to.realloc(0, 0, sig.result.align, sig.result.size)
			if err != nil {
				t.Fatal(err)
			}
			flat[len(sig.flat)] = uint64(p)
		}
		if err := sig.LowerResults(toCx, result, flat[:]); err != nil {
			t.Fatal(err)
		}
		if sig.ret {
			flat[0] = flat[len(sig.flat)]
		}
		back := make([]Value, 1)
		if err := sig.LiftResults(toCx, flat[:], back); err != nil {
			t.Fatal(err)
		}
		if !same(f.Result, result[0], back[0]) {
			t.Errorf("result is %+v, expected %+v", back[0], result[0])
		}
		result = back
	}
}

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		d := &dice{bytes: make([]byte, 1024)}
		for i := range d.bytes {
			d.bytes[i] = byte(rng.Uint32())
		}
		if roundTrip(t, d); t.Failed() {
			return
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Fuzz(func(t *testing.T, choices []byte) { roundTrip(t, &dice{bytes: choices}) })
}
