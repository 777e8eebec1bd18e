package canon

// Bit patterns every NaN is replaced by (CanonicalABI.md, Loading).
const (
	canonicalNaN32 = 0x7fc00000
	canonicalNaN64 = 0x7ff8000000000000
)

// lift reads a value out of flat core values (CanonicalABI.md, Flat Lifting).
// The joins of variant payloads need no coercion: a flat value is its bits,
// widened with zeroes, and each type takes as many as it has.
func (l *layout) lift(cx *Call, flat []uint64, v *Value) error {
	if l.plain {
		return l.liftPlain(cx, flat[0], v)
	}
	switch l.kind {
	case String:
		return cx.loadString(pair{uint32(flat[0]), uint32(flat[1])}, v)
	case bytesKind:
		return cx.loadBytes(pair{uint32(flat[0]), uint32(flat[1])}, v)
	case List:
		return l.loadList(cx, pair{uint32(flat[0]), uint32(flat[1])}, v)
	case FixedList:
		return l.liftElems(cx, flat, v)
	case Record:
		return l.liftRecord(cx, flat, v)
	case Variant:
		return l.liftVariant(cx, flat, v)
	}
	return l.liftHandle(cx, uint32(flat[0]), v)
}

// liftPlain sets v from the bits of a core value, of which those that the type
// does not have are ignored.
func (l *layout) liftPlain(cx *Call, x uint64, v *Value) error {
	*v = Value{}
	switch l.kind {
	case Borrow:
		return cx.liftBorrow(l.resource, uint32(x), v)
	case Own:
		return cx.liftOwn(l.resource, uint32(x), v)
	case U32:
		v.Num = uint64(uint32(x))
	case S64, U64:
		v.Num = x
	case Bool:
		if uint32(x) != 0 {
			v.Num = 1
		}
	case S8:
		v.Num = uint64(int8(x))
	case U8:
		v.Num = uint64(uint8(x))
	case S16:
		v.Num = uint64(int16(x))
	case U16:
		v.Num = uint64(uint16(x))
	case S32:
		v.Num = uint64(int32(x))
	case F32:
		v.Num = canonicalizeNaN32(uint32(x))
	case F64:
		v.Num = canonicalizeNaN64(x)
	case Char:
		if v.Num = uint64(uint32(x)); !validChar(v.Num) {
			return trapf("invalid `char` bit pattern %#x", v.Num)
		}
	case Flags:
		v.Num = x & (1<<l.length - 1)
	case enumKind:
		if v.Num = uint64(uint32(x)); v.Num >= uint64(l.length) {
			return badDiscriminant(v.Num, l.length)
		}
	}
	return nil
}

func canonicalizeNaN32(x uint32) uint64 {
	if x&0x7fffffff > 0x7f800000 {
		return canonicalNaN32
	}
	return uint64(x)
}

func canonicalizeNaN64(x uint64) uint64 {
	if x&^(1<<63) > 0x7ff0000000000000 {
		return canonicalNaN64
	}
	return x
}

func validChar(c uint64) bool {
	return c < 0xD800 || c >= 0xE000 && c < 0x110000
}

func (l *layout) liftElems(cx *Call, flat []uint64, v *Value) error {
	list, err := cx.newValues(int(l.length))
	if err != nil {
		return err
	}
	n := len(l.elem.flat)
	for i := range list {
		if err := l.elem.lift(cx, flat[i*n:], &list[i]); err != nil {
			return err
		}
	}
	*v = Value{List: list}
	return nil
}

func (l *layout) liftRecord(cx *Call, flat []uint64, v *Value) error {
	list, err := cx.newValues(len(l.fields))
	if err != nil {
		return err
	}
	for i := range l.fields {
		f := &l.fields[i]
		if err := f.lift(cx, flat[f.index:], &list[i]); err != nil {
			return err
		}
	}
	*v = Value{List: list}
	return nil
}

func (l *layout) liftVariant(cx *Call, flat []uint64, v *Value) error {
	i := uint64(uint32(flat[0]))
	c, list, err := l.newCase(cx, i)
	if err != nil {
		return err
	}
	if c != nil {
		if err := c.lift(cx, flat[1:], &list[0]); err != nil {
			return err
		}
	}
	*v = Value{Num: i, List: list}
	return nil
}

// liftHandle lifts a stream, a future or an error context.
func (l *layout) liftHandle(cx *Call, i uint32, v *Value) error {
	if cx.Options.Handles == nil {
		return trapf("streams, futures and error contexts are not supported here: handle index %d", i)
	}
	obj, err := cx.Options.Handles.LiftHandle(l.typ, i)
	*v = Value{Obj: obj}
	return err
}
