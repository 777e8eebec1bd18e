package validate

import (
	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

// Limits of flattened signatures (CanonicalABI, "Flattening").
const (
	maxFlatParams      = 16
	maxFlatAsyncParams = 4
	maxFlatResults     = 1
)

// facts is what the rules ask of a value type, worked out when it is defined.
type facts struct {
	extent
	borrow      bool           // contains a borrow
	pointers    bool           // contains a list or string
	size, align uint64         // with 64-bit pointers, saturating at maxValueSize
	flat        []core.ValType // with 32-bit pointers; cut behind maxFlatParams+1
}

// maxValueSize is what the size of every value type must be less than
// (CanonicalABI, "Element Size").
const maxValueSize = 1 << 28

var (
	i32Type = []core.ValType{core.I32}
	i64Type = []core.ValType{core.I64}
	f32Type = []core.ValType{core.F32}
	f64Type = []core.ValType{core.F64}
	pointer = []core.ValType{core.I32, core.I32}
)

func scalar(size uint64, flat []core.ValType) facts {
	return facts{size: size, align: size, flat: flat, extent: extent{nodes: 1}}
}

// listFacts are those of a string or list, a pointer and a length.
var listFacts = facts{size: 16, align: 8, flat: pointer, pointers: true, extent: extent{nodes: 1}}

var primFacts = map[binary.Prim]facts{
	binary.PrimBool:         scalar(1, i32Type),
	binary.PrimS8:           scalar(1, i32Type),
	binary.PrimU8:           scalar(1, i32Type),
	binary.PrimS16:          scalar(2, i32Type),
	binary.PrimU16:          scalar(2, i32Type),
	binary.PrimS32:          scalar(4, i32Type),
	binary.PrimU32:          scalar(4, i32Type),
	binary.PrimS64:          scalar(8, i64Type),
	binary.PrimU64:          scalar(8, i64Type),
	binary.PrimF32:          scalar(4, f32Type),
	binary.PrimF64:          scalar(8, f64Type),
	binary.PrimChar:         scalar(4, i32Type),
	binary.PrimErrorContext: scalar(4, i32Type),
	binary.PrimString:       listFacts,
}

// facts of no type are those of nothing: no bytes, no core values.
func (t valType) facts() facts {
	switch {
	case t.typ != nil:
		return t.typ.val.facts
	case t.prim != binary.PrimNone:
		return primFacts[t.prim]
	}
	return facts{align: 1}
}

// within adds the extent of a part to that of a whole.
func (x *extent) within(part extent) {
	x.depth = max(x.depth, part.depth+1)
	x.nodes = min(x.nodes+part.nodes, maxNodes+1)
	x.resources = x.resources || part.resources
}

// contains is what a type takes over from any of its parts.
func (f *facts) contains(part facts) {
	f.within(part.extent)
	f.borrow = f.borrow || part.borrow
	f.pointers = f.pointers || part.pointers
}

// factsOf works out the facts of a type from those of its parts.
func factsOf(t *defType) facts {
	switch t.kind {
	case binary.DefPrim:
		return primFacts[t.prim]
	case binary.DefRecord, binary.DefTuple:
		return recordFacts(t.fields)
	case binary.DefVariant:
		cases := make([]valType, len(t.fields))
		for i, c := range t.fields {
			cases[i] = c.typ
		}
		return variantFacts(cases...)
	case binary.DefEnum:
		return variantFacts(make([]valType, len(t.labels))...)
	case binary.DefOption:
		return variantFacts(valType{}, t.elem)
	case binary.DefResult:
		return variantFacts(t.elem, t.err)
	case binary.DefFlags:
		size := discriminantSize(1 << min(len(t.labels), 17)) // numbers all sets
		return scalar(size, i32Type)
	case binary.DefFixedList:
		return fixedListFacts(t.elem.facts(), t.length)
	case binary.DefList, binary.DefMap:
		f := listFacts
		f.contains(t.key.facts())
		f.contains(t.elem.facts())
		return f
	default: // own, borrow, stream, future: a handle
		f := scalar(4, i32Type)
		elem := t.elem.facts()
		f.within(elem.extent)
		f.borrow = t.kind == binary.DefBorrow || elem.borrow
		f.resources = f.resources || t.res != nil
		return f
	}
}

func recordFacts(fields []field) facts {
	f := facts{align: 1, extent: extent{nodes: 1}}
	for _, field := range fields {
		part := field.typ.facts()
		f.contains(part)
		f.size = min(alignTo(f.size, part.align)+part.size, maxValueSize)
		f.align = max(f.align, part.align)
		f.flat = appendFlat(f.flat, part.flat)
	}
	f.size = alignTo(f.size, f.align)
	return f
}

func variantFacts(cases ...valType) facts {
	disc := discriminantSize(len(cases))
	f := facts{align: disc, extent: extent{nodes: 1}}
	var payload uint64
	var flat []core.ValType
	for _, c := range cases {
		part := c.facts()
		f.contains(part)
		f.align = max(f.align, part.align)
		payload = max(payload, part.size)
		for i, t := range part.flat {
			if i < len(flat) {
				flat[i] = join(flat[i], t)
			} else {
				flat = append(flat, t)
			}
		}
	}
	f.size = alignTo(min(alignTo(disc, f.align)+payload, maxValueSize), f.align)
	f.flat = appendFlat(i32Type[:1:1], flat)
	return f
}

func fixedListFacts(elem facts, length uint32) facts {
	f := facts{align: elem.align, extent: extent{nodes: 1}}
	f.contains(elem)
	f.size = min(elem.size*uint64(length), maxValueSize) // at most 2^28 * 2^32
	for i := uint32(0); i < length && len(f.flat) <= maxFlatParams; i++ {
		f.flat = appendFlat(f.flat, elem.flat)
	}
	return f
}

// discriminantSize is the bytes that number n cases.
func discriminantSize(n int) uint64 {
	switch {
	case n <= 1<<8:
		return 1
	case n <= 1<<16:
		return 2
	}
	return 4
}

func alignTo(n, align uint64) uint64 { return (n + align - 1) / align * align }

// appendFlat concatenates, as far as anybody wants to know.
func appendFlat(a, b []core.ValType) []core.ValType {
	n := max(0, min(len(b), maxFlatParams+1-len(a)))
	return append(a, b[:n]...)
}

// join is the core type that can carry either of two.
func join(a, b core.ValType) core.ValType {
	switch {
	case a == b:
		return a
	case a == core.I32 && b == core.F32, a == core.F32 && b == core.I32:
		return core.I32
	}
	return core.I64
}

// flatten is the concatenation of the core types of values.
func flatten(fields []field) []core.ValType {
	var flat []core.ValType
	for _, f := range fields {
		flat = appendFlat(flat, f.typ.facts().flat)
	}
	return flat
}
