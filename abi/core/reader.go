package core

import (
	"fmt"
	"unicode/utf8"
)

// Error is malformed input. Offset is in bytes from the start of the module.
type Error struct {
	Offset int
	Msg    string
}

func (e *Error) Error() string {
	return fmt.Sprintf("core module: %s (at offset %#x)", e.Msg, e.Offset)
}

// reader reads wasm[pos:end]. The first error sticks and moves pos to end, so
// that loops over claimed counts stop.
type reader struct {
	wasm     []byte
	pos, end int
	err      error
}

func (r *reader) fail(at int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Offset: at, Msg: fmt.Sprintf(format, args...)}
	}
	r.pos = r.end
}

func (r *reader) more() bool { return r.err == nil && r.pos < r.end }

func (r *reader) byte() byte {
	if r.pos >= r.end {
		r.fail(r.pos, "unexpected end")
		return 0
	}
	b := r.wasm[r.pos]
	r.pos++
	return b
}

func (r *reader) skip(n int) {
	if n > r.end-r.pos {
		r.fail(r.pos, "unexpected end")
		return
	}
	r.pos += n
}

func (r *reader) u32() uint32 {
	if r.pos < r.end {
		if b := r.wasm[r.pos]; b < 0x80 {
			r.pos++
			return uint32(b)
		}
	}
	return uint32(r.unsigned(32))
}

// unsigned reads an unsigned LEB128 number of at most bits bits (5.2.2).
func (r *reader) unsigned(bits uint) uint64 {
	start := r.pos
	var v uint64
	for shift := uint(0); shift < bits; shift += 7 {
		b := r.byte()
		if left := bits - shift; left < 7 && b>>left != 0 {
			r.fail(start, "integer exceeds %d bits", bits)
			return 0
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.fail(start, "integer representation too long")
	return 0
}

// signed reads a signed LEB128 number of at most bits bits.
func (r *reader) signed(bits uint) int64 {
	start := r.pos
	var v int64
	for shift := uint(0); shift < bits; shift += 7 {
		b := r.byte()
		if left := bits - shift; left < 7 {
			// The unused bits of the last byte repeat the sign.
			if top := int8(b<<1) >> left; b >= 0x80 || top != 0 && top != -1 {
				r.fail(start, "integer exceeds %d bits", bits)
				return 0
			}
		}
		v |= int64(b&0x7f) << shift
		if b < 0x80 {
			if used := shift + 7; used < 64 {
				v = v << (64 - used) >> (64 - used)
			}
			return v
		}
	}
	r.fail(start, "integer representation too long")
	return 0
}

func (r *reader) name() string {
	n := r.u32()
	start := r.pos
	if uint64(n) > uint64(r.end-r.pos) {
		r.fail(start, "name of %d bytes exceeds its section", n)
		return ""
	}
	r.pos += int(n)
	b := r.wasm[start:r.pos]
	if !utf8.Valid(b) {
		r.fail(start, "name is not valid UTF-8")
		return ""
	}
	return string(b)
}

// limit fails if a count exceeds what the engine is meant to be given.
func (r *reader) limit(what string, n, most uint64) bool {
	if n > most {
		r.fail(r.pos, "%d %s, at most %d are supported", n, what, most)
	}
	return r.err == nil
}
