package abi

import (
	"context"

	"github.com/extproc/extproc/abi/canon"
)

// Value is a component-level value; canon.Value tells which fields count.
type Value = canon.Value

// Interface is what a host offers under one import name: a set of rows.
//
// A Name whose version is cut to its semver track, as "wasi:http/types@0.2",
// satisfies every import of that track: 0.2.0, 0.2.9, 0.2.3-rc.1. A full
// version satisfies exactly itself.
type Interface struct {
	Name      string
	Resources []Resource
	Funcs     []HostFunc
}

// Resource is a resource type the host defines.
type Resource struct {
	Name string // as in the interface: "fields"
	// Drop is called when the guest drops its owning handle, and for every
	// handle that is left when the instance ends. It may be nil.
	Drop func(data any, obj any)
}

// HostFunc is one row: a function the host offers.
type HostFunc struct {
	Name string // as in the interface: "[method]fields.get", "now"
	// Sig is its WIT type, "func(self: borrow<fields>, name: string) -> u32",
	// checked against the type of the import when a component is linked. A bare
	// name is a type the interface exports; for a resource it means own.
	Sig string
	// Call does it. A returned error traps the guest.
	Call func(c *Call) error
}

// Call is one call of a host function by a guest. It is reused: neither it nor
// what it hands out may be kept after the function returned.
type Call struct {
	// Args are the lifted parameters. For a handle of a host resource, Obj is
	// the object it stands for.
	Args []Value
	// Result is to be set when the function has a result.
	Result Value

	inst *Instance
	typ  *canon.Func
}

// ReturnOk and those below set Result to what is returned most. An assignment of a
// Value is some hundred bytes of code, and most of what an import costs a proxy is
// that its code has left the processor's caches since the last exchange.
func (c *Call) ReturnOk() { c.ReturnNum(0) }

// ReturnErr returns the failure of a result without a payload.
func (c *Call) ReturnErr() { c.ReturnNum(1) }

// ReturnNone returns an empty option.
func (c *Call) ReturnNone() { c.ReturnNum(0) }

// ReturnNum returns a number, or a case without a payload.
//
//go:noinline
func (c *Call) ReturnNum(n uint64) { c.Result = Value{Num: n} }

// ReturnString returns a string.
//
//go:noinline
func (c *Call) ReturnString(s string) { c.Result = Value{Str: s} }

// ReturnOwn returns a new resource of the host, see Own.
//
//go:noinline
func (c *Call) ReturnOwn(obj any) { c.Result = Value{Obj: obj} }

// ReturnOkOwn returns the success of a result that has one.
func (c *Call) ReturnOkOwn(obj any) {
	c.ReturnOwn(obj)
	c.WrapOk()
}

// WrapOk makes Result the success of a result that has it as its payload.
func (c *Call) WrapOk() { c.wrap(0) }

// WrapSome makes Result an option that holds it.
func (c *Call) WrapSome() { c.wrap(1) }

//go:noinline
func (c *Call) wrap(n uint64) {
	l := c.inst.arena.take(1)
	l[0] = c.Result
	c.Result = Value{Num: n, List: l}
}

// Context is the context the guest was called with.
func (c *Call) Context() context.Context { return c.inst.ctx.Context }

// Data is what the instance was given by Instantiate or SetData.
func (c *Call) Data() any { return c.inst.data }

// ResultType is the type of the result, nil when there is none.
func (c *Call) ResultType() *canon.Type { return c.typ.Result }

// ParamType is the type of parameter i.
func (c *Call) ParamType(i int) *canon.Type { return c.typ.Params[i].Type }

// List returns n zero Values that are valid until the call returns.
func (c *Call) List(n int) []Value {
	l := c.inst.arena.take(n)
	clear(l)
	return l
}

// Ok is the success of a result, with its payload if it has one.
func (c *Call) Ok(payload ...Value) Value { return c.variant(0, payload) }

// Err is the failure of a result, with its payload if it has one.
func (c *Call) Err(payload ...Value) Value { return c.variant(1, payload) }

// Some is an option that holds v.
func (c *Call) Some(v Value) Value {
	l := c.inst.arena.take(1)
	l[0] = v
	return Value{Num: 1, List: l}
}

// None is an empty option.
func (c *Call) None() Value { return Value{} }

// ErrCase is the failure of the function's result whose error type, a variant
// or enum, has a case called name. A name it lacks traps the guest.
func (c *Call) ErrCase(name string, payload ...Value) Value {
	r := c.typ.Result
	if r == nil || r.Kind != canon.Result || r.Cases[1].Type == nil {
		panic(trapf("host function answers error case %q, but its type has no error payload", name))
	}
	return c.Err(c.Case(r.Cases[1].Type, name, payload...))
}

// Case is the value of variant or enum t whose case is called name. A name it
// lacks traps the guest.
func (c *Call) Case(t *canon.Type, name string, payload ...Value) Value {
	for i := range t.Cases {
		if t.Cases[i].Name == name {
			return c.variant(uint64(i), payload)
		}
	}
	panic(trapf("host function answers case %q, which its type lacks", name))
}

// Own is a new resource of the host, to be returned. Its type is the one of
// the result it is part of.
func (c *Call) Own(obj any) Value { return Value{Obj: obj} }

func (c *Call) variant(n uint64, payload []Value) Value {
	if len(payload) == 0 {
		return Value{Num: n}
	}
	l := c.inst.arena.take(1)
	l[0] = payload[0]
	return Value{Num: n, List: l}
}

// String is a string value.
func String(s string) Value { return Value{Str: s} }

// Bytes is a list<u8> value. b must not change while the value is in use.
func Bytes(b []byte) Value { return Value{Str: bytesAsString(b)} }

// Bool is a bool value.
func Bool(b bool) Value {
	if b {
		return Value{Num: 1}
	}
	return Value{}
}

// U32 is an integer value of up to 32 bits.
func U32(n uint32) Value { return Value{Num: uint64(n)} }

// U64 is a u64 value.
func U64(n uint64) Value { return Value{Num: n} }
