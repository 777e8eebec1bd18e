package binary

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What Decode returns, wrapped, for an input that is no component at all. Any
// other error is an *Error.
var (
	ErrNotWasm    = errors.New("not a WebAssembly binary")
	ErrCoreModule = errors.New("a core module, not a component")
	ErrVersion    = errors.New("a version of the binary format that is not supported")
)

// The first eight bytes: magic, version and layer (Binary.md, component
// definitions). Version 0x0d is the pre-standard one that WASI 0.2 and 0.3 use.
const (
	magic            = "\x00asm"
	preambleSize     = 8
	componentVersion = 0x0d
	componentLayer   = 1
	modulePreamble   = magic + "\x01\x00\x00\x00"
)

// Decode reads a component. Core modules in the result alias wasm, which must not
// change as long as they are used.
func Decode(wasm []byte) (*Component, error) {
	if err := checkPreamble(wasm); err != nil {
		return nil, err
	}
	r := newReader(wasm)
	c := r.component()
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

func checkPreamble(b []byte) error {
	if len(b) < preambleSize || string(b[:len(magic)]) != magic {
		return fmt.Errorf("%w: it does not begin with \\0asm and a version", ErrNotWasm)
	}
	version, layer := binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:])
	switch {
	case layer == componentLayer && version == componentVersion:
		return nil
	case layer == 0 && version == 1:
		return ErrCoreModule
	case layer == componentLayer:
		return fmt.Errorf("%w: component version 0x%x, expected 0x%x", ErrVersion, version, componentVersion)
	}
	return fmt.Errorf("%w: version 0x%x, layer 0x%x", ErrVersion, version, layer)
}

// component reads a preamble and sections up to the end of buf.
func (r *reader) component() *Component {
	r.enter()
	if r.ok() {
		if err := checkPreamble(r.buf[r.pos:]); err != nil {
			r.failf(r.pos, "expected a component, found %v", err)
		}
	}
	r.bytes(preambleSize)
	c := &Component{}
	for r.more() {
		c.Defs = r.readSection(c.Defs)
	}
	return c
}

// sections names the sections by id.
var sections = [...]string{
	0:  "custom",
	1:  "core module",
	2:  "core instance",
	3:  "core type",
	4:  "component",
	5:  "instance",
	6:  "alias",
	7:  "type",
	8:  "canonical definition",
	9:  "start",
	10: "import",
	11: "export",
	12: "value",
}

// readSection reads one section and appends its definitions.
func (r *reader) readSection(defs []Def) []Def {
	id := r.byte("a section id")
	if int(id) >= len(sections) {
		r.bad(id, "a section id from 0 to 12")
		return defs
	}
	s := r.sub(r.size("the " + sections[id] + " section"))
	s.section = sections[id]
	if !s.ok() {
		return defs
	}
	s.countItem()
	switch id {
	case 0:
		s.name("the name of a custom section")
		return defs
	case 1:
		return append(defs, s.coreModule())
	case 4:
		return append(defs, s.component())
	case 9:
		defs = append(defs, s.start())
	default:
		defs = append(defs, vec(s, s.section+"s", s.definition(id))...)
	}
	if s.more() {
		s.failf(s.pos, "%d bytes are left after the last definition", s.left())
	}
	return defs
}

// definition is the reader of one definition in a section that holds a vector
// of them.
func (r *reader) definition(id byte) func() Def {
	switch id {
	case 2:
		return func() Def { return r.coreInstance() }
	case 3:
		return func() Def { return r.coreType() }
	case 5:
		return func() Def { return r.instance() }
	case 6:
		return func() Def { return r.alias() }
	case 7:
		return func() Def { return r.typeDef() }
	case 8:
		return func() Def { return r.canon() }
	case 10:
		return func() Def { return r.importDef() }
	case 11:
		return func() Def { return r.export() }
	default:
		return func() Def { return r.value() }
	}
}

// coreModule takes the section as it is: package core reads it.
func (r *reader) coreModule() CoreModule {
	if len(r.buf) < preambleSize || string(r.buf[:preambleSize]) != modulePreamble {
		r.failf(0, "expected a core module of version 1")
	}
	return CoreModule{Bytes: r.buf}
}
