package core

import "encoding/binary"

// Interval is how many turns of loops and calls a metered module runs between
// two tests of its stop global. A turn costs about a nanosecond, so that a test
// comes every 10 to 100 µs and costs about a hundredth of that.
const Interval = 10_000

// meter generates the code that makes a module give way. A counter global goes
// down by one at each loop header and at each entry of a function that calls;
// below zero a function of its own, the tick, is called. Short functions that
// neither loop nor call are counted through their callers. A throw
// counts as many turns, and a bulk operation by its length.
type meter struct {
	counter, stop int // global indices
	tickFunc      int // function index
	interval      int32
	ownMemory     bool
}

func newMeter(m *Module, interval int32) *meter {
	if interval == 0 {
		interval = Interval
	}
	return &meter{
		interval:  interval,
		counter:   len(m.Globals),
		stop:      len(m.Globals) + 1,
		tickFunc:  len(m.Funcs),
		ownMemory: len(m.Memories) == 0,
	}
}

// Code that does much between two places where turns are counted counts more of
// them there: one for each turnBytes of the function and each turnCalls of its
// calls, as a function of up to freeBytes that neither loops nor calls counts
// nothing itself.
const (
	turnBytes = 1024
	turnCalls = 32
	freeBytes = 128
)

func (b *body) turns() int32 {
	return int32(1 + (b.end-b.code)/turnBytes + b.calls/turnCalls)
}

// countsEntry reports whether the function counts when it is entered, beside in
// its loops.
func (b *body) countsEntry() bool { return b.calls > 0 || b.end-b.code > freeBytes }

func (b *body) metered() bool { return b.countsEntry() || len(b.loops)+len(b.dear) > 0 }

// Opcodes of the generated code.
const (
	opUnreachable = 0x00
	opIf          = 0x04
	opEnd         = 0x0b
	opCall        = 0x10
	opDrop        = 0x1a
	opLocalGet    = 0x20
	opLocalTee    = 0x22
	opGlobalGet   = 0x23
	opGlobalSet   = 0x24
	opMemorySize  = 0x3f
	opMemoryGrow  = 0x40
	opI32Const    = 0x41
	opI32LtS      = 0x48
	opI32Sub      = 0x6b
	opI32ShrU     = 0x76
	noBlockType   = 0x40
)

func withIndex(out []byte, op byte, i uint64) []byte {
	return binary.AppendUvarint(append(out, op), i)
}

// globals are the definitions of the two globals.
func (mt *meter) globals() []byte {
	out := []byte{I32[0], 1}
	out = append(appendI32Const(out, mt.interval), opEnd)
	return append(out, I32[0], 1, opI32Const, 0, opEnd)
}

// charge counts turns. It leaves the operand stack as it was; scratch is a local
// of its own.
func (mt *meter) charge(out []byte, scratch uint32, turns int32) []byte {
	out = withIndex(out, opGlobalGet, uint64(mt.counter))
	out = appendI32Const(out, turns)
	return mt.count(out, scratch)
}

// chargeLength counts a bulk operation whose length is on top of the operand
// stack. A length of 32 bits shifted right by 5 or more cannot overflow the
// counter, which is not negative before.
func (mt *meter) chargeLength(out []byte, scratch uint32, shift byte) []byte {
	out = withIndex(out, opLocalTee, uint64(scratch))
	out = withIndex(out, opGlobalGet, uint64(mt.counter))
	out = withIndex(out, opLocalGet, uint64(scratch))
	out = append(out, opI32Const, shift, opI32ShrU)
	return mt.count(out, scratch)
}

// count subtracts the top of the operand stack from the counter below it, and
// calls the tick if the counter falls below zero.
func (mt *meter) count(out []byte, scratch uint32) []byte {
	out = append(out, opI32Sub)
	out = withIndex(out, opLocalTee, uint64(scratch))
	out = withIndex(out, opGlobalSet, uint64(mt.counter))
	out = withIndex(out, opLocalGet, uint64(scratch))
	out = append(out, opI32Const, 0, opI32LtS, opIf, noBlockType)
	out = withIndex(out, opCall, uint64(mt.tickFunc))
	return append(out, opEnd)
}

// TickPages is the size that a tick asks memory to grow to. No memory may have it,
// so the answer is always no, but the memory's allocator is asked, if the module has
// declared no maximum: it can tell that guests run, and have one wait for others.
const TickPages = 65535

// tick is the body of the tick: a memory.grow, which enters Go and so lets its
// scheduler and garbage collector in, and the test of the stop global.
func (mt *meter) tick(out []byte) []byte {
	out = append(out, 0)
	out = append(appendI32Const(out, TickPages), opMemorySize, 0, opI32Sub, opMemoryGrow, 0, opDrop)
	out = withIndex(out, opGlobalGet, uint64(mt.stop))
	out = append(out, opIf, noBlockType, opUnreachable, opEnd)
	out = appendI32Const(out, mt.interval)
	out = withIndex(out, opGlobalSet, uint64(mt.counter))
	return append(out, opEnd)
}

// appendI32Const appends an i32.const of a number that is not negative.
func appendI32Const(out []byte, v int32) []byte {
	out = append(out, opI32Const)
	for ; v > 0x3f; v >>= 7 {
		out = append(out, byte(v)|0x80)
	}
	return append(out, byte(v))
}
