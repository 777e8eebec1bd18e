package canon

// lower writes a value as len(l.flat) flat core values (CanonicalABI.md, Flat
// Lowering).
func (l *layout) lower(cx *Call, v *Value, flat []uint64) (err error) {
	if l.plain {
		flat[0], err = l.lowerPlain(cx, v)
		return err
	}
	var r pair
	switch l.kind {
	case String:
		r, err = cx.storeString(v)
	case List, bytesKind:
		r, err = l.storeList(cx, v)
	case FixedList:
		return l.lowerElems(cx, v, flat)
	case Record:
		return l.lowerRecord(cx, v, flat)
	case Variant:
		return l.lowerVariant(cx, v, flat)
	default:
		i, err := l.lowerHandle(cx, v)
		flat[0] = uint64(i)
		return err
	}
	flat[0], flat[1] = uint64(r.ptr), uint64(r.len)
	return err
}

// lowerPlain returns the core value of a plain type, i32s widened with zeroes.
func (l *layout) lowerPlain(cx *Call, v *Value) (uint64, error) {
	x := v.Num
	ok := true
	switch l.kind {
	case Own:
		i, err := cx.lowerOwn(l.resource, v)
		return uint64(i), err
	case Borrow:
		i, err := cx.lowerBorrow(l.resource, v)
		return uint64(i), err
	case U32:
		ok = x == uint64(uint32(x))
	case S64, U64:
	case Bool:
		if x != 0 {
			x = 1
		}
	case S8:
		ok = x == uint64(int8(x))
		x = uint64(uint32(x))
	case U8:
		ok = x == uint64(uint8(x))
	case S16:
		ok = x == uint64(int16(x))
		x = uint64(uint32(x))
	case U16:
		ok = x == uint64(uint16(x))
	case S32:
		ok = x == uint64(int32(x))
		x = uint64(uint32(x))
	case F32:
		ok = x == uint64(uint32(x))
		x = canonicalizeNaN32(uint32(x))
	case F64:
		x = canonicalizeNaN64(x)
	case Char:
		ok = validChar(x)
	case Flags:
		x &= 1<<l.length - 1
	case enumKind:
		ok = x < uint64(l.length)
	}
	if !ok {
		return 0, misfit("%s cannot be %#x", l.typ.Kind, v.Num)
	}
	return x, nil
}

func (l *layout) lowerElems(cx *Call, v *Value, flat []uint64) error {
	if len(v.List) != int(l.length) {
		return misfit("list of fixed length %d has %d elements", l.length, len(v.List))
	}
	n := len(l.elem.flat)
	for i := range v.List {
		if err := l.elem.lower(cx, &v.List[i], flat[i*n:]); err != nil {
			return err
		}
	}
	return nil
}

func (l *layout) lowerRecord(cx *Call, v *Value, flat []uint64) error {
	if err := l.fitsRecord(v); err != nil {
		return err
	}
	for i := range l.fields {
		f := &l.fields[i]
		if err := f.lower(cx, &v.List[i], flat[f.index:]); err != nil {
			return err
		}
	}
	return nil
}

func (l *layout) lowerVariant(cx *Call, v *Value, flat []uint64) error {
	c, err := l.fitsCase(v)
	if err != nil {
		return err
	}
	// Slots that belong to other cases are zero.
	flat = flat[:len(l.flat)]
	clear(flat)
	flat[0] = v.Num
	if c == nil {
		return nil
	}
	return c.lower(cx, &v.List[0], flat[1:])
}

func (l *layout) fitsRecord(v *Value) error {
	if len(v.List) != len(l.fields) {
		return misfit("%s of %d fields has %d", l.typ.Kind, len(l.fields), len(v.List))
	}
	return nil
}

// fitsCase returns the case v selects, nil when that carries nothing.
func (l *layout) fitsCase(v *Value) (*layout, error) {
	if v.Num >= uint64(l.length) {
		return nil, misfit("%s of %d cases has case %d", l.typ.Kind, l.length, v.Num)
	}
	c := l.cases[v.Num]
	want := 0
	if c != nil {
		want = 1
	}
	if len(v.List) != want {
		return nil, misfit("%s case %s carries %d values, got %d", l.typ.Kind, l.typ.Cases[v.Num].Name, want, len(v.List))
	}
	return c, nil
}

// lowerHandle lowers a stream, a future or an error context.
func (l *layout) lowerHandle(cx *Call, v *Value) (uint32, error) {
	if cx.Options.Handles == nil {
		return 0, misfit("streams, futures and error contexts are not supported here")
	}
	return cx.Options.Handles.LowerHandle(l.typ, v.Obj)
}
