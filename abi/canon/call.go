package canon

import "unsafe"

// Memory is what canon needs of a linear memory. Bytes is the current view; it
// may move when realloc runs guest code, never otherwise during a lift or lower.
type Memory interface{ Bytes() []byte }

// Encoding is how an instance encodes strings.
type Encoding uint8

// The string encodings of the canonical options.
const (
	UTF8 Encoding = iota
	UTF16
	Latin1UTF16
)

// Options are the canonical options of one lift or lower, bound to an instance.
type Options struct {
	Memory   Memory // nil when the option is absent
	Realloc  func(oldPtr, oldSize, align, newSize uint32) (uint32, error)
	Encoding Encoding
	Table    *Table
	// Instance is compared with Resource.Owner: inside its owner a borrow is
	// passed as its rep.
	Instance any
	// Handles lifts and lowers what asynchronous functions pass: streams, futures
	// and error contexts. Nil where there are none.
	Handles Handles
	// Limit bounds, in bytes, what one call may lift out of the memory, counted
	// as Values and string bytes; 0 means DefaultLimit. It is needed because lists
	// in memory may overlap, so that a small memory can describe a huge value.
	Limit uint64
}

// DefaultLimit bounds what one call may lift when Options.Limit is 0.
const DefaultLimit = 128 << 20

// Handles passes streams, futures and error contexts through an instance's table.
type Handles interface {
	LiftHandle(t *Type, index uint32) (any, error)
	LowerHandle(t *Type, obj any) (uint32, error)
}

// Call is the state of one call in one instance: where lifted values live until
// the call ends, and which handles it lends or borrows. A Call is reused: set
// Options and Copy, lift and lower, then End. It is not for concurrent use, and
// a call made while another is running needs a Call of its own.
type Call struct {
	Options *Options
	// Copy makes lifted strings and list<u8> copies. Set it where guest code of
	// the same memory may run before the values are used, as between two guests.
	Copy bool

	mem     []byte
	budget  uint64
	values  []Value
	bytes   []byte
	lenders []uint32 // handles this call has lent out of Options.Table
	borrows uint32   // borrow handles given to the callee and not yet dropped
}

// What an idle Call keeps for the next one.
const (
	keepValues = 4096
	keepBytes  = 256 << 10
)

// End ends the call: handles it lent are free again, and values it lifted are no
// longer valid.
func (cx *Call) End() {
	for _, i := range cx.lenders {
		cx.Options.Table.entries[i].lends--
	}
	cx.lenders = cx.lenders[:0]
	cx.borrows = 0
	cx.mem = nil
	if len(cx.values)+len(cx.bytes) > 0 {
		cx.forget()
	}
}

// forget lets go of what the call has lifted.
func (cx *Call) forget() {
	if cap(cx.values) > keepValues {
		cx.values = nil
	}
	if cap(cx.bytes) > keepBytes {
		cx.bytes = nil
	}
	clear(cx.values)
	cx.values, cx.bytes = cx.values[:0], cx.bytes[:0]
}

// open takes the view of memory that a lift or lower works on.
func (cx *Call) open() {
	var mem []byte
	if m := cx.Options.Memory; m != nil {
		mem = m.Bytes()
	}
	cx.mem = mem
	limit := cx.Options.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	cx.budget = min(limit, 1<<20+uint64(unsafe.Sizeof(Value{}))*uint64(len(mem)))
}

// charge takes n bytes from what the call may still lift.
func (cx *Call) charge(n uint64) error {
	if n > cx.budget {
		return trapf("value too large: the call may lift %d more bytes, this needs %d", cx.budget, n)
	}
	cx.budget -= n
	return nil
}

// newValues returns n zero values that live until End.
func (cx *Call) newValues(n int) ([]Value, error) {
	if err := cx.charge(uint64(n) * uint64(unsafe.Sizeof(Value{}))); err != nil {
		return nil, err
	}
	used := len(cx.values)
	if cap(cx.values)-used < n {
		cx.values, used = make([]Value, 0, max(n, 2*cap(cx.values), 32)), 0
	}
	cx.values = cx.values[:used+n]
	return cx.values[used : used+n : used+n], nil
}

// newBytes returns n bytes that live until End; their content is arbitrary.
func (cx *Call) newBytes(n int) ([]byte, error) {
	if err := cx.charge(uint64(n)); err != nil {
		return nil, err
	}
	used := len(cx.bytes)
	if cap(cx.bytes)-used < n {
		cx.bytes, used = make([]byte, 0, max(n, 2*cap(cx.bytes), 256)), 0
	}
	cx.bytes = cx.bytes[:used+n]
	return cx.bytes[used : used+n : used+n], nil
}

// text returns b as a string: the same bytes, or a copy where Copy asks for one.
func (cx *Call) text(b []byte) (string, error) {
	if cx.Copy {
		c, err := cx.newBytes(len(b))
		if err != nil {
			return "", err
		}
		copy(c, b)
		b = c
	}
	return unsafe.String(unsafe.SliceData(b), len(b)), nil
}

// checkRange traps unless size bytes at p are aligned and inside the memory.
func (cx *Call) checkRange(what string, p, size uint64, align uint32) error {
	if p&uint64(align-1) != 0 {
		return trapf("%s: unaligned pointer %#x, expected a multiple of %d", what, p, align)
	}
	if n := uint64(len(cx.mem)); p+size > n {
		return trapf("%s out of bounds of memory: pointer %#x, %d bytes, memory of %d", what, p, size, n)
	}
	return nil
}

// realloc calls the guest's realloc, takes the new view of its memory and checks
// what it returned (CanonicalABI.md, Lifting and Lowering Context).
func (cx *Call) realloc(old, oldSize uint64, align uint32, size uint64) (uint64, error) {
	if cx.Options.Realloc == nil || cx.Options.Memory == nil {
		return 0, misfit("lowering needs the canonical options memory and realloc")
	}
	p, err := cx.Options.Realloc(uint32(old), uint32(oldSize), align, uint32(size))
	if err != nil {
		return 0, err
	}
	cx.mem = cx.Options.Memory.Bytes()
	return uint64(p), cx.checkRange("result of realloc", uint64(p), size, align)
}
