package canon

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// How a guest had encoded a lifted string, as Value.Num says. Which calls of
// realloc lowering makes depends on it (CanonicalABI.md, store_string_into_range).
const (
	SourceUTF8     = iota // UTF-8, or a host's string
	SourceUTF16           // UTF-16
	SourceLatin1          // Latin-1, under latin1+utf16
	SourceWideText        // UTF-16, under latin1+utf16
)

// utf16Tag marks a length under latin1+utf16 as counting UTF-16 code units.
const utf16Tag = 1 << 31

// maxText is the longest UTF-8 a lifted string can have: UTF-16 of the greatest
// length in three-byte characters.
const maxText = 3 * (MaxStringByteLength / 2)

// loadString lifts the string r (CanonicalABI.md, load_string_from_range).
func (cx *Call) loadString(r pair, v *Value) error {
	size, align, source := uint64(r.len), uint32(2), SourceLatin1
	switch {
	case cx.Options.Encoding == UTF8:
		align, source = 1, SourceUTF8
	case cx.Options.Encoding == UTF16:
		size, source = 2*size, SourceUTF16
	case r.len&utf16Tag != 0:
		size, source = 2*uint64(r.len^utf16Tag), SourceWideText
	}
	if size > MaxStringByteLength {
		return trapf("string too long: %d bytes, limit %d", size, MaxStringByteLength)
	}
	if err := cx.checkRange("string pointer/length", uint64(r.ptr), size, align); err != nil {
		return err
	}
	if err := cx.charge(size); err != nil {
		return err
	}
	s, err := cx.decode(cx.mem[r.ptr:][:size], source)
	*v = Value{Num: uint64(source), Str: s}
	return err
}

func (cx *Call) decode(b []byte, source int) (string, error) {
	switch source {
	case SourceUTF8:
		if !utf8.Valid(b) {
			return "", invalidUTF8(b)
		}
		return cx.text(b)
	case SourceLatin1:
		return cx.decodeLatin1(b)
	}
	return cx.decodeUTF16(b)
}

// invalidUTF8 says where b stops being UTF-8.
func invalidUTF8(b []byte) error {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			if !utf8.FullRune(b[i:]) {
				return trapf("incomplete utf-8 byte sequence: invalid utf-8 at byte %d of %d", i, len(b))
			}
			return trapf("invalid utf-8: byte %#x at %d of %d", b[i], i, len(b))
		}
		i += n
	}
	return nil
}

func (cx *Call) decodeLatin1(b []byte) (string, error) {
	high := 0
	for _, c := range b {
		high += int(c >> 7)
	}
	if high == 0 {
		return cx.text(b)
	}
	out, err := cx.newBytes(len(b) + high)
	if err != nil {
		return "", err
	}
	w := out[:0]
	for _, c := range b {
		w = utf8.AppendRune(w, rune(c))
	}
	return unsafe.String(unsafe.SliceData(w), len(w)), nil
}

func (cx *Call) decodeUTF16(b []byte) (string, error) {
	size := 0
	for i := 0; i < len(b); {
		r, n := decodeUnit(b[i:])
		if n == 0 {
			return "", trapf("invalid utf-16: unpaired surrogate %#x at code unit %d of %d", r, i/2, len(b)/2)
		}
		size += utf8.RuneLen(r)
		i += n
	}
	out, err := cx.newBytes(size)
	if err != nil {
		return "", err
	}
	w := out[:0]
	for i := 0; i < len(b); {
		r, n := decodeUnit(b[i:])
		w = utf8.AppendRune(w, r)
		i += n
	}
	return unsafe.String(unsafe.SliceData(w), len(w)), nil
}

// decodeUnit returns the first character of UTF-16LE text and its size in bytes,
// 0 when it is an unpaired surrogate.
func decodeUnit(b []byte) (rune, int) {
	r := rune(binary.LittleEndian.Uint16(b))
	if !utf16.IsSurrogate(r) {
		return r, 2
	}
	if len(b) >= 4 {
		if c := utf16.DecodeRune(r, rune(binary.LittleEndian.Uint16(b[2:]))); c != utf8.RuneError {
			return c, 4
		}
	}
	return r, 0
}

// storeString allocates room for a string in the guest and encodes it there. The
// calls of realloc are those of store_string_into_range, for guests see them.
func (cx *Call) storeString(v *Value) (pair, error) {
	s := v.Str
	if len(s) > maxText {
		return pair{}, misfit("string of %d bytes is longer than %d", len(s), maxText)
	}
	if !utf8.ValidString(s) {
		return pair{}, misfit("string is not valid UTF-8")
	}
	source := v.Num
	if source == SourceLatin1 && !isLatin1(s) {
		source = SourceUTF8
	}
	switch cx.Options.Encoding {
	case UTF16:
		if source == SourceUTF8 {
			return cx.storeUTF8ToUTF16(s)
		}
		return cx.storeUTF16(s)
	case Latin1UTF16:
		switch source {
		case SourceLatin1:
			return cx.storeLatin1(s)
		case SourceWideText:
			return cx.storeProbablyUTF16(s)
		case SourceUTF16:
			return cx.storeLatin1OrUTF16(s, countUnits(s))
		}
		return cx.storeLatin1OrUTF16(s, uint64(len(s)))
	}
	switch source {
	case SourceUTF16, SourceWideText:
		units := countUnits(s)
		return cx.storeToUTF8(s, units, 3*units)
	case SourceLatin1:
		units := uint64(utf8.RuneCountInString(s))
		return cx.storeToUTF8(s, units, 2*units)
	}
	p, err := cx.realloc(0, 0, 1, uint64(len(s)))
	if err != nil {
		return pair{}, err
	}
	copy(cx.mem[p:], s)
	return pair{uint32(p), uint32(len(s))}, nil
}

// storeToUTF8 is store_string_to_utf8: it hopes for ASCII first.
func (cx *Call) storeToUTF8(s string, units, worst uint64) (pair, error) {
	p, err := cx.realloc(0, 0, 1, units)
	if err != nil {
		return pair{}, err
	}
	ascii := 0
	for ascii < len(s) && s[ascii] < utf8.RuneSelf {
		ascii++
	}
	copy(cx.mem[p:], s[:ascii])
	if ascii == len(s) {
		return pair{uint32(p), uint32(units)}, nil
	}
	if p, err = cx.realloc(p, units, 1, worst); err != nil {
		return pair{}, err
	}
	n := uint64(len(s))
	copy(cx.mem[p+uint64(ascii):], s[ascii:])
	if n < worst {
		p, err = cx.realloc(p, worst, 1, n)
	}
	return pair{uint32(p), uint32(n)}, err
}

// storeUTF8ToUTF16 is store_utf8_to_utf16.
func (cx *Call) storeUTF8ToUTF16(s string) (pair, error) {
	worst := 2 * uint64(len(s))
	p, err := cx.realloc(0, 0, 2, worst)
	if err != nil {
		return pair{}, err
	}
	n := encodeUTF16(cx.mem[p:p+worst], s)
	if n < worst {
		p, err = cx.realloc(p, worst, 2, n)
	}
	return pair{uint32(p), uint32(n / 2)}, err
}

// storeUTF16 is store_string_copy to UTF-16, whose length is known beforehand.
func (cx *Call) storeUTF16(s string) (pair, error) {
	n := 2 * countUnits(s)
	p, err := cx.realloc(0, 0, 2, n)
	if err != nil {
		return pair{}, err
	}
	encodeUTF16(cx.mem[p:p+n], s)
	return pair{uint32(p), uint32(n / 2)}, nil
}

// storeLatin1 is store_string_copy from Latin-1 to Latin-1.
func (cx *Call) storeLatin1(s string) (pair, error) {
	n := uint64(utf8.RuneCountInString(s))
	p, err := cx.realloc(0, 0, 2, n)
	if err != nil {
		return pair{}, err
	}
	encodeLatin1(cx.mem[p:p+n], s)
	return pair{uint32(p), uint32(n)}, nil
}

// storeLatin1OrUTF16 is store_string_to_latin1_or_utf16: Latin-1 until a
// character does not fit, then what is stored is widened in place.
func (cx *Call) storeLatin1OrUTF16(s string, units uint64) (pair, error) {
	p, err := cx.realloc(0, 0, 2, units)
	if err != nil {
		return pair{}, err
	}
	n, rest := encodeLatin1(cx.mem[p:p+units], s)
	if rest == "" {
		if n < units {
			p, err = cx.realloc(p, units, 2, n)
		}
		return pair{uint32(p), uint32(n)}, err
	}
	worst := 2 * units
	if p, err = cx.realloc(p, units, 2, worst); err != nil {
		return pair{}, err
	}
	dst := cx.mem[p : p+worst]
	for i := int(n) - 1; i >= 0; i-- {
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(dst[i]))
	}
	size := 2*n + encodeUTF16(dst[2*n:], rest)
	if size < worst {
		p, err = cx.realloc(p, worst, 2, size)
	}
	return pair{uint32(p), uint32(size/2) | utf16Tag}, err
}

// storeProbablyUTF16 is store_probably_utf16_to_latin1_or_utf16: the source was
// UTF-16 for a reason, so it is tried first.
func (cx *Call) storeProbablyUTF16(s string) (pair, error) {
	size := 2 * countUnits(s)
	p, err := cx.realloc(0, 0, 2, size)
	if err != nil {
		return pair{}, err
	}
	dst := cx.mem[p : p+size]
	encodeUTF16(dst, s)
	if !isLatin1(s) {
		return pair{uint32(p), uint32(size/2) | utf16Tag}, nil
	}
	n := size / 2
	for i := range n {
		dst[i] = dst[2*i]
	}
	p, err = cx.realloc(p, size, 1, n)
	return pair{uint32(p), uint32(n)}, err
}

func isLatin1(s string) bool {
	for _, r := range s {
		if r > 0xff {
			return false
		}
	}
	return true
}

// countUnits is the number of UTF-16 code units of s.
func countUnits(s string) uint64 {
	n := uint64(0)
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// encodeUTF16 writes s as UTF-16LE and returns its size in bytes. It stops where
// dst does: s may lie in the guest's memory, and realloc may have changed it since
// it was measured.
func encodeUTF16(dst []byte, s string) uint64 {
	n := 0
	for _, r := range s {
		if r > 0xffff && len(dst)-n >= 4 {
			hi, lo := utf16.EncodeRune(r)
			binary.LittleEndian.PutUint16(dst[n:], uint16(hi))
			n += 2
			r = lo
		}
		if len(dst)-n < 2 {
			break
		}
		binary.LittleEndian.PutUint16(dst[n:], uint16(r))
		n += 2
	}
	return uint64(n)
}

// encodeLatin1 writes s as Latin-1 up to the first character that does not fit,
// and returns how much it wrote and what is left. Like encodeUTF16 it stops where
// dst does.
func encodeLatin1(dst []byte, s string) (uint64, string) {
	n := 0
	for i, r := range s {
		if r > 0xff || n == len(dst) {
			return uint64(n), s[i:]
		}
		dst[n] = byte(r)
		n++
	}
	return uint64(n), ""
}
