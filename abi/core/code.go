package core

// shape is what immediates follow an opcode (Binary Format, 5.4).
type shape uint8

const (
	invalid shape = iota
	plain
	blockType // block, if, try
	loopHead  // loop
	endOp
	index    // one index
	indices  // two indices
	callOp   // a call's index
	callOp2  // an indirect call's two indices
	memArg   // alignment and offset
	memLane  // and a lane
	lane     // one byte
	i32Const // signed 32 bits
	i64Const // signed 64 bits
	bytes4
	bytes8
	bytes16
	brTable
	selectTypes
	tryTable
	heapType
	heapTypeIndex
	castBranch // br_on_cast: flags, label, two heap types
	globalSet
	tableSet
	prefix
)

// ops are the shapes of the one-byte opcodes; others are the prefixed ones.
var ops = func() (t [256]shape) {
	set := func(s shape, from, to int) {
		for i := from; i <= to; i++ {
			t[i] = s
		}
	}
	set(plain, 0x00, 0x01)             // unreachable, nop
	set(blockType, 0x02, 0x06)         // block, if, try
	t[0x03], t[0x05] = loopHead, plain // loop, else
	set(index, 0x07, 0x09)             // catch, throw, rethrow
	t[0x0a], t[0x0b] = plain, endOp    // throw_ref, end
	set(index, 0x0c, 0x0d)             // br, br_if
	t[0x0e], t[0x0f] = brTable, plain
	t[0x10], t[0x11], t[0x12], t[0x13] = callOp, callOp2, callOp, callOp2
	t[0x14], t[0x15] = callOp, callOp // call_ref, return_call_ref
	t[0x18], t[0x19] = index, plain   // delegate, catch_all
	set(plain, 0x1a, 0x1b)            // drop, select
	t[0x1c], t[0x1f] = selectTypes, tryTable
	set(index, 0x20, 0x25) // local.*, global.get, table.get
	t[0x24], t[0x26] = globalSet, tableSet
	set(memArg, 0x28, 0x3e)
	set(index, 0x3f, 0x40) // memory.size, memory.grow
	t[0x41], t[0x42], t[0x43], t[0x44] = i32Const, i64Const, bytes4, bytes8
	set(plain, 0x45, 0xc4)
	t[0xd0], t[0xd1], t[0xd2] = heapType, plain, index // ref.null, is_null, func
	set(plain, 0xd3, 0xd4)                             // ref.eq, as_non_null
	set(index, 0xd5, 0xd6)                             // br_on_null, br_on_non_null
	set(prefix, 0xfb, 0xfe)
	return t
}()

var gcOps = func() (t [0x1f]shape) {
	for i := range t {
		t[i] = plain
	}
	for _, i := range []int{0, 1, 6, 7, 11, 12, 13, 14, 16} {
		t[i] = index
	}
	for _, i := range []int{2, 3, 4, 5, 8, 9, 10, 17, 18, 19} {
		t[i] = indices
	}
	for i := 20; i <= 23; i++ { // ref.test, ref.cast
		t[i] = heapType
	}
	t[24], t[25] = castBranch, castBranch
	return t
}()

// Operations of the prefix 0xfc that matter here.
const (
	opMemoryInit = 8
	opDataDrop   = 9
	opMemoryCopy = 10
	opMemoryFill = 11
	opTableInit  = 12
	opElemDrop   = 13
	opTableCopy  = 14
	opTableGrow  = 15
	opTableFill  = 17
)

var bulkOps = [...]shape{
	plain, plain, plain, plain, plain, plain, plain, plain, // trunc_sat
	opMemoryInit: indices, opDataDrop: index, opMemoryCopy: indices, opMemoryFill: index,
	opTableInit: indices, opElemDrop: index, opTableCopy: indices,
	opTableGrow: index, 16: index, opTableFill: index,
	18: index,                                  // memory.discard
	19: plain, 20: plain, 21: plain, 22: plain, // wide arithmetic
}

func vectorOp(op uint32) shape {
	switch {
	case op <= 0x0b, op == 0x5c, op == 0x5d:
		return memArg
	case op <= 0x0d: // v128.const, i8x16.shuffle
		return bytes16
	case op >= 0x15 && op <= 0x22:
		return lane
	case op >= 0x54 && op <= 0x5b:
		return memLane
	case op <= 0x113:
		return plain
	}
	return invalid
}

func atomicOp(op uint32) shape {
	switch {
	case op <= 0x02, op >= 0x10 && op <= 0x4e:
		return memArg
	case op == 0x03: // atomic.fence
		return lane
	}
	return invalid
}

// op reads one opcode with its prefix. sub counts only for prefixed ones.
func (r *reader) op() (op byte, sub uint32, s shape) {
	start := r.pos
	op = r.byte()
	s = ops[op]
	if s == prefix {
		sub = r.u32()
		s = invalid
		switch {
		case op == 0xfb && sub < uint32(len(gcOps)):
			s = gcOps[sub]
		case op == 0xfc && sub < uint32(len(bulkOps)):
			s = bulkOps[sub]
		case op == 0xfd:
			s = vectorOp(sub)
		case op == 0xfe:
			s = atomicOp(sub)
		}
	}
	if s == invalid && r.err == nil {
		r.fail(start, "unknown instruction %#x %d", op, sub)
	}
	return op, sub, s
}

// immediates passes over the immediates of one instruction. It returns the
// first index of those shapes that have one.
func (r *reader) immediates(s shape) (first uint32) {
	switch s {
	case blockType, loopHead:
		r.blockType()
	case index, callOp, globalSet, tableSet:
		return r.u32()
	case indices, callOp2:
		first = r.u32()
		r.u32()
	case memArg, memLane:
		if r.u32()&(1<<6) != 0 { // multi-memory: an index follows
			r.u32()
		}
		r.unsigned(64)
		if s == memLane {
			r.byte()
		}
	case lane:
		r.byte()
	case i32Const:
		r.signed(32)
	case i64Const:
		r.signed(64)
	case bytes4:
		r.skip(4)
	case bytes8:
		r.skip(8)
	case bytes16:
		r.skip(16)
	case brTable:
		for n := uint64(r.u32()) + 1; n > 0 && r.err == nil; n-- {
			r.u32()
		}
	case selectTypes:
		for n := r.u32(); n > 0 && r.err == nil; n-- {
			r.valType()
		}
	case tryTable:
		r.tryTable()
	case heapType:
		r.heapType()
	case castBranch:
		r.byte()
		r.u32()
		r.heapType()
		r.heapType()
	}
	return first
}

// blockType reads nothing, a value type, or a type index (5.4.1).
func (r *reader) blockType() {
	if !r.more() {
		r.byte()
		return
	}
	switch b := r.wasm[r.pos]; {
	case b == 0x40:
		r.pos++
	case b&0xc0 == 0x40: // a negative one-byte number
		r.valType()
	default:
		start := r.pos
		if r.signed(33) < 0 {
			r.fail(start, "invalid block type")
		}
	}
}

func (r *reader) tryTable() {
	r.blockType()
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		start := r.pos
		switch kind := r.byte(); kind {
		case 0, 1: // catch, catch_ref: tag and label
			r.u32()
			r.u32()
		case 2, 3: // catch_all, catch_all_ref: label
			r.u32()
		default:
			r.fail(start, "invalid catch clause %#x", kind)
		}
	}
}

// constExpr passes over a constant expression, which has no blocks.
func (m *Module) constExpr(r *reader) {
	for r.err == nil {
		_, _, s := r.op()
		r.immediates(s)
		if s == endOp {
			return
		}
	}
}

// body is a function body. The code lies between locals' end and end.
type body struct {
	start, code, end int // of the locals, of the code, behind the last end
	groups           uint32
	locals           uint32
	calls            int   // recursion may pass through it if there are any
	loops            []int // where a loop's first instruction stands
	dear             []dear
}

// dear is an instruction that takes longer than a turn of a loop: where its
// opcode stands, and either how many turns it takes or, if that is 0, log2 of
// how many of the elements it handles take one.
type dear struct {
	at    int
	turns uint32
	shift byte
}

func (m *Module) bodyEntry(r *reader) {
	size := r.u32()
	if r.err != nil || !r.limit("bytes of a function", uint64(size), maxBody) {
		return
	}
	if int(size) > r.end-r.pos {
		r.fail(r.pos, "function body of %d bytes exceeds its section", size)
		return
	}
	in := &reader{wasm: r.wasm, pos: r.pos, end: r.pos + int(size)}
	b := body{start: in.pos, end: in.end}
	b.groups = in.u32()
	locals := uint64(0)
	for n := b.groups; n > 0 && in.err == nil; n-- {
		locals += uint64(in.u32())
		in.valType()
		in.limit("locals", locals, maxLocals)
	}
	b.locals, b.code = uint32(locals), in.pos
	m.instructions(in, &b)
	if in.err != nil {
		r.err, r.pos = in.err, r.end
		return
	}
	m.bodies = append(m.bodies, b)
	r.pos = b.end
}

// instructions decodes a body's code, notes what metering needs to know of it
// and what it does to the module's state.
func (m *Module) instructions(r *reader, b *body) {
	depth := 1
	for depth > 0 && r.err == nil {
		start := r.pos
		op, sub, s := r.op()
		first := r.immediates(s)
		switch s {
		case blockType, tryTable:
			depth++
		case loopHead:
			depth++
			b.loops = append(b.loops, r.pos)
		case endOp:
			depth--
		case index, plain:
			switch op {
			case 0x18: // delegate closes its try
				depth--
			case 0x08, 0x09, 0x0a: // throw, rethrow, throw_ref
				b.dear = append(b.dear, dear{at: start, turns: throwTurns})
			}
		case callOp, callOp2:
			b.calls++
		case globalSet:
			m.setGlobal(first)
		case tableSet:
			m.Facts.WritesTable = true
		}
		if op == 0xfc {
			m.bulk(b, sub, start)
		}
	}
	if r.err == nil && r.pos != r.end {
		r.fail(r.pos, "%d bytes behind the end of a function", r.end-r.pos)
	}
}

// Costs of instructions in turns of a loop. wazero takes 25 µs for a throw and
// its catch, and less than a nanosecond for 8 bytes or one table element.
const (
	throwTurns = 1_000
	bytesShift = 8
	elemsShift = 5
)

func (m *Module) bulk(b *body, op uint32, at int) {
	switch op {
	case opMemoryInit, opMemoryCopy, opMemoryFill:
		b.dear = append(b.dear, dear{at: at, shift: bytesShift})
	case opTableInit, opTableCopy, opTableFill, opTableGrow:
		b.dear = append(b.dear, dear{at: at, shift: elemsShift})
		m.Facts.WritesTable = true
	case opDataDrop:
		m.Facts.dropsData = true
	case opElemDrop:
		m.Facts.DropsElements = true
	}
}

func (m *Module) setGlobal(i uint32) {
	if uint64(i) >= uint64(len(m.Globals)) {
		return // the engine will say so
	}
	if m.mutated == nil {
		m.mutated = make([]bool, len(m.Globals))
	}
	m.mutated[i] = true
}
