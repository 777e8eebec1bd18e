package abi

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/extproc/extproc/abi/canon"
)

// Func is an exported function of an instance.
type Func struct {
	in   *Instance
	lift *lift
}

// Func finds an exported function. instance is the exported instance it is in,
// "" for a function of the component itself; its version may be cut to the
// semver track, as "wasi:http/incoming-handler@0.2". Func returns nil when
// there is none.
func (in *Instance) Func(instance, name string) *Func {
	fn := in.linked.component.plan.exports.function(instance, name)
	if fn == nil || fn.lift == nil {
		return nil
	}
	return &in.lifts[fn.lift.id]
}

// Type is the type of the function.
func (f *Func) Type() *canon.Func { return f.lift.typ }

// ParamType is the type of parameter i.
func (f *Func) ParamType(i int) *canon.Type { return f.lift.typ.Params[i].Type }

var errRunning = errors.New("a function of the instance is already running")

// Call calls the function. len(args) must be the number of parameters, and
// len(results) that of results, 0 or 1. What the results hold is valid until
// the next call or the end of the instance. A host object is passed as an own
// or borrow argument as Value{Obj: obj}. After an error no further call can be
// made; it is a *Trap if the guest was the cause.
func (f *Func) Call(ctx context.Context, args, results []Value) error {
	in := f.in
	if in.dead != nil {
		return fmt.Errorf("the instance can't be used any more: %w", in.dead)
	}
	if in.running {
		return errRunning
	}
	if in.stop.requested.Load() {
		return in.fail(stopped())
	}
	in.running = true
	in.ctx.Context = ctx
	err := in.invoke(f.lift, args, results)
	in.ctx.Context = nil
	in.running = false
	if err != nil {
		return in.fail(err)
	}
	return nil
}

// fail ends the usefulness of the instance.
func (in *Instance) fail(err error) error {
	var host *canon.ValueError
	if !errors.As(err, &host) {
		err = in.asTrap(err)
	}
	in.dead = err
	return err
}

// invoke calls a lifted function from the host.
func (in *Instance) invoke(l *lift, args, results []Value) error {
	in.calls.endKept()
	in.enter(l.enter)
	in.storage = [contextSlots]uint64{}
	fr := in.calls.push(&in.opts[l.opts.id])
	// Results are to outlive the guest's own clean-up.
	fr.cx.Copy = l.postReturn >= 0
	err := in.callLifted(l, fr, args, results)
	if err == nil {
		err = in.postReturn(l, fr)
	}
	if err != nil {
		return err
	}
	in.calls.depth--
	if !l.scalar {
		in.calls.kept = fr
	}
	in.exit(l.enter)
	if in.calls.used > 1 {
		in.forget()
	}
	return nil
}

// forget lets go of what the guest and the host have handed over in the calls
// that the guest has made. Until the guest returns, each is overwritten by later
// ones, as clearing it at once would cost more than the rest of a call.
func (in *Instance) forget() {
	in.calls.forget()
	in.arena.forget()
}

// callLifted is canon lift without entering the instance and post-return, in a
// task whose storage the caller provides.
func (in *Instance) callLifted(l *lift, fr *callFrame, args, results []Value) error {
	n, err := l.sig.LowerParams(&fr.cx, args, fr.flat[:])
	if err != nil {
		return err
	}
	if l.async {
		return in.callAsync(l, fr, results)
	}
	if err := in.callCore(l.callee, fr.flat[:max(n, 1)]); err != nil {
		return err
	}
	fr.core[0] = fr.flat[0]
	return l.sig.LiftResults(&fr.cx, fr.flat[:1], results)
}

// postReturn lets the callee of the frame free its results.
func (in *Instance) postReturn(l *lift, fr *callFrame) error {
	if l.postReturn < 0 {
		return nil
	}
	c := &in.comps[l.opts.comp.id]
	c.mayLeave = false
	err := in.callCore(l.postReturn, fr.core[:])
	c.mayLeave = true
	return err
}

// enter marks component instances as entered. It reports false when one is
// already (CanonicalABI.md, ComponentInstance.may_enter_from).
func (in *Instance) enter(set []*compDef) bool {
	for _, c := range set {
		s := &in.comps[c.id]
		if !s.mayEnter {
			return false
		}
		s.mayEnter = false
	}
	return true
}

func (in *Instance) exit(set []*compDef) {
	for _, c := range set {
		in.comps[c.id].mayEnter = true
	}
}

// leave traps unless the component instance may call out.
func (in *Instance) leave(c *compDef) *compState {
	s := &in.comps[c.id]
	if !s.mayLeave {
		in.trap(errLeave)
	}
	return s
}

// coreFunc is a core function the runtime calls. wazero's functions are costly
// to make and not re-entrant.
type coreFunc struct {
	fn   api.Function
	busy bool
}

// depthLimit bounds how deep calls between guests, their reallocs and
// destructors nest. Each level has a stack of its own, which can reach 100 MB.
func depthLimit(p *plan) int { return min(16+2*len(p.comps), 64) }

// callCore calls a core function with its parameters in stack, which takes the
// results.
func (in *Instance) callCore(id int, stack []uint64) error {
	if in.depth == in.linked.component.maxDepth {
		return trapf("wasm trap: call stack exhausted: calls between component instances nest %d deep", in.depth)
	}
	f := &in.funcs[id]
	fn := f.fn
	if fn == nil || f.busy {
		ref := in.linked.component.plan.funcs[id]
		fn = in.module(ref.source).ExportedFunction(ref.name)
		if f.fn == nil {
			f.fn = fn
		}
	}
	outer := f.busy
	f.busy = true
	in.depth++
	err := fn.CallWithStack(&in.ctx, stack)
	in.depth--
	f.busy = outer
	if err != nil {
		return in.asTrap(err)
	}
	return nil
}

// callTask is callCore in a task of its own, with empty storage.
func (in *Instance) callTask(id int, stack []uint64) error {
	if !in.linked.component.plan.usesContext {
		return in.callCore(id, stack)
	}
	outer := in.storage
	in.storage = [contextSlots]uint64{}
	err := in.callCore(id, stack)
	in.storage = outer
	return err
}

// realloc is the canonical option of that name.
type realloc struct {
	in    *Instance
	comp  *compState
	fn    int
	stack [4]uint64
}

func (r *realloc) call(old, oldSize, align, newSize uint32) (uint32, error) {
	in, c := r.in, r.comp
	leave, nested := c.mayLeave, c.reallocating
	c.mayLeave, c.reallocating = false, true
	r.stack = [4]uint64{uint64(old), uint64(oldSize), uint64(align), uint64(newSize)}
	err := in.callTask(r.fn, r.stack[:])
	c.mayLeave, c.reallocating = leave, nested
	return uint32(r.stack[0]), err
}
