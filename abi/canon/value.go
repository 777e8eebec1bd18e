// Package canon is the Canonical ABI: how component-level values cross linear
// memory and core function signatures. It knows no engine; what it needs of one
// is the Options it is handed. Names follow design/mvp/CanonicalABI.md.
package canon

// Value is a component-level value outside any guest's memory.
//
// Which fields count follows from the value's type:
//
//	bool, integers, char       Num (sign-extended for s8..s64)
//	f32, f64                   Num holds the IEEE 754 bits
//	string                     Str, valid UTF-8; Num is how a guest encoded it (see
//	                           Source), 0 for a host's
//	list<u8>                   Str, byte for byte (List is nil)
//	other lists, record, tuple List: the elements or fields
//	variant, enum              Num is the case index, List the payload (0 or 1)
//	option                     Num 0 none, 1 some; List the payload
//	result                     Num 0 ok, 1 error; List the payload (0 or 1)
//	flags                      Num, label i at bit i
//	own, borrow                Num is the resource's rep; Obj what a host
//	                           resource stands for
//
// Str and List of a lifted Value may lie in memory that is reused: they are
// valid until the call they belong to returns. Clone what is kept.
type Value struct {
	Num  uint64
	Str  string
	List []Value
	Obj  any
}

// Payload is the value carried by a variant case, option or result; the zero
// Value when there is none.
func (v Value) Payload() Value {
	if len(v.List) == 0 {
		return Value{}
	}
	return v.List[0]
}
