package core

import "bytes"

// Ceilings on claimed counts, those of the JavaScript embedding's limits where
// it has one (WebAssembly JavaScript Interface, "Implementation-defined
// Limits"). The engine reserves memory by some of these counts.
const (
	maxParams    = 1_000
	maxLocals    = 50_000
	maxBody      = 7_654_321
	maxTables    = 100
	maxTableSize = 10_000_000
)

// Section ids in the order in which their sections stand (5.5.2).
const (
	secCustom = iota
	secType
	secImport
	secFunc
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElem
	secCode
	secData
	secDataCount
	secTag
	sectionCount
)

var sectionOrder = [...]int{
	secType, secImport, secFunc, secTable, secMemory, secTag, secGlobal,
	secExport, secStart, secElem, secDataCount, secCode, secData,
}

// sectionRank is the place of each section id in sectionOrder, from 1.
var sectionRank = func() (rank [sectionCount]int) {
	for i, id := range sectionOrder {
		rank[id] = i + 1
	}
	return rank
}()

// Parse decodes a core module. The module keeps wasm, which must not change.
// Malformed input yields an *Error. That code is well-typed and indices within
// code are in range is left to the engine.
func Parse(wasm []byte) (*Module, error) {
	m := &Module{wasm: wasm}
	r := &reader{wasm: wasm, end: len(wasm)}
	if !bytes.HasPrefix(wasm, []byte("\x00asm\x01\x00\x00\x00")) {
		r.fail(0, "not a core module of version 1")
		return nil, r.err
	}
	r.pos = 8
	for last := 0; r.more(); {
		start := r.pos
		id := int(r.byte())
		size := r.u32()
		if r.err == nil && uint64(size) > uint64(r.end-r.pos) {
			r.fail(start, "section %d of %d bytes exceeds the module", id, size)
		}
		if r.err != nil {
			break
		}
		content := &reader{wasm: wasm, pos: r.pos, end: r.pos + int(size)}
		r.skip(int(size))
		if id == secCustom {
			m.custom(content)
		} else if id >= sectionCount {
			r.fail(start, "unknown section %d", id)
		} else if sectionRank[id] <= last {
			r.fail(start, "section %d is out of order or repeated", id)
		} else {
			last = sectionRank[id]
			m.section(content, id)
		}
		if content.err != nil {
			return nil, content.err
		}
	}
	if r.err == nil && len(m.bodies) != len(m.Funcs)-m.ImportedFuncs {
		r.fail(r.pos, "%d functions but %d bodies", len(m.Funcs)-m.ImportedFuncs, len(m.bodies))
	}
	if r.err != nil {
		return nil, r.err
	}
	m.judge()
	return m, nil
}

// custom notes the first section "name" and passes over all others.
func (m *Module) custom(r *reader) {
	if r.name() == "name" && r.err == nil && !m.names.present {
		m.names = section{present: true, vec: r.pos, end: r.end}
	}
}

func (m *Module) section(r *reader, id int) {
	s := section{present: true, end: r.end, vec: r.pos}
	s.count = r.u32()
	s.vec = r.pos
	m.sections[id] = s
	switch id {
	case secStart:
		m.startEntry(r, s.count)
	case secDataCount:
	default:
		for n := s.count; n > 0 && r.err == nil; n-- {
			m.element(r, id)
		}
	}
	m.finish(r)
}

func (m *Module) startEntry(r *reader, f uint32) {
	if r.err != nil {
		return
	}
	if uint64(f) >= uint64(len(m.Funcs)) || !m.Types[m.Funcs[f]].Equal(FuncType{}) {
		r.fail(r.pos, "start function %d doesn't exist or has parameters or results", f)
		return
	}
	m.Start, m.StartFunc = true, f
}

func (m *Module) finish(r *reader) {
	if r.err == nil && r.pos != r.end {
		r.fail(r.pos, "%d bytes left at the end of a section", r.end-r.pos)
	}
}

// element reads one element of a section that is a vector.
func (m *Module) element(r *reader, id int) {
	switch id {
	case secType:
		r.recType(m)
	case secImport:
		m.importEntry(r)
	case secFunc:
		m.Funcs = append(m.Funcs, m.funcIndex(r))
	case secTable:
		m.tableEntry(r)
	case secMemory:
		m.Memories = append(m.Memories, r.limits(true))
	case secTag:
		start := r.pos
		if t := r.tagType(); m.funcType(r, start, t) != nil {
			m.Tags = append(m.Tags, t)
		}
	case secGlobal:
		m.Globals = append(m.Globals, r.globalType())
		m.constExpr(r)
	case secExport:
		m.exportEntry(r)
	case secElem:
		m.elemEntry(r)
	case secCode:
		m.bodyEntry(r)
	case secData:
		m.dataEntry(r)
	}
}

// funcIndex reads a type index that must be a function type's.
func (m *Module) funcIndex(r *reader) uint32 {
	start := r.pos
	t := r.u32()
	m.funcType(r, start, t)
	return t
}

func (m *Module) funcType(r *reader, at int, t uint32) *FuncType {
	if r.err == nil && (uint64(t) >= uint64(len(m.Types)) || m.Types[t] == nil) {
		r.fail(at, "type %d is no function type", t)
	}
	if r.err != nil {
		return nil
	}
	return m.Types[t]
}

func (m *Module) tableEntry(r *reader) {
	init := r.more() && r.wasm[r.pos] == 0x40 // a table with an initial value
	if init {
		r.skip(1)
		if at := r.pos; r.byte() != 0 {
			r.fail(at, "expected 0 after 0x40")
		}
	}
	t := r.tableType()
	if init {
		m.constExpr(r)
	}
	r.limit("tables", uint64(len(m.Tables)+1), maxTables)
	r.limit("table elements", t.Limits.Min, maxTableSize)
	m.Tables = append(m.Tables, t)
}

func (m *Module) importEntry(r *reader) {
	imp := Import{Module: r.name(), Name: r.name()}
	desc := r.pos
	kind := Kind(r.byte())
	at := r.pos
	switch kind {
	case KindFunc:
		m.Funcs = append(m.Funcs, m.funcIndex(r))
		m.ImportedFuncs++
	case KindTable:
		m.Tables = append(m.Tables, r.tableType())
		r.limit("tables", uint64(len(m.Tables)), maxTables)
		m.ImportedTables++
	case KindMemory:
		m.Memories = append(m.Memories, r.limits(true))
		m.ImportedMemories++
	case KindGlobal:
		m.Globals = append(m.Globals, r.globalType())
		m.ImportedGlobals++
	case KindTag:
		t := r.tagType()
		m.funcType(r, at, t)
		m.Tags = append(m.Tags, t)
		m.ImportedTags++
	default:
		r.fail(desc, "invalid import kind %#x", byte(kind))
	}
	if r.err != nil {
		return
	}
	imp.Type = m.externType(kind, uint32(m.spaceSize(kind)-1))
	m.Imports = append(m.Imports, imp)
	m.imports = append(m.imports, importSpan{desc: desc, end: r.pos})
}

func (m *Module) exportEntry(r *reader) {
	e := Export{Name: r.name()}
	at := r.pos
	kind := Kind(r.byte())
	e.Index = r.u32()
	if r.err == nil && (kind > KindTag || uint64(e.Index) >= uint64(m.spaceSize(kind))) {
		r.fail(at, "export %q of kind %#x with index %d, which doesn't exist", e.Name, byte(kind), e.Index)
	}
	if r.err != nil {
		return
	}
	e.Type = m.externType(kind, e.Index)
	m.Exports = append(m.Exports, e)
}

func (m *Module) spaceSize(kind Kind) int {
	switch kind {
	case KindFunc:
		return len(m.Funcs)
	case KindTable:
		return len(m.Tables)
	case KindMemory:
		return len(m.Memories)
	case KindGlobal:
		return len(m.Globals)
	default:
		return len(m.Tags)
	}
}

// externType is the type of what stands at an index, which must exist.
func (m *Module) externType(kind Kind, index uint32) ExternType {
	t := ExternType{Kind: kind}
	switch kind {
	case KindFunc:
		t.Func = *m.Types[m.Funcs[index]]
	case KindTable:
		t.Val, t.Limits = m.Tables[index].Elem, m.Tables[index].Limits
	case KindMemory:
		t.Limits = m.Memories[index]
	case KindGlobal:
		t.Val, t.Mutable = m.Globals[index].Val, m.Globals[index].Mutable
	case KindTag:
		t.Func = *m.Types[m.Tags[index]]
	}
	return t
}

// elemEntry reads an element segment: bit 0 passive or declarative, bit 1 an
// explicit table or declarative, bit 2 expressions (5.5.12).
func (m *Module) elemEntry(r *reader) {
	start := r.pos
	flags := r.u32()
	if flags > 7 {
		r.fail(start, "invalid element segment flags %#x", flags)
		return
	}
	if flags&1 == 0 {
		if flags&2 != 0 {
			r.u32()
		}
		m.constExpr(r)
	}
	if flags&3 != 0 {
		if flags&4 != 0 {
			r.valType()
		} else if at := r.pos; r.byte() != 0 {
			r.fail(at, "element kind is not 0")
		}
	}
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		if flags&4 != 0 {
			m.constExpr(r)
		} else {
			r.u32()
		}
	}
	m.elems++
}

func (m *Module) dataEntry(r *reader) {
	start := r.pos
	flags := r.u32()
	switch flags {
	case 0:
		m.constExpr(r)
	case 1:
		m.Facts.passiveData = true
	case 2:
		r.u32()
		m.constExpr(r)
	default:
		r.fail(start, "invalid data segment flags %#x", flags)
	}
	n := r.u32()
	if r.err == nil && uint64(n) > uint64(r.end-r.pos) {
		r.fail(start, "data segment of %d bytes exceeds its section", n)
		return
	}
	r.pos += int(n)
	m.datas++
}
