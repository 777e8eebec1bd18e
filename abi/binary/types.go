package binary

// ValType is a primitive type or the index of a defined one.
type ValType struct {
	Prim Prim // PrimNone when Idx counts
	Idx  uint32
}

// Prim is a primitive value type; its values are the binary format's opcodes.
type Prim uint8

// The primitive value types.
const (
	PrimNone         Prim = 0
	PrimBool         Prim = 0x7f
	PrimS8           Prim = 0x7e
	PrimU8           Prim = 0x7d
	PrimS16          Prim = 0x7c
	PrimU16          Prim = 0x7b
	PrimS32          Prim = 0x7a
	PrimU32          Prim = 0x79
	PrimS64          Prim = 0x78
	PrimU64          Prim = 0x77
	PrimF32          Prim = 0x76
	PrimF64          Prim = 0x75
	PrimChar         Prim = 0x74
	PrimString       Prim = 0x73
	PrimErrorContext Prim = 0x64
)

// Type is a type definition (section 7): exactly one of its fields is set.
type Type struct {
	Val       *DefValType
	Func      *FuncType
	Component *ComponentType
	Instance  *InstanceType
	Resource  *ResourceType
}

// DefKind is the constructor of a defined value type; its values are the
// binary format's opcodes.
type DefKind uint8

// The constructors of defined value types.
const (
	DefPrim      DefKind = 0
	DefRecord    DefKind = 0x72
	DefVariant   DefKind = 0x71
	DefList      DefKind = 0x70
	DefFixedList DefKind = 0x67
	DefTuple     DefKind = 0x6f
	DefFlags     DefKind = 0x6e
	DefEnum      DefKind = 0x6d
	DefOption    DefKind = 0x6b
	DefResult    DefKind = 0x6a
	DefOwn       DefKind = 0x69
	DefBorrow    DefKind = 0x68
	DefStream    DefKind = 0x66
	DefFuture    DefKind = 0x65
	DefMap       DefKind = 0x63
)

// DefValType is a defined value type. Which fields count depends on Kind:
// Prim; Fields (record, variant, tuple with empty labels); Labels (flags,
// enum); Elem (list, fixed-length list with Len, option, stream, future, the ok
// of a result, the value of a map); Err (result); Key (map); Resource (own,
// borrow: a type index).
type DefValType struct {
	Kind     DefKind
	Prim     Prim
	Fields   []LabelType
	Labels   []string
	Elem     *ValType
	Err      *ValType
	Key      *ValType
	Len      uint32
	Resource uint32
}

// LabelType is a record field, a parameter, or a variant case, whose type may
// be absent.
type LabelType struct {
	Label string
	Type  *ValType
}

// FuncType is a component function type. Result is nil when there is none.
type FuncType struct {
	Async  bool
	Params []LabelType
	Result *ValType
}

// ComponentType holds the declarators of a component type: CoreType, Type,
// Alias, Import, and Export whose Type is set and whose SortIdx is not.
type ComponentType struct{ Decls []Def }

// InstanceType holds the declarators of an instance type: as ComponentType,
// without imports.
type InstanceType struct{ Decls []Def }

// ResourceType is a resource definition. Dtor is a core function index.
type ResourceType struct {
	Rep     CoreValType
	HasDtor bool
	Dtor    uint32
}

// CoreType is a core type definition (section 3): a module type, or another
// core type kept as it came, of which Func is set when it is a function type.
type CoreType struct {
	Module *CoreModuleType
	Func   *CoreFuncType
	Raw    []byte // any other rectype (WebAssembly 3.0), undecoded
	Count  uint32 // how many core types it defines: not 1 only for a recursive group
}

// CoreValType is a core value type as encoded in one byte, or more for
// reference types that wazero does not know (kept for comparison only).
type CoreValType string

// CoreFuncType is a core function type.
type CoreFuncType struct{ Params, Results []CoreValType }

// CoreModuleType holds the declarators of a core module type in order.
type CoreModuleType struct{ Decls []CoreModuleDecl }

// CoreModuleDecl is exactly one of its fields.
type CoreModuleDecl struct {
	Import *CoreImport
	Type   *CoreType
	Alias  *Alias
	Export *CoreExportDecl
}

// CoreImport is an import of a core module or module type.
type CoreImport struct {
	Module, Name string
	Type         CoreExternType
}

// CoreExportDecl is an export of a core module type.
type CoreExportDecl struct {
	Name string
	Type CoreExternType
}

// CoreExternType is the type of a core import or export. Idx is the function
// type index for functions and tags.
type CoreExternType struct {
	Sort Sort
	Idx  uint32
	Elem CoreValType // table element or global value type
	Mut  bool        // global
	Min  uint64      // table, memory
	Max  *uint64
	// Shared, Is64 and PageLog2 are the memory and table flags of later proposals.
	Shared, Is64 bool
	PageLog2     *uint32
}
