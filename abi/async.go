package abi

import (
	"context"
	"fmt"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/abi/core"
)

// Of asynchronous components only this works yet: a call from guest to guest
// whose callee returns without waiting. A component that shows asynchronous
// functions to its host is rejected.

// errAsync rejects what WASI 0.3 needs.
func errAsync(what string) error {
	return &unlinkable{msg: fmt.Sprintf("asynchronous %s (WASI 0.3) are not supported yet", what), async: true}
}

// checkSync fails if an instance the host sees has asynchronous functions.
func (d *instanceDef) checkSync() error {
	for _, name := range d.names {
		it := d.items[name]
		if it.fn != nil && it.fn.typ.Async {
			return errAsync(fmt.Sprintf("functions such as %q", name))
		}
	}
	return nil
}

// task is a call of a function lifted with the option async, which hands over
// its result by task.return.
type task struct {
	lift     *lift
	frame    *callFrame
	returned bool
	result   Value
}

// callAsync calls a function lifted with the option async.
func (in *Instance) callAsync(l *lift, fr *callFrame, results []Value) error {
	outer := in.task
	t := &task{lift: l, frame: fr}
	in.task = t
	fr.cx.Copy = true // the guest goes on after task.return
	err := in.callCore(l.callee, fr.flat[:])
	in.task = outer
	switch {
	case err != nil:
		return err
	case l.callback && fr.flat[0]&0xf != 0:
		return trapf("an asynchronous function waits: not supported yet")
	case !t.returned:
		return trapf("an asynchronous function ended without task.return")
	}
	if len(results) > 0 {
		results[0] = t.result
	}
	return nothing.LiftResults(&fr.cx, nil, nil) // checks for borrows that are left
}

// nothing is the signature of a function without parameters and result.
var nothing, _ = canon.Compile(&canon.Func{})

// taskReturn is canon task.return.
type taskReturn struct {
	comp   *compDef
	result *canon.Type
	sig    *canon.Signature // with the result as its only parameter
	typ    core.FuncType
}

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
	f.addSlot(s, &taskReturn{s.comp, result, sig, core.FuncType{Params: coreTypes(params)}})
	return nil
}

func (b *taskReturn) coreType() core.FuncType { return b.typ }

func (b *taskReturn) Call(ctx context.Context, stack []uint64) {
	in := caller(ctx)
	in.leave(b.comp)
	t := in.task
	switch {
	case t == nil || t.lift.opts.comp != b.comp || t.returned:
		in.trap(trapf("task.return outside of an asynchronous task, or called twice"))
	case t.lift.typ.Result != b.result:
		in.trap(trapf("task.return with another result type than the task's"))
	}
	var v [1]Value
	if err := b.sig.LiftParams(&t.frame.cx, stack, v[:b.sig.NumParams()]); err != nil {
		in.trap(err)
	}
	t.returned, t.result = true, v[0]
}

// asyncLower is canon lower with the option async: the core function returns
// the state of the call, which here is always that it has returned.
type asyncLower struct{ guestLower }

const stateReturned = 2 // Subtask.State.RETURNED

// newAsyncLower supports calls whose parameters and result travel as they would
// without async.
func newAsyncLower(l *guestLower) (*asyncLower, error) {
	params, results := l.sig.LowerCore()
	pointer := 0
	if l.sig.NumResults() > 0 {
		pointer = 1
	}
	const maxFlatAsyncParams = 4
	if len(results) > 0 || len(params)-pointer > maxFlatAsyncParams {
		return nil, errAsync("calls of this type")
	}
	l.typ.Results = oneI32
	return &asyncLower{*l}, nil
}

func (l *asyncLower) Call(ctx context.Context, stack []uint64) {
	l.guestLower.Call(ctx, stack)
	stack[0] = stateReturned
}

// asyncBuiltin is a built-in of asynchronous components. Synchronous ones may
// define it and not call it.
type asyncBuiltin struct {
	comp *compDef
	name string
	typ  core.FuncType
}

func (b *asyncBuiltin) coreType() core.FuncType { return b.typ }

func (b *asyncBuiltin) Call(ctx context.Context, _ []uint64) {
	in := caller(ctx)
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
	binary.CanonThreadNewIndirect:        {"thread.new-indirect", 2, core.I32},
	binary.CanonThreadResumeLater:        {"thread.resume-later", 1, ""},
	binary.CanonThreadSuspend:            {"thread.suspend", 0, core.I32},
	binary.CanonThreadSuspendThenResume:  {"thread.suspend-then-resume", 1, core.I32},
	binary.CanonThreadYieldThenResume:    {"thread.yield-then-resume", 1, core.I32},
	binary.CanonThreadSuspendThenPromote: {"thread.suspend-then-promote", 1, core.I32},
	binary.CanonThreadYieldThenPromote:   {"thread.yield-then-promote", 1, core.I32},
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
