package validate

import (
	"fmt"
	"math"
	"unicode/utf8"

	stdbinary "encoding/binary"

	"github.com/extproc/extproc/abi/binary"
)

// start checks a start definition (Explainer, "Start Definitions").
func (s *scope) start(d binary.Start) error {
	f, err := lookup(s.funcs, d.Func, "function")
	if err != nil {
		return err
	}
	results := 1
	if f.result.none() {
		results = 0
	}
	if len(d.Args) != len(f.params) || uint64(d.Results) != uint64(results) {
		return fmt.Errorf("%d arguments and %d results do not fit %s", len(d.Args), d.Results, f)
	}
	for i, a := range d.Args {
		t, err := s.useValue(a)
		if err == nil {
			err = newMatcher(s.v).valType(t, f.params[i].typ)
		}
		if err != nil {
			return at(err, "argument %d", i)
		}
	}
	if results == 1 {
		s.values = append(s.values, valueEntry{typ: f.result})
	}
	return nil
}

// value checks a value definition (Binary, "Value Definitions").
func (s *scope) value(d binary.Value) error {
	t, err := s.valType(d.Type)
	if err != nil {
		return err
	}
	r := valueReader{v: s.v, rest: d.Bytes}
	r.value(t)
	switch {
	case r.bad != "":
		return fmt.Errorf("its bytes are not a %s: %s", t, r.bad)
	case len(r.rest) > 0:
		return fmt.Errorf("%d bytes are left behind the value", len(r.rest))
	}
	s.values = append(s.values, valueEntry{typ: t})
	return nil
}

// valueReader reads values in their binary format. bad is the first fault.
type valueReader struct {
	v    *validator
	rest []byte
	bad  string
}

func (r *valueReader) take(n uint64) []byte {
	if r.bad == "" && n > uint64(len(r.rest)) {
		r.bad = "it ends too early"
	}
	if r.bad != "" {
		return make([]byte, min(n, 8))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// below reads a number that must be less than n.
func (r *valueReader) below(n int) int {
	i := r.leb(32)
	if r.bad == "" && i >= uint64(n) {
		r.bad = fmt.Sprintf("%d is not less than %d", i, n)
	}
	if r.bad != "" {
		return 0
	}
	return int(i)
}

// leb reads an unsigned LEB128 number.
func (r *valueReader) leb(bits uint) uint64 {
	v, n := stdbinary.Uvarint(r.rest)
	if n <= 0 || n > int(bits+6)/7 || bits < 64 && v>>bits != 0 {
		if r.bad == "" {
			r.bad = "a number is malformed"
		}
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// sleb passes over a signed LEB128 number.
func (r *valueReader) sleb(bits uint) {
	var v int64
	for shift := uint(0); shift < bits; shift += 7 {
		b := r.take(1)[0]
		v |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if shift+7 < 64 {
			v = v << (57 - shift) >> (57 - shift)
		}
		if bits < 64 && (v < -1<<(bits-1) || v >= 1<<(bits-1)) {
			break
		}
		return
	}
	if r.bad == "" {
		r.bad = "a number is malformed"
	}
}

func (r *valueReader) value(t valType) {
	switch {
	case r.bad != "" || t.none():
	case !r.v.spend(1):
		r.bad = errComplex.Error()
	case t.typ != nil:
		r.def(t.typ.val)
	default:
		r.prim(t.prim)
	}
}

const badNaN = "NaN has one form only"

func (r *valueReader) prim(p binary.Prim) {
	switch p {
	case binary.PrimBool:
		r.below(2)
	case binary.PrimS8, binary.PrimU8:
		r.take(1)
	case binary.PrimU16:
		r.leb(16)
	case binary.PrimU32:
		r.leb(32)
	case binary.PrimU64:
		r.leb(64)
	case binary.PrimS16:
		r.sleb(16)
	case binary.PrimS32:
		r.sleb(32)
	case binary.PrimS64:
		r.sleb(64)
	case binary.PrimF32:
		b := stdbinary.LittleEndian.Uint32(r.take(4))
		if f := math.Float32frombits(b); f != f && b != 0x7fc00000 {
			r.bad = badNaN
		}
	case binary.PrimF64:
		b := stdbinary.LittleEndian.Uint64(r.take(8))
		if f := math.Float64frombits(b); f != f && b != 0x7ff8000000000000 {
			r.bad = badNaN
		}
	case binary.PrimChar:
		c, n := utf8.DecodeRune(r.rest)
		if c == utf8.RuneError && n < 3 {
			r.bad = "a char is malformed"
		}
		r.take(uint64(n))
	case binary.PrimString:
		if !utf8.Valid(r.take(r.leb(32))) && r.bad == "" {
			r.bad = "a string is not valid UTF-8"
		}
	default:
		r.bad = "there are no such values"
	}
}

func (r *valueReader) def(d *defType) {
	switch d.kind {
	case binary.DefPrim:
		r.prim(d.prim)
	case binary.DefRecord, binary.DefTuple:
		for _, f := range d.fields {
			r.value(f.typ)
		}
	case binary.DefVariant:
		r.value(d.fields[r.below(len(d.fields))].typ)
	case binary.DefEnum:
		r.below(len(d.labels))
	case binary.DefFlags:
		r.take(uint64(len(d.labels)+7) / 8)
	case binary.DefOption:
		if r.below(2) == 1 {
			r.value(d.elem)
		}
	case binary.DefResult:
		if r.below(2) == 0 {
			r.value(d.elem)
		} else {
			r.value(d.err)
		}
	case binary.DefList, binary.DefFixedList, binary.DefMap:
		n := uint64(d.length)
		if d.kind != binary.DefFixedList {
			n = r.leb(32)
		}
		for ; n > 0 && r.bad == ""; n-- {
			r.value(d.key)
			r.value(d.elem)
		}
	default:
		r.bad = "there are no such values"
	}
}
