package canon

// layout is what load, store and flatten need of a type, worked out once.
type layout struct {
	size, align uint32
	flat        []CoreType
}

// CoreType is a core value type of a flattened signature.
type CoreType uint8

// The core types flattening yields.
const (
	I32 CoreType = iota
	I64
	CoreF32
	CoreF64
)
