package core

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Rewrite says how to write a module anew.
type Rewrite struct {
	// Import gives each import its new names; index counts imports of all
	// kinds in their order. The module name must not be empty for wazero,
	// which resolves imports by it alone. Nil keeps the names.
	Import func(module, name string, index int) (newModule, newName string)
	// Meter makes code give way to the host every so often and end once the
	// global StopExport is not 0. See Stop. A start function becomes the export
	// StartExport instead, which the host must call first.
	Meter bool
	// TableMax is what a table can grow to at most, in elements, if that is more
	// than it starts with; 0 leaves tables as they are. An engine keeps tables in
	// memory of its own, which a guest could otherwise exhaust.
	TableMax uint64

	interval int32 // in place of Interval, for tests
}

// Rewrite writes the module with the changes asked for, and with an export for
// each of ResetGlobals. Of the custom sections only "name" is kept. It fails on
// modules whose exports use the prefix Reserved, and on metering a memory with
// 64-bit addresses.
func (m *Module) Rewrite(opts Rewrite) ([]byte, error) {
	for _, e := range m.Exports {
		if strings.HasPrefix(e.Name, Reserved) {
			return nil, fmt.Errorf("core module: export %q uses the reserved prefix %q", e.Name, Reserved)
		}
	}
	w := &writer{Module: m, opts: opts, out: make([]byte, 0, len(m.wasm)+len(m.wasm)/4+256)}
	if opts.Meter {
		if len(m.Memories) > 0 && m.Memories[0].Is64 {
			return nil, fmt.Errorf("core module: a memory with 64-bit addresses cannot be metered")
		}
		w.meter = newMeter(m, opts.interval)
	}
	w.out = append(w.out, m.wasm[:8]...)
	for _, id := range sectionOrder {
		w.section(id)
	}
	if m.names.present && m.namesWellFormed() {
		w.frame(secCustom, func() {
			w.name("name")
			w.out = append(w.out, m.wasm[m.names.vec:m.names.end]...)
		})
	}
	return w.out, nil
}

// writer appends the sections of a rewritten module to out.
type writer struct {
	*Module
	opts  Rewrite
	meter *meter // nil without metering
	out   []byte
}

func (w *writer) section(id int) {
	switch {
	case id == secImport && w.opts.Import != nil && w.sections[id].present:
		w.importSection()
	case id == secExport:
		w.exportSection()
	case id == secTable && w.opts.TableMax > 0:
		w.tableSection()
	case w.meter == nil:
		w.copySection(id)
	case id == secStart: // exported instead
	case id == secType:
		w.extend(id, 1, 0x60, 0, 0)
	case id == secFunc:
		w.extend(id, 1, binary.AppendUvarint(nil, uint64(len(w.Types)))...)
	case id == secMemory && w.meter.ownMemory:
		w.extend(id, 1, 1, 0, 0) // at least 0 and at most 0 pages
	case id == secGlobal:
		w.extend(id, 2, w.meter.globals()...)
	case id == secCode:
		w.codeSection()
	default:
		w.copySection(id)
	}
}

func (w *writer) copySection(id int) {
	s := w.sections[id]
	if !s.present {
		return
	}
	if id == secStart || id == secDataCount { // their content is one number
		w.frame(id, func() { w.u32(s.count) })
		return
	}
	w.extend(id, 0)
}

// extend writes a section whose vector has more elements at its end.
func (w *writer) extend(id int, more uint32, elements ...byte) {
	s := w.sections[id]
	w.frame(id, func() {
		w.u32(s.count + more)
		w.out = append(w.out, w.wasm[s.vec:s.end]...)
		w.out = append(w.out, elements...)
	})
}

func (w *writer) importSection() {
	w.frame(secImport, func() {
		w.u32(uint32(len(w.Imports)))
		for i, imp := range w.Imports {
			module, name := w.opts.Import(imp.Module, imp.Name, i)
			w.name(module)
			w.name(name)
			span := w.imports[i]
			w.out = append(w.out, w.wasm[span.desc:span.end]...)
		}
	})
}

func (w *writer) exportSection() {
	var added []byte
	count := uint32(0)
	add := func(name string, kind Kind, index int) {
		added = binary.AppendUvarint(added, uint64(len(name)))
		added = append(added, name...)
		added = append(added, byte(kind))
		added = binary.AppendUvarint(added, uint64(index))
		count++
	}
	for i, set := range w.changeable() {
		if set && i >= w.ImportedGlobals {
			add(globalExport(i), KindGlobal, i)
		}
	}
	if w.meter != nil {
		add(StopExport, KindGlobal, w.meter.stop)
		if w.Start {
			add(StartExport, KindFunc, int(w.StartFunc))
		}
	}
	if count > 0 || w.sections[secExport].present {
		w.extend(secExport, count, added...)
	}
}

func (w *writer) codeSection() {
	w.frame(secCode, func() {
		w.u32(uint32(len(w.bodies) + 1))
		for i := range w.bodies {
			w.sized(func() { w.body(i) })
		}
		w.sized(func() { w.out = w.meter.tick(w.out) })
	})
}

// body writes a function's body with the metering code in its places.
func (w *writer) body(i int) {
	b := &w.bodies[i]
	params := len(w.Types[w.Funcs[w.ImportedFuncs+i]].Params)
	if !b.metered() {
		w.out = append(w.out, w.wasm[b.start:b.end]...)
		return
	}
	groups := &reader{wasm: w.wasm, pos: b.start, end: b.end}
	w.u32(groups.u32() + 1)
	w.out = append(w.out, w.wasm[groups.pos:b.code]...)
	w.out = append(w.out, 1, I32[0]) // the scratch local
	scratch := uint32(params) + b.locals
	at := b.code
	turns := b.turns()
	if b.countsEntry() {
		w.out = w.meter.charge(w.out, scratch, turns)
	}
	copyTo := func(pos int) {
		w.out = append(w.out, w.wasm[at:pos]...)
		at = pos
	}
	loops := b.loops
	for _, d := range b.dear {
		for ; len(loops) > 0 && loops[0] <= d.at; loops = loops[1:] {
			copyTo(loops[0])
			w.out = w.meter.charge(w.out, scratch, turns)
		}
		copyTo(d.at)
		if d.turns > 0 {
			w.out = w.meter.charge(w.out, scratch, int32(d.turns))
		} else {
			w.out = w.meter.chargeLength(w.out, scratch, d.shift)
		}
	}
	for _, pos := range loops {
		copyTo(pos)
		w.out = w.meter.charge(w.out, scratch, turns)
	}
	w.out = append(w.out, w.wasm[at:b.end]...)
}

// frame writes a section around what content writes.
func (w *writer) frame(id int, content func()) {
	w.out = append(w.out, byte(id))
	w.sized(content)
}

// sized writes the length of what content writes before it, in the five bytes
// that any length fits in, for which the format allows.
func (w *writer) sized(content func()) {
	at := len(w.out)
	w.out = append(w.out, 0x80, 0x80, 0x80, 0x80, 0)
	content()
	n := len(w.out) - at - 5
	for i := range 4 {
		w.out[at+i] |= byte(n>>(7*i)) & 0x7f
	}
	w.out[at+4] = byte(n >> 28)
}

func (w *writer) u64(v uint64) { w.out = binary.AppendUvarint(w.out, v) }

func (w *writer) u32(v uint32) { w.out = binary.AppendUvarint(w.out, uint64(v)) }

func (w *writer) name(s string) {
	w.u32(uint32(len(s)))
	w.out = append(w.out, s...)
}

// namesWellFormed reports whether the section "name" can be handed to an
// engine: its subsections for the module, functions and locals must hold what
// they claim to.
func (m *Module) namesWellFormed() bool {
	r := &reader{wasm: m.wasm, pos: m.names.vec, end: m.names.end}
	for r.more() {
		id := r.byte()
		size := r.u32()
		if r.err != nil || uint64(size) > uint64(r.end-r.pos) {
			return false
		}
		sub := &reader{wasm: m.wasm, pos: r.pos, end: r.pos + int(size)}
		r.pos = sub.end
		switch id {
		case 0:
			sub.name()
		case 1:
			sub.nameMap()
		case 2:
			for n := sub.u32(); n > 0 && sub.err == nil; n-- {
				sub.u32()
				sub.nameMap()
			}
		default:
			continue
		}
		if sub.err != nil || sub.pos != sub.end {
			return false
		}
	}
	return r.err == nil
}

func (r *reader) nameMap() {
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		r.u32()
		r.name()
	}
}
