package canon

import "encoding/binary"

// store writes v at p, which the caller has found aligned and in bounds
// (CanonicalABI.md, Storing). Storing a list or string runs the guest's realloc,
// after which cx.mem is another view.
func (l *layout) store(cx *Call, v *Value, p uint64) error {
	if l.plain {
		x, err := l.lowerPlain(cx, v)
		if err == nil {
			storeInt(cx.mem, p, l.size, x)
		}
		return err
	}
	var r pair
	var err error
	switch l.kind {
	case String:
		r, err = cx.storeString(v)
	case List, bytesKind:
		r, err = l.storeList(cx, v)
	case FixedList:
		if len(v.List) != int(l.length) {
			return misfit("list of fixed length %d has %d elements", l.length, len(v.List))
		}
		return l.storeElems(cx, v.List, p)
	case Record:
		return l.storeRecord(cx, v, p)
	case Variant:
		return l.storeVariant(cx, v, p)
	default:
		i, err := l.lowerHandle(cx, v)
		binary.LittleEndian.PutUint32(cx.mem[p:], i)
		return err
	}
	binary.LittleEndian.PutUint64(cx.mem[p:], uint64(r.ptr)|uint64(r.len)<<32)
	return err
}

// storeInt writes the low size bytes of x.
func storeInt(m []byte, p uint64, size uint32, x uint64) {
	switch size {
	case 1:
		m[p] = byte(x)
	case 2:
		binary.LittleEndian.PutUint16(m[p:], uint16(x))
	case 4:
		binary.LittleEndian.PutUint32(m[p:], uint32(x))
	default:
		binary.LittleEndian.PutUint64(m[p:], x)
	}
}

// storeList allocates room for a list in the guest and stores its elements. Even
// an empty list is allocated: the guest may count on the call.
func (l *layout) storeList(cx *Call, v *Value) (pair, error) {
	n := len(v.List)
	if l.kind == bytesKind {
		n = len(v.Str)
	}
	size := uint64(n) * uint64(l.elem.size)
	if size > MaxListByteLength {
		return pair{}, misfit("list of %d bytes is longer than %d", size, MaxListByteLength)
	}
	p, err := cx.realloc(0, 0, l.elem.align, size)
	if err != nil {
		return pair{}, err
	}
	if l.kind == bytesKind {
		copy(cx.mem[p:], v.Str)
	} else if err := l.storeElems(cx, v.List, p); err != nil {
		return pair{}, err
	}
	return pair{uint32(p), uint32(n)}, nil
}

func (l *layout) storeElems(cx *Call, list []Value, p uint64) error {
	for i := range list {
		if err := l.elem.store(cx, &list[i], p); err != nil {
			return err
		}
		p += uint64(l.elem.size)
	}
	return nil
}

func (l *layout) storeRecord(cx *Call, v *Value, p uint64) error {
	if err := l.fitsRecord(v); err != nil {
		return err
	}
	for i := range l.fields {
		f := &l.fields[i]
		if err := f.store(cx, &v.List[i], p+uint64(f.offset)); err != nil {
			return err
		}
	}
	return nil
}

func (l *layout) storeVariant(cx *Call, v *Value, p uint64) error {
	c, err := l.fitsCase(v)
	if err != nil {
		return err
	}
	storeInt(cx.mem, p, uint32(l.disc), v.Num)
	if c == nil {
		return nil
	}
	return c.store(cx, &v.List[0], p+uint64(l.payload))
}
