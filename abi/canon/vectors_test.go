package canon

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
)

// vector is one line of testdata/vectors.jsonl: what the specification's
// definitions make of a value. See vectors.py.
type vector struct {
	Type        jsonType
	Size, Align uint32
	Core        []string
	Encoding    Encoding
	Value       jsonValue
	Calls       [][4]uint32
	Flat        []uint64
	Heap        string
}

type jsonType struct {
	K      string
	E, Key *jsonType
	N      uint32
	F      []jsonType
	C      []*jsonType
}

type jsonValue struct {
	N  uint64
	S  string
	S8 []uint8 // as an array of numbers
	L  []jsonValue
}

func (v *jsonValue) value() Value {
	out := Value{Num: v.N, Str: v.S + string(v.S8)}
	for i := range v.L {
		out.List = append(out.List, v.L[i].value())
	}
	return out
}

func (v *jsonValue) UnmarshalJSON(b []byte) error {
	var w struct {
		N  uint64
		S  string
		S8 []uint16
		L  []jsonValue
	}
	err := json.Unmarshal(b, &w)
	v.N, v.S, v.L = w.N, w.S, w.L
	for _, x := range w.S8 {
		v.S8 = append(v.S8, uint8(x))
	}
	return err
}

func (t *jsonType) typ() *Type {
	switch t.K {
	case "fixed":
		return &Type{Kind: FixedList, Elem: t.E.typ(), Len: t.N}
	case "flags":
		return &Type{Kind: Flags, Labels: make([]string, t.N)}
	}
	out := &Type{Kind: Kind(slices.Index(kindNames[:], t.K))}
	if t.E != nil {
		out.Elem = t.E.typ()
	}
	if t.Key != nil {
		out.Key = t.Key.typ()
	}
	for i := range t.F {
		out.Fields = append(out.Fields, Field{Type: t.F[i].typ()})
	}
	for i, c := range t.C {
		out.Cases = append(out.Cases, Case{Name: fmt.Sprint(i)})
		if c != nil {
			out.Cases[i].Type = c.typ()
		}
	}
	return out
}

var coreNames = []string{I32: "i32", I64: "i64", CoreF32: "f32", CoreF64: "f64"}

// TestVectors compares layouts, flat values, calls of realloc and memory with
// what the specification's definitions compute.
func TestVectors(t *testing.T) {
	f, err := os.Open("testdata/vectors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(n+1), func(t *testing.T) { v.test(t) })
	}
	if n < 500 {
		t.Errorf("%d vectors, expected at least 500", n)
	}
}

func (v *vector) test(t *testing.T) {
	typ, value := v.Type.typ(), v.Value.value()
	sig := mustCompile(t, fn(typ, typ))
	l := typ.layout
	var core []string
	for _, c := range l.flat {
		core = append(core, coreNames[c])
	}
	if l.size != v.Size || l.align != v.Align || !slices.Equal(core, v.Core) {
		t.Fatalf("layout is size %d, align %d, %v; expected %d, %d, %v", l.size, l.align, core, v.Size, v.Align, v.Core)
	}
	g := newGuest(1 << 16)
	cx := g.call(v.Encoding)
	flat := make([]uint64, MaxFlatParams)
	n, err := sig.LowerParams(cx, []Value{value}, flat)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(flat[:n], v.Flat) {
		t.Errorf("flat values are %x, expected %x", flat[:n], v.Flat)
	}
	if !slices.Equal(g.calls, v.Calls) {
		t.Errorf("calls of realloc are %v, expected %v", g.calls, v.Calls)
	}
	if got := hex.EncodeToString(g.mem[heap:max(g.next, heap)]); got != v.Heap {
		t.Errorf("memory is %s, expected %s", got, v.Heap)
	}
	args := make([]Value, 1)
	if err := sig.LiftParams(cx, flat, args); err != nil {
		t.Fatal(err)
	}
	if !same(typ, args[0], value) {
		t.Errorf("lifted %+v, expected %+v", args[0], value)
	}
}
