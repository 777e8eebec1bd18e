package canon

import "encoding/binary"

// load reads the value at p, which the caller has found aligned and in bounds,
// out of memory (CanonicalABI.md, Loading).
func (l *layout) load(cx *Call, p uint64, v *Value) error {
	if l.plain {
		return l.liftPlain(cx, loadInt(cx.mem, p, l.size), v)
	}
	switch l.kind {
	case String:
		return cx.loadString(loadPair(cx.mem, p), v)
	case bytesKind:
		return cx.loadBytes(loadPair(cx.mem, p), v)
	case List:
		return l.loadList(cx, loadPair(cx.mem, p), v)
	case FixedList:
		return l.loadElems(cx, p, uint64(l.length), v)
	case Record:
		return l.loadRecord(cx, p, v)
	case Variant:
		return l.loadVariant(cx, p, v)
	}
	return l.liftHandle(cx, binary.LittleEndian.Uint32(cx.mem[p:]), v)
}

// loadInt reads an unsigned integer of size bytes.
func loadInt(m []byte, p uint64, size uint32) uint64 {
	switch size {
	case 1:
		return uint64(m[p])
	case 2:
		return uint64(binary.LittleEndian.Uint16(m[p:]))
	case 4:
		return uint64(binary.LittleEndian.Uint32(m[p:]))
	}
	return binary.LittleEndian.Uint64(m[p:])
}

// pair is the pointer and the length of a list or string.
type pair struct{ ptr, len uint32 }

func loadPair(m []byte, p uint64) pair {
	w := binary.LittleEndian.Uint64(m[p:])
	return pair{uint32(w), uint32(w >> 32)}
}

// checkList traps unless the list r of l's elements lies in memory.
func (l *layout) checkList(cx *Call, r pair) error {
	size := uint64(r.len) * uint64(l.elem.size)
	if size > MaxListByteLength {
		return trapf("list too long: %d elements of %d bytes, limit %d bytes", r.len, l.elem.size, MaxListByteLength)
	}
	return cx.checkRange("list pointer/length", uint64(r.ptr), size, l.elem.align)
}

func (l *layout) loadList(cx *Call, r pair, v *Value) error {
	if err := l.checkList(cx, r); err != nil {
		return err
	}
	return l.loadElems(cx, uint64(r.ptr), uint64(r.len), v)
}

func (l *layout) loadElems(cx *Call, p, n uint64, v *Value) error {
	list, err := cx.newValues(int(n))
	if err != nil {
		return err
	}
	e := l.elem
	for i := range list {
		if err := e.load(cx, p, &list[i]); err != nil {
			return err
		}
		p += uint64(e.size)
	}
	*v = Value{List: list}
	return nil
}

// loadBytes lifts a list<u8>.
func (cx *Call) loadBytes(r pair, v *Value) error {
	if r.len > MaxListByteLength {
		return trapf("list too long: %d bytes, limit %d", r.len, MaxListByteLength)
	}
	if err := cx.checkRange("list pointer/length", uint64(r.ptr), uint64(r.len), 1); err != nil {
		return err
	}
	if err := cx.charge(uint64(r.len)); err != nil {
		return err
	}
	s, err := cx.text(cx.mem[r.ptr:][:r.len])
	*v = Value{Str: s}
	return err
}

func (l *layout) loadRecord(cx *Call, p uint64, v *Value) error {
	list, err := cx.newValues(len(l.fields))
	if err != nil {
		return err
	}
	for i := range l.fields {
		f := &l.fields[i]
		if err := f.load(cx, p+uint64(f.offset), &list[i]); err != nil {
			return err
		}
	}
	*v = Value{List: list}
	return nil
}

func (l *layout) loadVariant(cx *Call, p uint64, v *Value) error {
	i := loadInt(cx.mem, p, uint32(l.disc))
	c, list, err := l.newCase(cx, i)
	if err != nil {
		return err
	}
	if c != nil {
		if err := c.load(cx, p+uint64(l.payload), &list[0]); err != nil {
			return err
		}
	}
	*v = Value{Num: i, List: list}
	return nil
}

// newCase returns case i of a variant and room for its payload, both nil when it
// has none.
func (l *layout) newCase(cx *Call, i uint64) (*layout, []Value, error) {
	if i >= uint64(l.length) {
		return nil, nil, badDiscriminant(i, l.length)
	}
	c := l.cases[i]
	if c == nil {
		return nil, nil, nil
	}
	list, err := cx.newValues(1)
	return c, list, err
}

func badDiscriminant(i uint64, cases uint32) error {
	return trapf("invalid variant discriminant %d, expected less than %d", i, cases)
}
