package canon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestLiftTraps lifts a parameter out of a memory of 64 KiB whose first bytes are
// mem, with more bytes at 32.
func TestLiftTraps(t *testing.T) {
	words := func(ws ...uint32) (b []byte) {
		for _, w := range ws {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		return b
	}
	many := make([]*Type, 17)
	for i := range many {
		many[i] = prim(U32)
	}
	str, u8s, u32s := prim(String), listOf(prim(U8)), listOf(prim(U32))
	enum := &Type{Kind: Enum, Cases: make([]Case, 2)}
	tests := []struct {
		name     string
		typ      *Type
		encoding Encoding
		flat     []uint64
		mem, at  string // at the start, and at 32
		want     string // empty for no trap
	}{
		{"char", prim(Char), 0, []uint64{0x110000}, "", "", "invalid `char` bit pattern 0x110000"},
		{"surrogate", prim(Char), 0, []uint64{0xd800}, "", "", "invalid `char`"},
		{"enum", enum, 0, []uint64{2}, "", "", "invalid variant discriminant 2"},
		{"variant", optionOf(prim(U8)), 0, []uint64{2, 0}, "", "", "invalid variant discriminant 2"},
		{"variant in memory", listOf(optionOf(prim(U8))), 0, []uint64{32, 1}, "", "\x02", "invalid variant discriminant 2"},
		{"string at the end", str, 0, []uint64{1<<16 - 2, 2}, "", "", ""},
		{"string past the end", str, 0, []uint64{1<<16 - 1, 2}, "", "", "out of bounds of memory: pointer 0xffff, 2 bytes, memory of 65536"},
		{"empty string at the end", str, 0, []uint64{1 << 16, 0}, "", "", ""},
		{"empty string out of bounds", str, 0, []uint64{0xdeadbeef, 0}, "", "", "string pointer/length out of bounds"},
		{"pointer and length wrap", str, 0, []uint64{0xffffffff, 1 << 27}, "", "", "string pointer/length out of bounds"},
		{"string too long", str, 0, []uint64{0, 1 << 28}, "", "", "string too long: 268435456 bytes"},
		{"utf16 too long", str, UTF16, []uint64{0, 1 << 27}, "", "", "string too long"},
		{"tagged too long", str, Latin1UTF16, []uint64{0, 1<<31 | 1<<27}, "", "", "string too long"},
		{"invalid utf-8", str, 0, []uint64{32, 2}, "", "a\xff", "invalid utf-8: byte 0xff at 1 of 2"},
		{"incomplete utf-8", str, 0, []uint64{32, 1}, "", "\xc3\xa9", "incomplete utf-8 byte sequence"},
		{"utf-8 surrogate", str, 0, []uint64{32, 3}, "", "\xed\xa0\x80", "invalid utf-8"},
		{"overlong utf-8", str, 0, []uint64{32, 2}, "", "\xc0\x80", "invalid utf-8"},
		{"utf16 unaligned", str, UTF16, []uint64{1, 0}, "", "", "unaligned pointer 0x1"},
		{"latin1 unaligned", str, Latin1UTF16, []uint64{1, 0}, "", "", "unaligned pointer"},
		{"tagged unaligned", str, Latin1UTF16, []uint64{1, 1 << 31}, "", "", "unaligned pointer"},
		{"high surrogate at the end", str, UTF16, []uint64{32, 1}, "", "\x3c\xd8\x70\xdf", "unpaired surrogate"},
		{"high surrogate alone", str, UTF16, []uint64{32, 2}, "", "\x3c\xd8a\x00", "unpaired surrogate 0xd83c at code unit 0"},
		{"low surrogate first", str, UTF16, []uint64{32, 2}, "", "\x70\xdf\x3c\xd8", "unpaired surrogate"},
		{"list past the end", u32s, 0, []uint64{1<<16 - 4, 2}, "", "", "list pointer/length out of bounds"},
		{"list unaligned", u32s, 0, []uint64{2, 0}, "", "", "unaligned pointer"},
		{"list too long", u32s, 0, []uint64{0, 1 << 26}, "", "", "list too long"},
		{"list length times size wraps", u32s, 0, []uint64{0, 1 << 30}, "", "", "list too long"},
		{"bytes too long", u8s, 0, []uint64{0, 1 << 28}, "", "", "list too long"},
		{"bytes past the end", u8s, 0, []uint64{1, 1 << 16}, "", "", "out of bounds"},
		{"empty list out of bounds", u8s, 0, []uint64{1<<16 + 1, 0}, "", "", "out of bounds"},
		{"overlapping lists", listOf(listOf(prim(Bool))), 0, []uint64{0, 4}, string(words(0, 65536, 0, 65536, 0, 65536, 0, 65536)), "", "value too large"},
		{"overlapping strings", listOf(str), 0, []uint64{0, 1 << 13}, "", "", ""},
		{"borrow", &Type{Kind: Borrow, Resource: &Resource{}}, 0, []uint64{3}, "", "", "unknown handle index 3"},
		{"own", &Type{Kind: Own, Resource: &Resource{}}, 0, []uint64{0}, "", "", "unknown handle index 0"},
		{"stream", &Type{Kind: Stream}, 0, []uint64{1}, "", "", "not supported"},
		{"parameters unaligned", tupleOf(many...), 0, []uint64{2}, "", "", "unaligned pointer"},
		{"parameters out of bounds", tupleOf(many...), 0, []uint64{1<<16 - 64}, "", "", "parameters pointer out of bounds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sig := mustCompile(t, fn(nil, tt.typ))
			g := newGuest(1 << 16)
			copy(g.mem, tt.mem)
			copy(g.mem[32:], tt.at)
			err := sig.LiftParams(g.call(tt.encoding), tt.flat, make([]Value, 1))
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantErr(t, err, tt.want)
			if _, ok := errors.AsType[*Trap](err); !ok {
				t.Errorf("%T, expected a Trap", err)
			}
		})
	}
}

func TestLiftIgnoresSpareBits(t *testing.T) {
	const ones = 1<<64 - 1
	tests := []struct {
		typ  *Type
		flat []uint64
		want Value
	}{
		{prim(Bool), []uint64{ones &^ 1}, Value{Num: 1}},
		{prim(Bool), []uint64{1 << 32}, Value{}},
		{prim(U8), []uint64{0xf01}, Value{Num: 1}},
		{prim(S8), []uint64{0xffff}, Value{Num: ones}},
		{prim(S16), []uint64{0x8000}, Value{Num: ones &^ 0x7fff}},
		{prim(S32), []uint64{0x80000000}, Value{Num: ones &^ 0x7fffffff}},
		{prim(U32), []uint64{ones}, Value{Num: 1<<32 - 1}},
		{prim(F32), []uint64{0xffffffffffc12345}, Value{Num: canonicalNaN32}},
		{prim(F64), []uint64{0xfff0000000000001}, Value{Num: canonicalNaN64}},
		{prim(F64), []uint64{0xfff0000000000000}, Value{Num: 0xfff0000000000000}},
		{&Type{Kind: Flags, Labels: make([]string, 3)}, []uint64{0xff}, Value{Num: 7}},
		{variantOf(prim(F32), prim(U64)), []uint64{0, 0xffffffff40490fdb}, Value{List: []Value{{Num: 0x40490fdb}}}},
		{variantOf(prim(U16), prim(U64)), []uint64{0, 0xff00ff0004}, Value{List: []Value{{Num: 4}}}},
	}
	for _, tt := range tests {
		got := make([]Value, 1)
		err := mustCompile(t, fn(nil, tt.typ)).LiftParams(newGuest(0).call(UTF8), tt.flat, got)
		if err != nil || !same(tt.typ, got[0], tt.want) {
			t.Errorf("%s of %#x lifts to %+v, %v; expected %+v", tt.typ.Kind, tt.flat, got[0], err, tt.want)
		}
	}
}

func TestLowerRejectsMisfits(t *testing.T) {
	u8 := prim(U8)
	tests := []struct {
		typ   *Type
		value Value
		want  string
	}{
		{u8, Value{Num: 256}, "p0: u8 cannot be 0x100"},
		{prim(S8), Value{Num: 128}, "s8 cannot be"},
		{prim(S32), Value{Num: 1<<32 - 1}, "s32 cannot be"},
		{prim(F32), Value{Num: 1 << 32}, "f32 cannot be"},
		{prim(Char), Value{Num: 0xdfff}, "char cannot be"},
		{&Type{Kind: Enum, Cases: make([]Case, 2)}, Value{Num: 2}, "enum cannot be"},
		{tupleOf(u8, u8), Value{List: make([]Value, 1)}, "tuple of 2 fields has 1"},
		{listOf(tupleOf(u8, u8)), Value{List: make([]Value, 1)}, "tuple of 2 fields has 0"},
		{&Type{Kind: FixedList, Elem: u8, Len: 2}, Value{}, "fixed length 2 has 0"},
		{listOf(&Type{Kind: FixedList, Elem: u8, Len: 2}), Value{List: make([]Value, 1)}, "fixed length 2 has 0"},
		{optionOf(u8), Value{Num: 1}, "option case some carries 1 values, got 0"},
		{optionOf(u8), Value{List: make([]Value, 1)}, "option case none carries 0 values, got 1"},
		{listOf(optionOf(u8)), Value{List: []Value{{Num: 3}}}, "option of 2 cases has case 3"},
		{prim(String), Value{Str: "a\xff"}, "not valid UTF-8"},
		{&Type{Kind: Stream}, Value{}, "not supported"},
	}
	for _, tt := range tests {
		_, err := mustCompile(t, fn(nil, tt.typ)).LowerParams(newGuest(1<<10).call(UTF8), []Value{tt.value}, make([]uint64, 16))
		wantErr(t, err, tt.want)
		if _, ok := errors.AsType[*ValueError](err); !ok {
			t.Errorf("%T, expected a ValueError", err)
		}
	}
	sig := mustCompile(t, fn(u8, u8))
	cx := newGuest(0).call(UTF8)
	for _, err := range []error{
		sig.LiftParams(cx, nil, make([]Value, 1)),
		sig.LiftParams(cx, make([]uint64, 1), nil),
		sig.LiftResults(cx, nil, make([]Value, 1)),
		sig.LiftResults(cx, make([]uint64, 1), nil),
		sig.LowerResults(cx, make([]Value, 1), nil),
		sig.LowerResults(cx, nil, make([]uint64, 1)),
	} {
		wantErr(t, err, "expected")
	}
}

func TestReallocIsChecked(t *testing.T) {
	failed := errors.New("unreachable")
	tests := []struct {
		name string
		typ  *Type
		p    uint32
		err  error
		want string
	}{
		{"out of bounds even when empty", listOf(prim(U8)), 1<<32 - 1, nil, "result of realloc out of bounds of memory"},
		{"alignment before bounds", listOf(prim(U32)), 1<<32 - 1, nil, "unaligned pointer"},
		{"beyond the end", listOf(prim(U32)), 1<<32 - 4, nil, "out of bounds"},
		{"failure", prim(String), 0, failed, "unreachable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cx := newGuest(1 << 10).call(UTF8)
			cx.Options.Realloc = func(_, _, _, _ uint32) (uint32, error) { return tt.p, tt.err }
			_, err := mustCompile(t, fn(nil, tt.typ)).LowerParams(cx, []Value{{}}, make([]uint64, 2))
			wantErr(t, err, tt.want)
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("%v hides %v", err, tt.err)
			}
		})
	}
}

// TestChangedWhileLowered has realloc change the string that is being lowered, as
// a guest can when a host hands back what it lifted from it.
func TestChangedWhileLowered(t *testing.T) {
	sig := mustCompile(t, fn(prim(String), prim(String)))
	for _, to := range []Encoding{UTF8, UTF16, Latin1UTF16} {
		for source := range uint64(4) {
			g := newGuest(64)
			copy(g.mem[32:], "ééé")
			args := make([]Value, 1)
			if err := sig.LiftParams(g.call(UTF8), []uint64{32, 6, 0}, args); err != nil {
				t.Fatal(err)
			}
			args[0].Num = source
			cx := g.call(to)
			cx.Options.Realloc = func(_, _, _, size uint32) (uint32, error) {
				copy(g.mem[32:], "abcdef")
				return (64 - size) &^ 1, nil
			}
			if err := sig.LowerResults(cx, args, []uint64{32, 6, 0}); err != nil {
				if _, ok := errors.AsType[*Trap](err); !ok || !strings.Contains(err.Error(), "memory") {
					t.Errorf("encoding %d from %d: %v", to, source, err)
				}
			}
		}
	}
}

// TestCopyOutlivesMemory checks that with Copy a lifted value no longer depends on
// the memory it was lifted from.
func TestCopyOutlivesMemory(t *testing.T) {
	typ := tupleOf(prim(String), listOf(prim(U8)))
	sig := mustCompile(t, fn(nil, typ))
	for _, e := range []Encoding{UTF8, Latin1UTF16} {
		for _, copied := range []bool{false, true} {
			g := newGuest(64)
			copy(g.mem, "text")
			cx := g.call(e)
			cx.Copy = copied
			args := make([]Value, 1)
			if err := sig.LiftParams(cx, []uint64{0, 4, 0, 4}, args); err != nil {
				t.Fatal(err)
			}
			clear(g.mem)
			got := fmt.Sprint(args[0].List[0].Str, args[0].List[1].Str)
			if want := map[bool]string{false: "\x00\x00\x00\x00\x00\x00\x00\x00", true: "texttext"}[copied]; got != want {
				t.Errorf("copy %v: %q, expected %q", copied, got, want)
			}
		}
	}
}
