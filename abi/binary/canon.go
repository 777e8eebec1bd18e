package binary

// CanonKind is a canonical definition; its values are the binary format's
// opcodes.
type CanonKind uint8

// The canonical definitions a synchronous component uses. The asynchronous
// built-ins keep their opcode as Kind too.
const (
	CanonLift         CanonKind = 0x00
	CanonLower        CanonKind = 0x01
	CanonResourceNew  CanonKind = 0x02
	CanonResourceDrop CanonKind = 0x03
	CanonResourceRep  CanonKind = 0x04
)

// Canon is one canonical definition (section 8). Func is the core function of a
// lift and the function of a lower; Type is the function type of a lift and the
// type operand of the built-ins. Async, Cancel, Shared, CoreType, Memory, Table,
// ValType and Slot are the operands of asynchronous built-ins.
type Canon struct {
	Kind CanonKind
	Func uint32
	Type uint32
	Opts []CanonOpt

	Async, Cancel, Shared bool
	CoreType              uint32
	Memory, Table         uint32
	Result                *ValType
	ValType               CoreValType
	Slot                  uint32
}

// CanonOptKind is a canonical option; its values are the binary format's
// opcodes.
type CanonOptKind uint8

// The canonical options.
const (
	OptUTF8 CanonOptKind = iota
	OptUTF16
	OptLatin1UTF16
	OptMemory
	OptRealloc
	OptPostReturn
	OptAsync
	OptCallback
)

// CanonOpt is a canonical option and its index, if it has one.
type CanonOpt struct {
	Kind CanonOptKind
	Idx  uint32
}

func (CoreModule) def()   {}
func (CoreInstance) def() {}
func (CoreType) def()     {}
func (*Component) def()   {}
func (Instance) def()     {}
func (Alias) def()        {}
func (Type) def()         {}
func (Canon) def()        {}
func (Start) def()        {}
func (Import) def()       {}
func (Export) def()       {}
func (Value) def()        {}
