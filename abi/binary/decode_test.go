package binary

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

const preamble = "\x00asm\x0d\x00\x01\x00"

// section is a section of a component: its id and content.
func section(id byte, content ...string) string {
	body := strings.Join(content, "")
	return string(id) + leb(uint32(len(body))) + body
}

func leb(n uint32) string {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return string(append(b, byte(n)))
}

// name is a length-prefixed string.
func name(s string) string { return leb(uint32(len(s))) + s }

func ptr[T any](v T) *T { return &v }

var (
	stringType = ValType{Prim: PrimString}
	u32Type    = ValType{Prim: PrimU32}
)

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name, wasm string
		want       []Def
	}{
		{"empty", "", nil},
		{"custom section", section(0, name("x"), "anything"), nil},
		{"core module", section(1, modulePreamble), []Def{CoreModule{Bytes: []byte(modulePreamble)}}},
		{"core instances", section(2, "\x02", "\x00\x03\x01"+name("env")+"\x12\x02", "\x01\x01"+name("m")+"\x02\x05"), []Def{
			CoreInstance{Module: 3, Args: []CoreArg{{"env", 2}}},
			CoreInstance{Inline: true, Bag: []CoreExport{{"m", SortIdx{SortCoreMemory, 5}}}},
		}},
		{"core func type", section(3, "\x01\x60\x02\x7f\x7e\x01\x7d"), []Def{
			CoreType{Count: 1, Func: &CoreFuncType{Params: []CoreValType{"\x7f", "\x7e"}, Results: []CoreValType{"\x7d"}}},
		}},
		{"core group and subtype", section(3, "\x02", "\x4e\x02\x5e\x78\x00\x5f\x01\x63\x00\x01", "\x00\x50\x00\x60\x00\x00"), []Def{
			CoreType{Count: 2, Raw: []byte("\x4e\x02\x5e\x78\x00\x5f\x01\x63\x00\x01")},
			CoreType{Count: 1, Func: &CoreFuncType{}},
		}},
		{"module type", section(3, "\x01\x50\x04", "\x01\x60\x00\x00", "\x02\x10\x01\x01\x07",
			"\x00"+name("a")+name("b")+"\x02\x0d\x01\x02\x00", "\x03"+name("g")+"\x03\x7f\x01"), []Def{
			CoreType{Count: 1, Module: &CoreModuleType{Decls: []CoreModuleDecl{
				{Type: &CoreType{Count: 1, Func: &CoreFuncType{}}},
				{Alias: &Alias{Kind: AliasOuter, Sort: SortCoreType, Count: 1, Idx: 7}},
				{Import: &CoreImport{"a", "b", CoreExternType{Sort: SortCoreMemory, Min: 1, Max: ptr(uint64(2)), Is64: true, PageLog2: ptr(uint32(0))}}},
				{Export: &CoreExportDecl{"g", CoreExternType{Sort: SortCoreGlobal, Elem: "\x7f", Mut: true}}},
			}}},
		}},
		{"nested component", section(4, preamble, section(9, "\x01\x02\x03\x04\x01")), []Def{
			&Component{Defs: []Def{Start{Func: 1, Args: []uint32{3, 4}, Results: 1}}},
		}},
		{"instances", section(5, "\x02", "\x00\x01\x01"+name("a")+"\x05\x02", "\x01\x01\x00"+name("b")+"\x00\x11\x03"), []Def{
			Instance{Component: 1, Args: []Arg{{"a", SortIdx{SortInstance, 2}}}},
			Instance{Inline: true, Bag: []InlineExport{{Name{Name: "b"}, SortIdx{SortCoreModule, 3}}}},
		}},
		{"aliases", section(6, "\x03", "\x01\x00\x02"+name("f"), "\x00\x02\x01\x03"+name("m"), "\x03\x02\x01\x04"), []Def{
			Alias{Kind: AliasExport, Sort: SortFunc, Instance: 2, Name: "f"},
			Alias{Kind: AliasCoreExport, Sort: SortCoreMemory, Instance: 3, Name: "m"},
			Alias{Kind: AliasOuter, Sort: SortType, Count: 1, Idx: 4},
		}},
		{"value types", section(7, "\x07", "\x72\x01"+name("x")+"\x73", "\x71\x01"+name("c")+"\x00\x00", "\x67\x79\x03",
			"\x63\x73\x01", "\x6a\x01\x73\x00", "\x68\x02", "\x66\x00"), []Def{
			Type{Val: &DefValType{Kind: DefRecord, Fields: []LabelType{{"x", &stringType}}}},
			Type{Val: &DefValType{Kind: DefVariant, Fields: []LabelType{{"c", nil}}}},
			Type{Val: &DefValType{Kind: DefFixedList, Elem: &u32Type, Len: 3}},
			Type{Val: &DefValType{Kind: DefMap, Key: &stringType, Elem: &ValType{Idx: 1}}},
			Type{Val: &DefValType{Kind: DefResult, Elem: &stringType}},
			Type{Val: &DefValType{Kind: DefBorrow, Resource: 2}},
			Type{Val: &DefValType{Kind: DefStream}},
		}},
		{"other types", section(7, "\x04", "\x43\x01"+name("p")+"\x79\x00\x73", "\x3f\x7f\x01\x05",
			"\x41\x01\x03\x00"+name("r")+"\x03\x01", "\x42\x01\x04\x00"+name("t")+"\x03\x00\x02"), []Def{
			Type{Func: &FuncType{Async: true, Params: []LabelType{{"p", &u32Type}}, Result: &stringType}},
			Type{Resource: &ResourceType{Rep: "\x7f", HasDtor: true, Dtor: 5}},
			Type{Component: &ComponentType{Decls: []Def{Import{Name{Name: "r"}, ExternType{Sort: SortType, SubResource: true}}}}},
			Type{Instance: &InstanceType{Decls: []Def{Export{Name: Name{Name: "t"}, Type: &ExternType{Sort: SortType, Idx: 2}}}}},
		}},
		{"canons", section(8, "\x05", "\x00\x00\x01\x03\x01\x03\x00\x07\x02\x04", "\x01\x00\x05\x00", "\x09\x00\x73\x00",
			"\x0a\x7f\x01", "\x20\x01\x02"), []Def{
			Canon{Kind: CanonLift, Func: 1, Opts: []CanonOpt{{Kind: OptUTF16}, {OptMemory, 0}, {OptCallback, 2}}, Type: 4},
			Canon{Kind: CanonLower, Func: 5},
			Canon{Kind: CanonTaskReturn, Result: &stringType},
			Canon{Kind: CanonContextGet, ValType: "\x7f", Slot: 1},
			Canon{Kind: CanonWaitableSetWait, Cancel: true, Memory: 2},
		}},
		{"attributes", section(10, "\x01\x02"+name("a")+"\x02\x00"+name("b:c/d")+"\x02"+name("")+"\x05\x01"), []Def{
			Import{Name{Name: "a", Implements: "b:c/d", Attributes: 2, Has: AttrImplements | AttrExternalID}, ExternType{Sort: SortInstance, Idx: 1}},
		}},
		{"export", section(11, "\x01\x01"+name("e")+"\x01\x02\x01\x01\x03"), []Def{
			Export{Name{Name: "e"}, SortIdx{SortFunc, 2}, &ExternType{Sort: SortFunc, Idx: 3}},
		}},
		{"values", section(10, "\x01\x00"+name("v")+"\x02\x01\x73") + section(12, "\x01\x79\x01\x05"), []Def{
			Import{Name{Name: "v"}, ExternType{Sort: SortValue, Value: &ValueBound{Type: stringType}}},
			Value{Type: u32Type, Bytes: []byte{5}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Decode([]byte(preamble + tt.wasm))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(c.Defs, tt.want) {
				t.Errorf("got  %#v\nwant %#v", c.Defs, tt.want)
			}
		})
	}
}

func TestDecodeOther(t *testing.T) {
	for wasm, want := range map[string]error{
		"":                         ErrNotWasm,
		"#!/bin/sh\n":              ErrNotWasm,
		"\x00asm\x0d":              ErrNotWasm,
		modulePreamble:             ErrCoreModule,
		"\x00asm\x0c\x00\x01\x00":  ErrVersion,
		"\x00asm\x0d\x00\x02\x00":  ErrVersion,
		"\x00asm\x02\x00\x00\x00":  ErrVersion,
		preamble + "\x0d\x00":      nil,
		preamble + section(4, "x"): nil,
	} {
		_, err := Decode([]byte(wasm))
		var malformed *Error
		if want != nil && !errors.Is(err, want) || want == nil && !errors.As(err, &malformed) {
			t.Errorf("%q: %v", wasm, err)
		}
	}
}

func TestDecodeMalformed(t *testing.T) {
	nest := func(n int, wrap func(string) string, s string) string {
		for range n {
			s = wrap(s)
		}
		return s
	}
	for _, tt := range []struct{ name, wasm, want string }{
		{"section size lies", "\x07\x05\x00", "0x9: the type section claims 5 bytes, but only 1 are left"},
		{"count lies", section(7, "\xff\xff\xff\xff\x0f\x73"), "4294967295 types claimed, but only 1 bytes are left"},
		{"over-long number", section(7, "\x80\x80\x80\x80\x80\x00"), "does not fit 32 bits"},
		{"bits past 32", section(7, "\x80\x80\x80\x80\x10"), "does not fit 32 bits"},
		{"bits past 33", section(7, "\x01\x70\x80\x80\x80\x80\x20"), "does not fit 33 bits"},
		{"negative type index", section(7, "\x01\x70\x40"), "expected a primitive value type or a type index, found 0x40"},
		{"trailing bytes", section(7, "\x00\x00"), "1 bytes are left after the last definition"},
		{"name not UTF-8", section(10, "\x01\x00"+name("\xff")), "is not valid UTF-8"},
		{"name longer than input", section(10, "\x01\x00\x05ab"), "claims 5 bytes, but only 2 are left"},
		{"name too long", section(10, "\x01\x00"+name(strings.Repeat("a", maxName+1))), "longer than"},
		{"attribute twice", section(10, "\x01\x02"+name("a")+"\x02\x02"+name("")+"\x02"+name("")), "given twice"},
		{"no heap type", section(3, "\x01\x60\x01\x63\x42\x00"), "expected a heap type"},
		{"table of numbers", section(3, "\x01\x50\x01\x03"+name("t")+"\x01\x7f\x00\x01"), "expected a reference type"},
		{"outer alias of a func", section(6, "\x01\x01\x02\x00\x00"), "an outer alias must be of"},
		{"too many items", section(7, leb(maxItems+1), strings.Repeat("\x73", maxItems+1)), "more than 131072"},
		{"nested components", nest(maxDepth, func(s string) string { return section(4, preamble, s) }, ""), "nested more than 100 deep"},
		{"nested types", section(7, "\x01"+nest(maxDepth, func(s string) string { return "\x42\x01\x01" + s }, "\x73")), "nested more than 100 deep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode([]byte(preamble + tt.wasm))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzDecode looks for panics and for memory out of proportion. Its seeds are
// the components of TestDecode.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(preamble))
	f.Add([]byte(preamble + section(2, "\x01\x00\x03\x01"+name("env")+"\x12\x02")))
	f.Add([]byte(preamble + section(3, "\x01\x50\x02\x01\x60\x00\x00\x03"+name("g")+"\x03\x7f\x01")))
	f.Add([]byte(preamble + section(4, preamble, section(9, "\x01\x02\x03\x04\x01"))))
	f.Add([]byte(preamble + section(6, "\x02\x01\x00\x02"+name("f")+"\x03\x02\x01\x04")))
	f.Add([]byte(preamble + section(7, "\x02\x41\x01\x03\x00"+name("r")+"\x03\x01\x72\x01"+name("x")+"\x73")))
	f.Add([]byte(preamble + section(8, "\x02\x00\x00\x01\x03\x01\x03\x00\x07\x02\x04\x20\x01\x02")))
	f.Add([]byte(preamble + section(10, "\x01\x02"+name("a")+"\x01\x00"+name("b:c/d")+"\x05\x01")))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		c, err := Decode(wasm)
		if (c == nil) == (err == nil) {
			t.Fatalf("component %v, error %v", c, err)
		}
	})
}
