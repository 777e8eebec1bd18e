package abi

import (
	"context"
	"fmt"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/abi/core"
)

// contextSlots is the size of a task's storage (CanonicalABI.md, context.get).
const contextSlots = 2

func (f *flattener) context(s *scope, d binary.Canon) error {
	if d.Slot >= contextSlots {
		return fmt.Errorf("context slot %d out of range: there are %d", d.Slot, contextSlots)
	}
	f.usesContext = true
	t := core.ValType(d.ValType)
	if d.Kind == binary.CanonContextGet {
		f.addSlot(s, &contextGet{t, d.Slot})
	} else {
		f.addSlot(s, &contextSet{t, d.Slot})
	}
	return nil
}

// contextGet is canon context.get.
type contextGet struct {
	typ  core.ValType
	slot uint32
}

func (b *contextGet) coreType() core.FuncType {
	return core.FuncType{Results: []core.ValType{b.typ}}
}

func (b *contextGet) Call(ctx context.Context, stack []uint64) {
	in := caller(ctx)
	stack[0] = in.storage[b.slot]
}

// contextSet is canon context.set.
type contextSet struct {
	typ  core.ValType
	slot uint32
}

func (b *contextSet) coreType() core.FuncType {
	return core.FuncType{Params: []core.ValType{b.typ}}
}

func (b *contextSet) Call(ctx context.Context, stack []uint64) {
	in := caller(ctx)
	in.storage[b.slot] = stack[0]
}

// backpressure is canon backpressure.inc and dec. Synchronous calls don't look
// at the counter; its bounds are checked all the same. Like resource.rep and
// unlike the others, it is allowed in realloc and post-return.
type backpressure struct {
	comp  *compDef
	delta int
}

func (b *backpressure) coreType() core.FuncType { return core.FuncType{} }

func (b *backpressure) Call(ctx context.Context, _ []uint64) {
	in := caller(ctx)
	c := &in.comps[b.comp.id]
	c.backpressure += b.delta
	if c.backpressure < 0 || c.backpressure >= 1<<16 {
		in.trap(trapf("backpressure counter out of range"))
	}
}

var coreValTypes = [...]core.ValType{canon.I32: core.I32, canon.I64: core.I64, canon.CoreF32: core.F32, canon.CoreF64: core.F64}

// coreTypes are the core types of a flattened signature.
func coreTypes(flat []canon.CoreType) []core.ValType {
	ts := make([]core.ValType, len(flat))
	for i, t := range flat {
		ts[i] = coreValTypes[t]
	}
	return ts
}
