package core

// Abstract heap types in their one-byte encodings, from exact bottom types to
// cont (Binary Format, 5.3.3).
func abstractHeap(b byte) bool { return b >= 0x68 && b <= 0x75 }

const (
	refNonNull = 0x64
	refNull    = 0x63
)

// valType reads a value type.
func (r *reader) valType() ValType {
	start := r.pos
	b := r.byte()
	switch {
	case b >= 0x7b && b <= 0x7f, abstractHeap(b):
		return ValType(r.wasm[start:r.pos])
	case b == refNull || b == refNonNull:
		heap := r.pos
		abstract := r.heapType()
		if r.err != nil {
			return ""
		}
		if b == refNull && abstract {
			return ValType(r.wasm[heap:r.pos])
		}
		return ValType(r.wasm[start:r.pos])
	}
	r.fail(start, "invalid value type %#x", b)
	return ""
}

// heapType reads a heap type and reports whether it is an abstract one.
func (r *reader) heapType() (abstract bool) {
	start := r.pos
	if r.more() && abstractHeap(r.wasm[r.pos]) {
		r.pos++
		return true
	}
	if r.signed(33) < 0 {
		r.fail(start, "invalid heap type")
	}
	return false
}

func (r *reader) valTypes(what string) []ValType {
	n := r.u32()
	if n == 0 || !r.limit(what, uint64(n), maxParams) {
		return nil
	}
	ts := make([]ValType, 0, n)
	for range n {
		ts = append(ts, r.valType())
	}
	return ts
}

// limits reads the limits of a table or memory. The bits of the flag byte are
// has-max, shared (threads), 64-bit (memory64) and custom page size.
func (r *reader) limits(memory bool) Limits {
	start := r.pos
	flags := r.byte()
	if flags > 0xf || flags&8 != 0 && !memory {
		r.fail(start, "invalid limits flags %#x", flags)
		return Limits{}
	}
	l := Limits{HasMax: flags&1 != 0, Shared: flags&2 != 0, Is64: flags&4 != 0}
	bits := uint(32)
	if l.Is64 {
		bits = 64
	}
	l.Min = r.unsigned(bits)
	if l.HasMax {
		l.Max = r.unsigned(bits)
	}
	if memory {
		l.PageLog2 = 16
	}
	if flags&8 != 0 {
		at := r.pos
		log := r.u32()
		if log != 0 && log != 16 {
			r.fail(at, "page size 2^%d is neither 1 nor 65536", log)
		}
		l.PageLog2 = uint8(log)
	}
	return l
}

func (r *reader) tableType() Table {
	start := r.pos
	t := Table{Elem: r.valType()}
	if r.err == nil && (t.Elem.Numeric() || t.Elem == V128) {
		r.fail(start, "table of a type that is no reference")
	}
	t.Limits = r.limits(false)
	return t
}

func (r *reader) globalType() Global {
	g := Global{Val: r.valType()}
	start := r.pos
	switch r.byte() {
	case 0:
	case 1:
		g.Mutable = true
	default:
		r.fail(start, "mutability is neither 0 nor 1")
	}
	return g
}

// tagType reads a tag and returns its type index.
func (r *reader) tagType() uint32 {
	start := r.pos
	if r.byte() != 0 {
		r.fail(start, "tag attribute is not 0")
	}
	return r.u32()
}

// recType reads an element of the type section, which may be a group of types,
// and appends them to m.Types.
func (r *reader) recType(m *Module) {
	if r.more() && r.wasm[r.pos] == 0x4e {
		r.pos++
		for n := r.u32(); n > 0 && r.err == nil; n-- {
			r.subType(m)
		}
		return
	}
	r.subType(m)
}

func (r *reader) subType(m *Module) {
	start := r.pos
	form := r.byte()
	if form == 0x50 || form == 0x4f { // sub, sub final: supertypes
		for n := r.u32(); n > 0 && r.err == nil; n-- {
			r.u32()
		}
		start = r.pos
		form = r.byte()
	}
	var ft *FuncType
	switch form {
	case 0x60:
		ft = &FuncType{Params: r.valTypes("parameters"), Results: r.valTypes("results")}
	case 0x5f: // struct
		for n := r.u32(); n > 0 && r.err == nil; n-- {
			r.fieldType()
		}
	case 0x5e: // array
		r.fieldType()
	default:
		r.fail(start, "invalid type form %#x", form)
	}
	m.Types = append(m.Types, ft)
}

func (r *reader) fieldType() {
	if r.more() && (r.wasm[r.pos] == 0x78 || r.wasm[r.pos] == 0x77) {
		r.pos++
	} else {
		r.valType()
	}
	start := r.pos
	if r.byte() > 1 {
		r.fail(start, "mutability is neither 0 nor 1")
	}
}
