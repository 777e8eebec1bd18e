package proxywasm

import (
	"encoding/binary"
	"maps"
	"slices"
)

// The guests of these tests are written here, in bytes.

// asm is a module under construction. All its types are of i32.
type asm struct {
	imports  []asmImport
	funcs    []asmFunc
	memory   int // pages at the start; 0 is no memory
	most     int // pages at most; 0 is no limit
	data     map[uint32]string
	start    string // the function that is the start section
	versions []string
}

type asmImport struct {
	module, name string
	params       []byte
	results      []byte
}

// asmFunc is an exported function.
type asmFunc struct {
	name            string
	params, results []byte
	locals          int
	body            []byte // without its end
}

// Types and opcodes.
const (
	tI32        = 0x7f
	tI64        = 0x7e
	opBlock     = 0x02
	opLoop      = 0x03
	opIf        = 0x04
	opEnd       = 0x0b
	opBr        = 0x0c
	opBrIf      = 0x0d
	opCall      = 0x10
	opDrop      = 0x1a
	opGet       = 0x20
	opSet       = 0x21
	opTee       = 0x22
	opLoad      = 0x28
	opStore     = 0x36
	opI32Const  = 0x41
	opI64Const  = 0x42
	opAdd       = 0x6a
	opSub       = 0x6b
	opAnd       = 0x71
	opGtU       = 0x4b
	opTrap      = 0x00
	opVoidBlock = 0x40
)

// n is so many parameters of type i32.
func n(count int) []byte {
	b := make([]byte, count)
	for i := range b {
		b[i] = tI32
	}
	return b
}

func uleb(v int) []byte { return binary.AppendUvarint(nil, uint64(v)) }

// sleb is a signed number of up to 32 bits.
func sleb(v int32) []byte {
	var b []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// join joins opcodes, numbers (as i32.const) and pieces of code.
func join(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int: // an opcode or an immediate
			b = append(b, byte(p))
		case uint32: // a constant
			b = append(append(b, opI32Const), sleb(int32(p))...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func name(s string) []byte { return append(uleb(len(s)), s...) }

func section(id byte, count int, content []byte) []byte {
	content = append(uleb(count), content...)
	return append(append([]byte{id}, uleb(len(content))...), content...)
}

// bytes is the module in the binary format.
func (a *asm) bytes() []byte {
	var types, imports, funcs, exports, code []byte
	typ := func(params, results []byte) []byte {
		return append(append(append([]byte{0x60}, append(uleb(len(params)), params...)...), uleb(len(results))...), results...)
	}
	for i, f := range a.imports {
		types = append(types, typ(f.params, f.results)...)
		imports = append(append(append(imports, name(f.module)...), name(f.name)...), append([]byte{0}, uleb(i)...)...)
	}
	list := a.funcs
	for _, v := range a.versions {
		list = append(list, asmFunc{name: versionPrefix + v})
	}
	start := -1
	for i, f := range list {
		at := len(a.imports) + i
		types = append(types, typ(f.params, f.results)...)
		funcs = append(funcs, uleb(at)...)
		exports = append(append(exports, name(f.name)...), append([]byte{0}, uleb(at)...)...)
		body := []byte{0}
		if f.locals > 0 {
			body = append(append([]byte{1}, uleb(f.locals)...), tI32)
		}
		body = append(append(body, f.body...), opEnd)
		code = append(append(code, uleb(len(body))...), body...)
		if f.name == a.start {
			start = at
		}
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = append(out, section(1, len(a.imports)+len(list), types)...)
	out = append(out, section(2, len(a.imports), imports)...)
	out = append(out, section(3, len(list), funcs)...)
	count := len(list)
	if a.memory > 0 {
		limits := append([]byte{0}, uleb(a.memory)...)
		if a.most > 0 {
			limits = append(append([]byte{1}, uleb(a.memory)...), uleb(a.most)...)
		}
		out = append(out, section(5, 1, limits)...)
		exports = append(append(exports, name("memory")...), 2, 0)
		count++
	}
	out = append(out, section(7, count, exports)...)
	if start >= 0 {
		out = append(append(out, 8, byte(len(uleb(start)))), uleb(start)...)
	}
	out = append(out, section(10, len(list), code)...)
	var data []byte
	for _, at := range slices.Sorted(maps.Keys(a.data)) {
		data = append(append(append(data, 0), join(at, opEnd)...), name(a.data[at])...)
	}
	return append(out, section(11, len(a.data), data)...)
}

// Where the puppet keeps what.
const (
	heapPointer  = 16 // of the allocator
	puppetName   = 32
	puppetArgs   = 64
	heapStart    = 8 << 10
	heapEnd      = 60 << 10
	scratchStart = 64 << 10 // the second page is for tests to write to
	puppetPages  = 2
)

// malloc hands out its memory in turns and never gets any back.
func malloc(name string) asmFunc {
	return asmFunc{name: name, params: n(1), results: n(1), locals: 1, body: join(
		uint32(heapPointer), opLoad, 2, 0, opTee, 1,
		opGet, 0, opAdd, uint32(15), opAdd, uint32(0xfffffff0), opAnd, uint32(heapEnd), opGtU,
		opIf, opVoidBlock, uint32(heapStart), opSet, 1, opEnd,
		uint32(heapPointer), opGet, 1, opGet, 0, opAdd, uint32(15), opAdd, uint32(0xfffffff0), opAnd, opStore, 2, 0,
		opGet, 1,
	)}
}

// puppet is a module whose callbacks are played by the test: each calls the
// foreign function "puppet" with its parameters and returns its status.
func puppet(change ...func(*asm)) []byte {
	a := &asm{
		imports:  []asmImport{{"env", "proxy_call_foreign_function", n(6), n(1)}},
		funcs:    []asmFunc{malloc("malloc")},
		memory:   puppetPages,
		data:     map[uint32]string{puppetName: "puppet", heapPointer: "\x00\x20\x00\x00"},
		versions: []string{"0_2_1"},
	}
	for id, cb := range callbacks {
		a.funcs = append(a.funcs, puppetFunc(callbackID(id), cb.params))
	}
	for _, c := range change {
		c(a)
	}
	return a.bytes()
}

func puppetFunc(id callbackID, params int) asmFunc {
	cb := callbacks[id]
	f := asmFunc{name: cb.name, params: n(params)}
	f.body = join(uint32(puppetArgs), uint32(id), opStore, 2, 0)
	for i := range params {
		f.body = append(f.body, join(uint32(puppetArgs+4+4*i), opGet, i, opStore, 2, 0)...)
	}
	f.body = append(f.body, join(uint32(puppetName), uint32(6), uint32(puppetArgs), uint32(4+4*5), uint32(0), uint32(0), opCall, 0)...)
	if cb.result {
		f.results = n(1)
	} else {
		f.body = append(f.body, opDrop)
	}
	return f
}

// without leaves functions out.
func without(names ...string) func(*asm) {
	return func(a *asm) {
		var kept []asmFunc
	next:
		for _, f := range a.funcs {
			for _, name := range names {
				if f.name == name {
					continue next
				}
			}
			kept = append(kept, f)
		}
		a.funcs = kept
	}
}
