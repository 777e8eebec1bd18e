package abi

import (
	"context"

	"github.com/extproc/extproc/abi/canon"
)

// Func is an exported function of an instance.
type Func struct{ typ *canon.Func }

// Type is the type of the function.
func (f *Func) Type() *canon.Func { return f.typ }

// ParamType is the type of parameter i.
func (f *Func) ParamType(i int) *canon.Type { return f.typ.Params[i].Type }

// Call calls the function. len(args) must be the number of parameters, and
// results must have room for the result if there is one. What the results hold
// is valid until the next call. A host object is passed as an own<...> argument
// as Value{Obj: obj}. A returned *Trap means that the instance is finished.
func (f *Func) Call(ctx context.Context, args, results []Value) error { return errTODO }
