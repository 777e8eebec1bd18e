package binary

import (
	"fmt"
	"unicode/utf8"
)

// Limits of what Decode accepts. They are far above what toolchains emit and
// keep what a hostile file can cost in proportion: an item of the tree takes
// at most a few hundred bytes of memory and as little as one byte of input.
const (
	maxDepth = 100     // components and types inside one another
	maxItems = 1 << 17 // definitions, declarators, fields and the like, in all
	maxName  = 100_000 // bytes of a name
)

// Error tells where a binary is malformed and what was expected there.
type Error struct {
	Offset  int    // in bytes from the start of the input
	Section string // the section it lies in; empty outside of one
	Msg     string
}

func (e *Error) Error() string {
	if e.Section == "" {
		return fmt.Sprintf("malformed component at offset 0x%x: %s", e.Offset, e.Msg)
	}
	return fmt.Sprintf("malformed component at offset 0x%x in the %s section: %s", e.Offset, e.Section, e.Msg)
}

// budget is what all readers of one input share: what they may still yield, and
// the first error. After an error reads yield zeroes and loops end.
type budget struct {
	items int
	err   error
}

// reader reads buf[pos:]. Offsets in errors count from the start of the input,
// where buf lies at base.
type reader struct {
	buf     []byte
	pos     int
	base    int
	section string
	depth   int
	*budget
}

func newReader(buf []byte) *reader {
	return &reader{buf: buf, budget: &budget{items: maxItems}}
}

// sub is a reader of the next n bytes, which r skips.
func (r *reader) sub(n int) *reader {
	at := r.base + r.pos
	return &reader{buf: r.bytes(n), base: at, section: r.section, depth: r.depth, budget: r.budget}
}

func (r *reader) ok() bool  { return r.err == nil }
func (r *reader) left() int { return len(r.buf) - r.pos }
func (r *reader) more() bool {
	return r.err == nil && r.pos < len(r.buf)
}

// failf records an error at the position at of buf, unless there is one already.
func (r *reader) failf(at int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Offset: r.base + at, Section: r.section, Msg: fmt.Sprintf(format, args...)}
	}
}

// bad reports the byte just read, of which a case analysis knows nothing.
func (r *reader) bad(b byte, expected string) {
	r.failf(r.pos-1, "expected %s, found 0x%02x", expected, b)
}

func (r *reader) byte(expected string) byte {
	if !r.ok() {
		return 0
	}
	if r.left() == 0 {
		r.failf(r.pos, "expected %s, found the end", expected)
		return 0
	}
	r.pos++
	return r.buf[r.pos-1]
}

func (r *reader) peek() byte {
	if !r.more() {
		return 0
	}
	return r.buf[r.pos]
}

// bool reads one of the two-valued immediates.
func (r *reader) bool(what string) bool {
	b := r.byte(what)
	if b > 1 {
		r.bad(b, what+" as 0x00 or 0x01")
	}
	return b == 1
}

func (r *reader) bytes(n int) []byte {
	if !r.ok() {
		return nil
	}
	if n < 0 || n > r.left() {
		r.failf(r.pos, "expected %d bytes, found %d", n, r.left())
		return nil
	}
	r.pos += n
	return r.buf[r.pos-n : r.pos : r.pos]
}

// uleb reads an unsigned LEB128 number of the given width in bits.
func (r *reader) uleb(bits uint, what string) uint64 {
	start, v := r.pos, uint64(0)
	for shift := uint(0); r.ok(); shift += 7 {
		b := r.byte(what)
		if shift+7 > bits && b>>(bits-shift) != 0 {
			r.failf(start, "%s does not fit %d bits", what, bits)
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	return 0
}

func (r *reader) u32(what string) uint32 { return uint32(r.uleb(32, what)) }

// s33 reads a signed LEB128 number of 33 bits, as type indices are encoded.
func (r *reader) s33(what string) int64 {
	start, v := r.pos, int64(0)
	for shift := uint(0); r.ok(); shift += 7 {
		b := r.byte(what)
		v |= int64(b&0x7f) << shift
		if shift == 28 {
			// Bits 32 and up repeat the sign; the number must end here.
			if top := b >> 4; b >= 0x80 || top != 0 && top != 7 {
				r.failf(start, "%s does not fit 33 bits", what)
				return 0
			}
		}
		if b < 0x80 {
			return v << (57 - shift) >> (57 - shift)
		}
	}
	return 0
}

// size reads a length in bytes that the rest of buf must hold.
func (r *reader) size(what string) int {
	start := r.pos
	n := r.u32("the size of " + what)
	if r.ok() && uint64(n) > uint64(r.left()) {
		r.failf(start, "%s claims %d bytes, but only %d are left", what, n, r.left())
		return 0
	}
	return int(n)
}

// name reads a length-prefixed UTF-8 string, which aliases buf.
func (r *reader) name(what string) string {
	n, start := r.size(what), r.pos
	b := r.bytes(n)
	switch {
	case len(b) == 0:
		return ""
	case len(b) > maxName:
		r.failf(start, "%s is longer than %d bytes", what, maxName)
	case !utf8.Valid(b):
		r.failf(start, "%s is not valid UTF-8", what)
	}
	return string(b)
}

// enter guards a level of nesting; leave it with r.depth--.
func (r *reader) enter() {
	if r.depth++; r.depth > maxDepth {
		r.failf(r.pos, "components and types are nested more than %d deep", maxDepth)
	}
}

// countItem takes one item off the budget.
func (r *reader) countItem() {
	if r.items--; r.items < 0 {
		r.failf(r.pos, "more than %d definitions, declarators and fields", maxItems)
	}
}

// vec reads a count and that many items. Each takes at least a byte, and memory
// grows with the items read, not with the count.
func vec[T any](r *reader, what string, item func() T) []T {
	start := r.pos
	n := r.u32("the number of " + what)
	if r.ok() && uint64(n) > uint64(r.left()) {
		r.failf(start, "%d %s claimed, but only %d bytes are left", n, what, r.left())
	}
	var items []T
	for i := uint32(0); i < n && r.ok(); i++ {
		r.countItem()
		items = append(items, item())
	}
	return items
}
