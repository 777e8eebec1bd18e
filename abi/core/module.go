// Package core reads core WebAssembly modules and writes them anew, so that a
// host can name their imports, restore their globals and stop their code. It
// works on bytes alone and leaves validation to the engine that compiles them.
package core

import "slices"

// Kind is the kind of an import or export; its values are the binary format's.
type Kind uint8

// The kinds of external values (Binary Format, 5.5.5 Import Section).
const (
	KindFunc Kind = iota
	KindTable
	KindMemory
	KindGlobal
	KindTag
)

var kindNames = [...]string{"func", "table", "memory", "global", "tag"}

func (k Kind) String() string { return kindNames[k] }

// ValType is a value type as it is encoded, with (ref null t) of an abstract t
// shortened to its one-byte form. A concrete reference holds a type index of
// the module it stands in.
type ValType string

// The value types that every engine knows.
const (
	I32       ValType = "\x7f"
	I64       ValType = "\x7e"
	F32       ValType = "\x7d"
	F64       ValType = "\x7c"
	V128      ValType = "\x7b"
	FuncRef   ValType = "\x70"
	ExternRef ValType = "\x6f"
)

// Numeric reports whether a value of the type is a number of at most 64 bits.
func (t ValType) Numeric() bool {
	return t == I32 || t == I64 || t == F32 || t == F64
}

// FuncType is a function type.
type FuncType struct{ Params, Results []ValType }

// Equal reports whether two function types are the same.
func (t FuncType) Equal(u FuncType) bool {
	return slices.Equal(t.Params, u.Params) && slices.Equal(t.Results, u.Results)
}

// Limits are the limits and flags of a table (in elements) or memory (in
// pages). Max counts only if HasMax. Limits are comparable with ==.
type Limits struct {
	Min, Max     uint64
	HasMax       bool
	Shared, Is64 bool
	PageLog2     uint8 // memory only: log2 of the page size, 16 unless given
}

// ExternType is the type of an import or export. Which fields count depends on
// Kind.
type ExternType struct {
	Kind    Kind
	Func    FuncType // func; the parameters of a tag
	Val     ValType  // table: element type; global: value type
	Mutable bool     // global
	Limits  Limits   // table, memory
}

// Equal reports whether two types are the same.
func (t ExternType) Equal(u ExternType) bool {
	return t.Kind == u.Kind && t.Func.Equal(u.Func) && t.Val == u.Val &&
		t.Mutable == u.Mutable && t.Limits == u.Limits
}

// Import is an import with its type.
type Import struct {
	Module, Name string
	Type         ExternType
}

// Export is an export with its type. Index is that of the index space of its
// kind, in which imports come first.
type Export struct {
	Name  string
	Index uint32
	Type  ExternType
}

// Global is a global's type.
type Global struct {
	Val     ValType
	Mutable bool
}

// Table is a table's type.
type Table struct {
	Elem   ValType
	Limits Limits
}

// Module is a decoded core module. Index spaces start with the imports.
type Module struct {
	Imports   []Import
	Exports   []Export
	Types     []*FuncType // nil for types that are no function types
	Funcs     []uint32    // type indices
	Tables    []Table
	Memories  []Limits
	Globals   []Global
	Tags      []uint32 // type indices
	Start     bool     // has a start function, of index StartFunc
	StartFunc uint32
	Facts     Facts

	// How many of each index space are imported.
	ImportedFuncs, ImportedTables, ImportedMemories, ImportedGlobals, ImportedTags int

	wasm     []byte
	sections [sectionCount]section
	names    section // custom section "name"
	imports  []importSpan
	elems    int
	datas    int
	bodies   []body
	mutated  []bool // by global index: set by code of this module
}

// section is where a section's content lies. vec is where its elements start,
// behind their count.
type section struct {
	present  bool
	vec, end int
	count    uint32
}

// importSpan is where the description behind an import's names lies.
type importSpan struct{ desc, end int }

// Forget lets go of the binary, which is a module's largest part and no longer
// needed once it has been rewritten for the last time.
func (m *Module) Forget() { m.wasm, m.bodies, m.imports = nil, nil, nil }
