package proxywasm

import (
	"encoding/binary"
	"strings"
)

const exportSection = 7

// exportsVersion looks for an export that tells a version of the ABI in the
// sections of a module. It looks at nothing else, as files of other kinds come
// here too.
func exportsVersion(sections []byte) bool {
	r := scanner{sections}
	for len(r.rest) > 0 {
		id := r.rest[0]
		r.rest = r.rest[1:]
		section := r.take(r.u32())
		if id != exportSection {
			continue
		}
		exports := scanner{section}
		for n := exports.u32(); n > 0 && len(exports.rest) > 0; n-- {
			name := exports.take(exports.u32())
			if strings.HasPrefix(string(name), versionPrefix) {
				return true
			}
			exports.take(1)
			exports.u32()
		}
	}
	return false
}

// scanner reads numbers and bytes; behind the end there are none.
type scanner struct{ rest []byte }

func (s *scanner) u32() uint32 {
	v, n := binary.Uvarint(s.rest)
	if n <= 0 || v > 1<<32-1 {
		s.rest = nil
		return 0
	}
	s.rest = s.rest[n:]
	return uint32(v)
}

func (s *scanner) take(n uint32) []byte {
	if uint64(n) > uint64(len(s.rest)) {
		s.rest = nil
		return nil
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}
