package canon

// Kind is the constructor of a value type.
type Kind uint8

// The value types of the Component Model.
const (
	Bool Kind = iota
	S8
	U8
	S16
	U16
	S32
	U32
	S64
	U64
	F32
	F64
	Char
	String
	ErrorContext
	List
	FixedList
	Map
	Record
	Tuple
	Variant
	Enum
	Option
	Result
	Flags
	Own
	Borrow
	Stream
	Future
)

// Type is a resolved value type: no index remains in it, and its resources are
// identities. Types are built once at load and never changed.
type Type struct {
	Kind     Kind
	Fields   []Field   // record; tuple, with empty names
	Cases    []Case    // variant, enum; option and result despecialised (none/some, ok/error)
	Labels   []string  // flags
	Elem     *Type     // list, fixed-length list, map value, stream, future; may be nil for the last two
	Key      *Type     // map
	Len      uint32    // fixed-length list
	Resource *Resource // own, borrow

	layout *layout // what Compile worked out; guarded by layouts
}

// Field is a record field or a parameter.
type Field struct {
	Name string
	Type *Type
}

// Case is a variant case; Type is nil when it carries nothing.
type Case struct {
	Name string
	Type *Type
}

// Func is a resolved function type. Result is nil when there is none.
type Func struct {
	Async  bool
	Params []Field
	Result *Type
}

// Resource is the identity of a resource type: two are the same type when they
// are the same pointer.
type Resource struct {
	Name string // for messages, which read "expected <Name>"
	// Drop destroys a resource when its owning handle is dropped: the guest's
	// destructor, or what the host does. It may be nil.
	Drop func(call any, rep uint32, obj any) error
	// Owner is the component instance that defines it, nil for the host. Inside
	// its owner a borrow is passed as its rep (CanonicalABI.md, lower_borrow).
	Owner any
}

var kindNames = [...]string{
	Bool: "bool", S8: "s8", U8: "u8", S16: "s16", U16: "u16", S32: "s32", U32: "u32", S64: "s64", U64: "u64",
	F32: "f32", F64: "f64", Char: "char", String: "string", ErrorContext: "error-context", List: "list",
	FixedList: "list", Map: "map", Record: "record", Tuple: "tuple", Variant: "variant", Enum: "enum",
	Option: "option", Result: "result", Flags: "flags", Own: "own", Borrow: "borrow", Stream: "stream", Future: "future",
}

// String is the kind's name in WIT.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}
