// Package binary decodes the component binary format into the definitions it
// is made of, in their order, without judging their meaning: package validate
// does that. Shapes follow design/mvp/Binary.md of the Component Model.
package binary

// Component is a decoded component: its definitions in order. The index
// spaces of the format are implied by that order.
type Component struct {
	Defs []Def
}

// Def is one definition of a component, a component type or an instance type.
// It is one of CoreModule, CoreInstance, CoreType, *Component, Instance, Alias,
// Type, Canon, Start, Import, Export or Value.
type Def interface{ def() }

// CoreModule is an embedded core module, undecoded (section 1).
type CoreModule struct{ Bytes []byte }

// Sort is the kind of thing an index refers to.
type Sort uint8

// The sorts of Binary.md, core sorts first.
const (
	SortCoreFunc Sort = iota
	SortCoreTable
	SortCoreMemory
	SortCoreGlobal
	SortCoreTag
	SortCoreType
	SortCoreModule
	SortCoreInstance
	SortFunc
	SortValue
	SortType
	SortComponent
	SortInstance
)

var sortNames = [...]string{
	SortCoreFunc: "core func", SortCoreTable: "core table", SortCoreMemory: "core memory",
	SortCoreGlobal: "core global", SortCoreTag: "core tag", SortCoreType: "core type",
	SortCoreModule: "core module", SortCoreInstance: "core instance", SortFunc: "func",
	SortValue: "value", SortType: "type", SortComponent: "component", SortInstance: "instance",
}

// String is the sort as the text format has it.
func (s Sort) String() string { return sortNames[s] }

// SortIdx is an index together with the index space it is of.
type SortIdx struct {
	Sort Sort
	Idx  uint32
}

// CoreInstance is either the instantiation of a module, with instances as
// arguments, or a bag of earlier core definitions (Inline).
type CoreInstance struct {
	Module uint32
	Args   []CoreArg
	Inline bool
	Bag    []CoreExport
}

// CoreArg satisfies every import of the module name Name from a core instance.
type CoreArg struct {
	Name     string
	Instance uint32
}

// CoreExport is one entry of an inline core instance.
type CoreExport struct {
	Name string
	SortIdx
}

// Instance is either the instantiation of a component or a bag of earlier
// definitions (Inline).
type Instance struct {
	Component uint32
	Args      []Arg
	Inline    bool
	Bag       []InlineExport
}

// Arg satisfies the import Name of an instantiated component.
type Arg struct {
	Name string
	SortIdx
}

// InlineExport is one entry of an inline instance.
type InlineExport struct {
	Name Name
	SortIdx
}

// AliasKind tells where an alias looks.
type AliasKind uint8

// The three forms of alias.
const (
	AliasExport AliasKind = iota
	AliasCoreExport
	AliasOuter
)

// Alias adds a definition of another instance or of an enclosing scope to an
// index space. For AliasOuter, Count is the number of scopes to go out.
type Alias struct {
	Kind     AliasKind
	Sort     Sort
	Instance uint32
	Name     string
	Count    uint32
	Idx      uint32
}

// Name is an import or export name with its attributes.
type Name struct {
	Name          string
	Implements    string // empty when absent
	VersionSuffix string
	ExternalID    string
	Attributes    uint8 // how many attributes stood in the binary
	Has           AttrKind
}

// AttrKind is a set of attributes.
type AttrKind uint8

// The attributes, in the order of their opcodes.
const (
	AttrImplements AttrKind = 1 << iota
	AttrVersionSuffix
	AttrExternalID
)

// Import is an import definition.
type Import struct {
	Name Name
	Type ExternType
}

// Export is an export definition. Type is the ascribed type, or nil.
type Export struct {
	Name Name
	SortIdx
	Type *ExternType
}

// ExternType is the type of an import or export. Idx is the type index for
// modules, functions, components and instances; for SortType it is the index
// of an (eq) bound, unless SubResource.
type ExternType struct {
	Sort        Sort
	Idx         uint32
	SubResource bool
	Value       *ValueBound // SortValue
}

// ValueBound is the bound of an imported or exported value: the type of it,
// or an earlier value it equals.
type ValueBound struct {
	Eq   bool
	Idx  uint32
	Type ValType
}

// Start is a component start definition.
type Start struct {
	Func    uint32
	Args    []uint32
	Results uint32
}

// Value is a value definition: its type and undecoded bytes.
type Value struct {
	Type  ValType
	Bytes []byte
}
