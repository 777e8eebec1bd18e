package canon

import (
	"fmt"
	"sync"
)

// CoreType is a core value type of a flattened signature.
type CoreType uint8

// The core types flattening yields.
const (
	I32 CoreType = iota
	I64
	CoreF32
	CoreF64
)

// Limits of the Canonical ABI (CanonicalABI.md, Flattening, Element Size and
// Table State).
const (
	MaxFlatParams       = 16
	MaxFlatResults      = 1
	MaxStringByteLength = 1<<28 - 1
	MaxListByteLength   = 1<<28 - 1
	MaxTableLength      = 1<<28 - 1

	maxElemSize  = 1<<28 - 1
	maxTypeDepth = 100
	maxFlags     = 32
)

// Kinds that exist only once a type is laid out.
const (
	enumKind  Kind = 0x80 + iota // a variant none of whose cases carries anything
	bytesKind                    // list<u8>
)

// layout is a type compiled for load, store, lift and lower: sizes, offsets and
// flat positions are worked out, and specialised types are despecialised. What
// most calls read comes first, in one line of the processor's cache: between two
// exchanges others use the cache.
type layout struct {
	kind   Kind
	plain  bool // one core value: a scalar or a handle to a resource: needs no memory
	memory bool // holds a list or a string
	spills bool
	height uint8  // how deep types nest in it
	disc   uint8  // variant: size of the discriminant
	size   uint32 // elem_size
	align  uint32
	// length is the number of cases of a variant or enum, of labels of flags and
	// of elements of a fixed-length list.
	length   uint32
	payload  uint32    // variant: offset of the payload
	resource *Resource // own, borrow
	cases    []*layout // variant; nil where a case carries nothing
	elem     *layout   // list, fixed-length list

	fields []slot // record
	// flat is the flattened type, nil when it would be longer than
	// MaxFlatParams: such a type only ever travels in memory.
	flat []CoreType
	typ  *Type // streams, futures, and for messages
}

// slot is a field or parameter: where it is in memory and in the flat values.
type slot struct {
	*layout
	index  uint32
	offset uint32
	name   string
}

// layouts guards every Type's layout. Compile is the only reader and writer;
// calls reach layouts through the Signature.
var layouts sync.Mutex

// layOut returns t's layout, working it out the first time.
func layOut(t *Type, depth int) (*layout, error) {
	if t == nil {
		return nil, fmt.Errorf("type missing")
	}
	l := t.layout
	if l == nil && depth <= maxTypeDepth {
		var err error
		if l, err = newLayout(t, depth); err != nil {
			return nil, err
		}
		l.typ = t
	}
	if l == nil || depth+int(l.height) > maxTypeDepth {
		return nil, fmt.Errorf("type nested deeper than %d", maxTypeDepth)
	}
	t.layout = l
	return l, nil
}

func newLayout(t *Type, depth int) (*layout, error) {
	switch t.Kind {
	case Bool, S8, U8:
		return scalarLayout(t.Kind, 1, I32), nil
	case S16, U16:
		return scalarLayout(t.Kind, 2, I32), nil
	case S32, U32, Char:
		return scalarLayout(t.Kind, 4, I32), nil
	case S64, U64:
		return scalarLayout(t.Kind, 8, I64), nil
	case F32:
		return scalarLayout(t.Kind, 4, CoreF32), nil
	case F64:
		return scalarLayout(t.Kind, 8, CoreF64), nil
	case String:
		return &layout{kind: String, memory: true, size: 8, align: 4, flat: []CoreType{I32, I32}}, nil
	case List:
		return listLayout(t.Elem, depth)
	case FixedList:
		return fixedListLayout(t, depth)
	case Map:
		return listLayout(&Type{Kind: Tuple, Fields: []Field{{Type: t.Key}, {Type: t.Elem}}}, depth)
	case Record, Tuple:
		return recordLayout(t.Fields, depth)
	case Variant, Enum, Option, Result:
		return variantLayout(t.Cases, depth)
	case Flags:
		return flagsLayout(len(t.Labels))
	case Own, Borrow:
		if t.Resource == nil {
			return nil, fmt.Errorf("handle without a resource type")
		}
		l := handleLayout(t.Kind)
		l.plain, l.resource = true, t.Resource
		return l, nil
	case ErrorContext, Stream, Future:
		return handleLayout(t.Kind), nil
	}
	return nil, fmt.Errorf("unknown kind of type %d", t.Kind)
}

func scalarLayout(k Kind, size uint32, core CoreType) *layout {
	return &layout{kind: k, plain: true, size: size, align: size, flat: []CoreType{core}}
}

func handleLayout(k Kind) *layout {
	return &layout{kind: k, size: 4, align: 4, flat: []CoreType{I32}}
}

func flagsLayout(n int) (*layout, error) {
	if n == 0 || n > maxFlags {
		return nil, fmt.Errorf("flags with %d labels, expected 1 to %d", n, maxFlags)
	}
	size := uint32(4)
	if n <= 8 {
		size = 1
	} else if n <= 16 {
		size = 2
	}
	l := scalarLayout(Flags, size, I32)
	l.length = uint32(n)
	return l, nil
}

func listLayout(elem *Type, depth int) (*layout, error) {
	e, err := layOut(elem, depth+1)
	if err != nil {
		return nil, err
	}
	l := &layout{kind: List, memory: true, size: 8, align: 4, flat: []CoreType{I32, I32}, elem: e, height: e.height + 1}
	if e.kind == U8 {
		l.kind = bytesKind
	}
	return l, nil
}

func fixedListLayout(t *Type, depth int) (*layout, error) {
	e, err := layOut(t.Elem, depth+1)
	if err != nil {
		return nil, err
	}
	if t.Len == 0 {
		return nil, fmt.Errorf("fixed-length list of length 0")
	}
	size, err := fits(uint64(e.size) * uint64(t.Len))
	if err != nil {
		return nil, err
	}
	l := &layout{kind: FixedList, size: size, align: e.align, elem: e, length: t.Len, memory: e.memory, height: e.height + 1}
	if l.spills = e.spills || uint64(len(e.flat))*uint64(t.Len) > MaxFlatParams; !l.spills {
		for range t.Len {
			l.flat = append(l.flat, e.flat...)
		}
	}
	return l, nil
}

func recordLayout(fields []Field, depth int) (*layout, error) {
	if len(fields) == 0 {
		return nil, fmt.Errorf("record without fields")
	}
	l := &layout{kind: Record, align: 1, fields: make([]slot, len(fields))}
	var size uint64
	for i, f := range fields {
		e, err := layOut(f.Type, depth+1)
		if err != nil {
			return nil, err
		}
		size = alignTo(size, e.align)
		l.fields[i] = slot{layout: e, name: f.Name, offset: uint32(size), index: uint32(len(l.flat))}
		if size, err = widen(size + uint64(e.size)); err != nil {
			return nil, err
		}
		l.align = max(l.align, e.align)
		l.memory = l.memory || e.memory
		l.height = max(l.height, e.height+1)
		l.addFlat(e)
	}
	var err error
	l.size, err = fits(alignTo(size, l.align))
	return l, err
}

// addFlat appends e's flattening to a record's, until it is too long to be used.
func (l *layout) addFlat(e *layout) {
	if l.spills = l.spills || e.spills || len(l.flat)+len(e.flat) > MaxFlatParams; l.spills {
		l.flat = nil
		return
	}
	l.flat = append(l.flat, e.flat...)
}

func variantLayout(cases []Case, depth int) (*layout, error) {
	n := uint64(len(cases))
	if n == 0 {
		return nil, fmt.Errorf("variant without cases")
	}
	l := &layout{kind: enumKind, plain: true, length: uint32(n), disc: discriminantSize(n), cases: make([]*layout, n)}
	var size, align uint32 = 0, 1
	flat := []CoreType{I32}
	for i, c := range cases {
		if c.Type == nil {
			continue
		}
		e, err := layOut(c.Type, depth+1)
		if err != nil {
			return nil, err
		}
		l.kind, l.plain, l.cases[i] = Variant, false, e
		size, align = max(size, e.size), max(align, e.align)
		l.memory = l.memory || e.memory
		l.height = max(l.height, e.height+1)
		l.spills = l.spills || e.spills || len(e.flat) >= MaxFlatParams
		if !l.spills {
			flat = joinFlat(flat, e.flat)
		}
	}
	if !l.spills {
		l.flat = flat
	}
	l.payload = uint32(alignTo(uint64(l.disc), align))
	l.align = max(uint32(l.disc), align)
	var err error
	l.size, err = fits(alignTo(uint64(l.payload)+uint64(size), l.align))
	return l, err
}

func discriminantSize(cases uint64) uint8 {
	switch {
	case cases <= 1<<8:
		return 1
	case cases <= 1<<16:
		return 2
	}
	return 4
}

// joinFlat merges the flattening of one case into flat, whose first element is
// the discriminant.
func joinFlat(flat, c []CoreType) []CoreType {
	for i, t := range c {
		if i+1 < len(flat) {
			flat[i+1] = join(flat[i+1], t)
		} else {
			flat = append(flat, t)
		}
	}
	return flat
}

func join(a, b CoreType) CoreType {
	switch {
	case a == b:
		return a
	case a == I32 && b == CoreF32, a == CoreF32 && b == I32:
		return I32
	}
	return I64
}

func alignTo(p uint64, align uint32) uint64 {
	a := uint64(align)
	return (p + a - 1) &^ (a - 1)
}

func widen(size uint64) (uint64, error) {
	if size > maxElemSize {
		return 0, fmt.Errorf("type exceeds maximum byte size %d", maxElemSize)
	}
	return size, nil
}

func fits(size uint64) (uint32, error) {
	size, err := widen(size)
	return uint32(size), err
}
