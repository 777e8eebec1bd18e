package abi

import (
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

func (b *contextGet) call(in *Instance, stack []uint64) { stack[0] = in.storage[b.slot] }

// contextSet is canon context.set.
type contextSet struct {
	typ  core.ValType
	slot uint32
}

func (b *contextSet) coreType() core.FuncType {
	return core.FuncType{Params: []core.ValType{b.typ}}
}

func (b *contextSet) call(in *Instance, stack []uint64) { in.storage[b.slot] = stack[0] }

// backpressure is canon backpressure.inc and dec. Synchronous calls don't look
// at the counter; its bounds are checked all the same. Like resource.rep and
// unlike the others, it is allowed in realloc and post-return.
type backpressure struct {
	comp  *compDef
	delta int
}

func (b *backpressure) coreType() core.FuncType { return core.FuncType{} }

func (b *backpressure) call(in *Instance, _ []uint64) {
	c := &in.comps[b.comp.id]
	c.backpressure += b.delta
	if c.backpressure < 0 || c.backpressure >= 1<<16 {
		in.trap(trapf("backpressure counter out of range"))
	}
}

// asyncBuiltin is a built-in of asynchronous components. Synchronous ones may
// define it and not call it.
type asyncBuiltin struct {
	comp *compDef
	name string
	typ  core.FuncType
}

func (b *asyncBuiltin) coreType() core.FuncType { return b.typ }

func (b *asyncBuiltin) call(in *Instance, _ []uint64) {
	in.leave(b.comp)
	in.trap(trapf("%s: asynchronous built-ins (WASI 0.3) are not supported yet", b.name))
}

// asyncTypes names the asynchronous built-ins and gives their numbers of i32
// parameters and their core result ("" for none).
var asyncTypes = map[binary.CanonKind]struct {
	name   string
	params int
	result core.ValType
}{
	binary.CanonTaskCancel:               {"task.cancel", 0, ""},
	binary.CanonSubtaskCancel:            {"subtask.cancel", 1, core.I32},
	binary.CanonSubtaskDrop:              {"subtask.drop", 1, ""},
	binary.CanonStreamNew:                {"stream.new", 0, core.I64},
	binary.CanonStreamRead:               {"stream.read", 3, core.I32},
	binary.CanonStreamWrite:              {"stream.write", 3, core.I32},
	binary.CanonStreamCancelRead:         {"stream.cancel-read", 1, core.I32},
	binary.CanonStreamCancelWrite:        {"stream.cancel-write", 1, core.I32},
	binary.CanonStreamDropReadable:       {"stream.drop-readable", 1, ""},
	binary.CanonStreamDropWritable:       {"stream.drop-writable", 1, ""},
	binary.CanonFutureNew:                {"future.new", 0, core.I64},
	binary.CanonFutureRead:               {"future.read", 2, core.I32},
	binary.CanonFutureWrite:              {"future.write", 2, core.I32},
	binary.CanonFutureCancelRead:         {"future.cancel-read", 1, core.I32},
	binary.CanonFutureCancelWrite:        {"future.cancel-write", 1, core.I32},
	binary.CanonFutureDropReadable:       {"future.drop-readable", 1, ""},
	binary.CanonFutureDropWritable:       {"future.drop-writable", 1, ""},
	binary.CanonErrorContextNew:          {"error-context.new", 2, core.I32},
	binary.CanonErrorContextDebugMessage: {"error-context.debug-message", 2, ""},
	binary.CanonErrorContextDrop:         {"error-context.drop", 1, ""},
	binary.CanonWaitableSetNew:           {"waitable-set.new", 0, core.I32},
	binary.CanonWaitableSetWait:          {"waitable-set.wait", 2, core.I32},
	binary.CanonWaitableSetPoll:          {"waitable-set.poll", 2, core.I32},
	binary.CanonWaitableSetDrop:          {"waitable-set.drop", 1, ""},
	binary.CanonWaitableJoin:             {"waitable.join", 2, ""},
	binary.CanonThreadYield:              {"thread.yield", 0, core.I32},
	binary.CanonThreadIndex:              {"thread.index", 0, core.I32},
}

func (f *flattener) asyncBuiltin(s *scope, d binary.Canon) error {
	switch d.Kind {
	case binary.CanonBackpressureInc:
		f.addSlot(s, &backpressure{s.comp, +1})
		return nil
	case binary.CanonBackpressureDec:
		f.addSlot(s, &backpressure{s.comp, -1})
		return nil
	case binary.CanonTaskReturn:
		return f.taskReturn(s, d)
	}
	t, ok := asyncTypes[d.Kind]
	if !ok {
		return errAsync(fmt.Sprintf("built-ins such as number %#x", d.Kind))
	}
	b := &asyncBuiltin{comp: s.comp, name: t.name}
	for range t.params {
		b.typ.Params = append(b.typ.Params, core.I32)
	}
	if t.result != "" {
		b.typ.Results = []core.ValType{t.result}
	}
	f.addSlot(s, b)
	return nil
}

// taskReturn has the flattened result of the task as its parameters.
func (f *flattener) taskReturn(s *scope, d binary.Canon) error {
	result, err := s.optType(d.Result)
	if err != nil {
		return err
	}
	ft := &canon.Func{}
	if result != nil {
		ft.Params = []canon.Field{{Name: "result", Type: result}}
	}
	sig, err := canon.Compile(ft)
	if err != nil {
		return err
	}
	params, _ := sig.LiftCore()
	f.addSlot(s, &asyncBuiltin{comp: s.comp, name: "task.return", typ: core.FuncType{Params: coreTypes(params)}})
	return nil
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
