package canon

import (
	"slices"
	"strings"
	"testing"
)

func TestLayout(t *testing.T) {
	res := &Resource{Name: "r"}
	flags := func(n int) *Type { return &Type{Kind: Flags, Labels: make([]string, n)} }
	enum := func(n int) *Type { return &Type{Kind: Enum, Cases: make([]Case, n)} }
	fixed := func(e *Type, n uint32) *Type { return &Type{Kind: FixedList, Elem: e, Len: n} }
	tests := []struct {
		name        string
		typ         *Type
		size, align uint32
		flat        []CoreType // nil when longer than 16
	}{
		{"bool", prim(Bool), 1, 1, []CoreType{I32}},
		{"s16", prim(S16), 2, 2, []CoreType{I32}},
		{"char", prim(Char), 4, 4, []CoreType{I32}},
		{"u64", prim(U64), 8, 8, []CoreType{I64}},
		{"f32", prim(F32), 4, 4, []CoreType{CoreF32}},
		{"f64", prim(F64), 8, 8, []CoreType{CoreF64}},
		{"string", prim(String), 8, 4, []CoreType{I32, I32}},
		{"own", &Type{Kind: Own, Resource: res}, 4, 4, []CoreType{I32}},
		{"stream", &Type{Kind: Stream}, 4, 4, []CoreType{I32}},
		{"list<u64>", listOf(prim(U64)), 8, 4, []CoreType{I32, I32}},
		{"map", &Type{Kind: Map, Key: prim(U8), Elem: prim(U64)}, 8, 4, []CoreType{I32, I32}},
		{"list<u16,3>", fixed(prim(U16), 3), 6, 2, []CoreType{I32, I32, I32}},
		{"list<u8,17>", fixed(prim(U8), 17), 17, 1, nil},
		{"flags 8", flags(8), 1, 1, []CoreType{I32}},
		{"flags 9", flags(9), 2, 2, []CoreType{I32}},
		{"flags 17", flags(17), 4, 4, []CoreType{I32}},
		{"enum 256", enum(256), 1, 1, []CoreType{I32}},
		{"enum 257", enum(257), 2, 2, []CoreType{I32}},
		{"enum 65537", enum(65537), 4, 4, []CoreType{I32}},
		// u8 at 0, u64 at 8, u16 at 16, padded to 24.
		{"tuple padding", tupleOf(prim(U8), prim(U64), prim(U16)), 24, 8, []CoreType{I32, I64, I32}},
		{"option<u64>", optionOf(prim(U64)), 16, 8, []CoreType{I32, I64}},
		{"option<u8>", optionOf(prim(U8)), 2, 1, []CoreType{I32, I32}},
		{"join i32 f32", variantOf(prim(U32), prim(F32)), 8, 4, []CoreType{I32, I32}},
		{"join f32 f64", variantOf(prim(F32), prim(F64)), 16, 8, []CoreType{I32, I64}},
		{"join f32 f32", variantOf(prim(F32), nil, prim(F32)), 8, 4, []CoreType{I32, CoreF32}},
		{"join string u64", variantOf(prim(String), prim(U64)), 16, 8, []CoreType{I32, I64, I32}},
		{"16 flat", fixed(prim(U8), 16), 16, 1, slices.Repeat([]CoreType{I32}, 16)},
		{"variant past 16 flat", variantOf(fixed(prim(U8), 16)), 17, 1, nil},
		// The greatest size there may be; it must not be worked out element by element.
		{"largest", fixed(prim(U8), 1<<28-1), 1<<28 - 1, 1, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := layOut(tt.typ, 0)
			if err != nil {
				t.Fatal(err)
			}
			if l.size != tt.size || l.align != tt.align || !slices.Equal(l.flat, tt.flat) || l.spills != (tt.flat == nil) {
				t.Errorf("size %d, align %d, flat %v, spills %v; expected %d, %d, %v", l.size, l.align, l.flat, l.spills, tt.size, tt.align, tt.flat)
			}
		})
	}
}

func TestCompileRejects(t *testing.T) {
	deep := prim(U8)
	for range maxTypeDepth + 1 {
		deep = optionOf(deep)
	}
	// 2^29 bytes, described by 29 types.
	wide := prim(U8)
	for range 29 {
		wide = tupleOf(wide, wide)
	}
	tests := []struct {
		typ  *Type
		want string
	}{
		{tupleOf(), "without fields"},
		{&Type{Kind: Variant}, "without cases"},
		{&Type{Kind: Flags}, "0 labels"},
		{&Type{Kind: Flags, Labels: make([]string, 33)}, "33 labels"},
		{&Type{Kind: FixedList, Elem: prim(U8)}, "length 0"},
		{&Type{Kind: FixedList, Elem: prim(U8), Len: 1 << 28}, "maximum byte size"},
		{&Type{Kind: FixedList, Elem: prim(U64), Len: 1 << 29}, "maximum byte size"},
		{&Type{Kind: List}, "type missing"},
		{&Type{Kind: Own}, "without a resource"},
		{&Type{Kind: 77}, "unknown kind"},
		{deep, "deeper than"},
		{wide, "maximum byte size"},
	}
	for _, tt := range tests {
		if _, err := Compile(fn(tt.typ)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Compile says %v, expected %q", err, tt.want)
		}
	}
}

func TestCompileDeepAcrossFunctions(t *testing.T) {
	typ, err := prim(U8), error(nil)
	for i := 0; i < 2*maxTypeDepth && err == nil; i++ {
		typ = optionOf(typ)
		_, err = Compile(fn(typ))
	}
	if err == nil {
		t.Error("types grew past the limit when compiled from the inside out")
	}
}

func TestCoreSignatures(t *testing.T) {
	many := make([]*Type, 17)
	for i := range many {
		many[i] = prim(U64)
	}
	tests := []struct {
		name                                               string
		fn                                                 *Func
		liftParams, liftResults, lowerParams, lowerResults []CoreType
		liftMem, liftRealloc, lowerMem, lowerRealloc       bool
	}{
		{name: "nothing", fn: fn(nil)},
		{name: "scalars", fn: fn(prim(F32), prim(U64)), liftParams: []CoreType{I64}, liftResults: []CoreType{CoreF32},
			lowerParams: []CoreType{I64}, lowerResults: []CoreType{CoreF32}},
		{name: "string to string", fn: fn(prim(String), prim(String)), liftParams: []CoreType{I32, I32}, liftResults: []CoreType{I32},
			lowerParams: []CoreType{I32, I32, I32}, liftMem: true, liftRealloc: true, lowerMem: true, lowerRealloc: true},
		{name: "result in memory", fn: fn(tupleOf(prim(U8), prim(U8))), liftResults: []CoreType{I32}, lowerParams: []CoreType{I32},
			liftMem: true, lowerMem: true},
		{name: "parameters in memory", fn: fn(nil, many...), liftParams: []CoreType{I32}, lowerParams: []CoreType{I32},
			liftMem: true, liftRealloc: true, lowerMem: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mustCompile(t, tt.fn)
			if p, r := s.LiftCore(); !slices.Equal(p, tt.liftParams) || !slices.Equal(r, tt.liftResults) {
				t.Errorf("LiftCore is %v -> %v, expected %v -> %v", p, r, tt.liftParams, tt.liftResults)
			}
			if p, r := s.LowerCore(); !slices.Equal(p, tt.lowerParams) || !slices.Equal(r, tt.lowerResults) {
				t.Errorf("LowerCore is %v -> %v, expected %v -> %v", p, r, tt.lowerParams, tt.lowerResults)
			}
			if m, r := s.LiftNeeds(); m != tt.liftMem || r != tt.liftRealloc {
				t.Errorf("LiftNeeds is %v, %v, expected %v, %v", m, r, tt.liftMem, tt.liftRealloc)
			}
			if m, r := s.LowerNeeds(); m != tt.lowerMem || r != tt.lowerRealloc {
				t.Errorf("LowerNeeds is %v, %v, expected %v, %v", m, r, tt.lowerMem, tt.lowerRealloc)
			}
		})
	}
}
