package abi

import (
	"context"

	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/abi/core"
)

// hostLower is canon lower of a function of the host.
type hostLower struct {
	row  int32 // in Linked.rows
	opts int32 // in Instance.opts
	comp int32 // in Instance.comps
	// lenient is set when a guest may call the function from its realloc,
	// although the specification forbids that: see Config.StrictReentrance.
	lenient bool
	sig     canon.Signature
	fn      *canon.Func
}

func (f *flattener) hostLower(fn *hostFunc, opts *options, sig *canon.Signature) *hostLower {
	_, realloc := sig.LowerNeeds()
	lenient := !realloc
	for _, p := range fn.typ.Params {
		lenient = lenient && !holdsHandle(p.Type, f.handles)
	}
	lenient = lenient && !holdsHandle(fn.typ.Result, f.handles)
	return &hostLower{
		row: int32(fn.id), opts: int32(opts.id), comp: int32(opts.comp.id), lenient: lenient, sig: *sig, fn: fn.typ,
	}
}

func (l *hostLower) coreType() core.FuncType { return lowerType(&l.sig) }

func (l *hostLower) Call(ctx context.Context, stack []uint64) {
	in := caller(ctx)
	if c := &in.comps[l.comp]; !c.mayLeave && !(c.reallocating && l.lenient && !in.linked.strict) {
		in.trap(errLeave)
	}
	row := &in.linked.rows[l.row]
	mark := in.arena.mark()
	fr := in.calls.push(&in.opts[l.opts])
	c := &fr.row
	c.inst, c.typ = in, l.fn
	c.Args, c.Result = in.arena.take(l.sig.NumParams()), Value{}
	if err := l.sig.LiftParams(&fr.cx, stack, c.Args); err != nil {
		in.trapIn(row, err)
	}
	in.active = row
	if err := row.Call(c); err != nil {
		in.trapIn(row, err)
	}
	in.active = nil
	if in.stop.requested.Load() {
		in.trap(stopped())
	}
	if l.fn.Result != nil {
		if err := l.sig.LowerResult(&fr.cx, &c.Result, stack); err != nil {
			in.trapIn(row, err)
		}
	}
	in.calls.pop()
	in.arena.release(mark)
}

// guestLower is canon lower of a lifted function, usually of another component
// instance: a call from guest to guest.
type guestLower struct {
	fn    *lift
	opts  *options
	sig   *canon.Signature
	typ   core.FuncType
	enter []*compDef
}

func newGuestLower(fn *lift, opts *options, sig *canon.Signature) *guestLower {
	return &guestLower{fn: fn, opts: opts, sig: sig, typ: lowerType(sig), enter: entering(opts.comp, fn.opts.comp)}
}

func (l *guestLower) coreType() core.FuncType { return l.typ }

func (l *guestLower) Call(ctx context.Context, stack []uint64) {
	in := caller(ctx)
	in.leave(l.opts.comp)
	if !in.enter(l.enter) {
		in.trap(errEnter)
	}
	mark := in.arena.mark()
	caller := in.calls.push(&in.opts[l.opts.id])
	args := in.arena.take(l.sig.NumParams())
	if err := l.sig.LiftParams(&caller.cx, stack, args); err != nil {
		in.trap(err)
	}
	callee := in.calls.push(&in.opts[l.fn.opts.id])
	results := callee.result[:l.sig.NumResults()]
	outer := in.storage
	in.storage = [contextSlots]uint64{}
	err := in.callLifted(l.fn, callee, args, results)
	if err == nil {
		err = l.sig.LowerResults(&caller.cx, results, stack)
	}
	if err == nil {
		err = in.postReturn(l.fn, callee)
	}
	if err != nil {
		in.trap(err)
	}
	in.storage = outer
	in.calls.pop()
	in.calls.pop()
	in.arena.release(mark)
	in.exit(l.enter)
}

// lowerType is the core type of a lowered function.
func lowerType(sig *canon.Signature) core.FuncType {
	params, results := sig.LowerCore()
	return core.FuncType{Params: coreTypes(params), Results: coreTypes(results)}
}

// holdsHandle reports whether a value of type t may hold a handle. known keeps
// answers, as types may share parts many times over.
func holdsHandle(t *canon.Type, known map[*canon.Type]bool) bool {
	if t == nil {
		return false
	}
	if h, ok := known[t]; ok {
		return h
	}
	h := false
	switch t.Kind {
	case canon.Own, canon.Borrow, canon.Stream, canon.Future, canon.ErrorContext:
		h = true
	}
	for _, f := range t.Fields {
		h = h || holdsHandle(f.Type, known)
	}
	for _, c := range t.Cases {
		h = h || holdsHandle(c.Type, known)
	}
	h = h || holdsHandle(t.Elem, known) || holdsHandle(t.Key, known)
	known[t] = h
	return h
}

// callFrame is what one call in progress needs. Frames are reused.
type callFrame struct {
	cx     canon.Call
	row    Call
	result [1]Value
	flat   [canon.MaxFlatParams + 1]uint64
	core   [1]uint64 // the core result, for post-return
}

// callStack holds the frames of the calls in progress, which nest.
type callStack struct {
	frames []*callFrame
	depth  int
	used   int // frames that were in use since forget
	kept   *callFrame
}

func (s *callStack) push(opts *canon.Options) *callFrame {
	if s.depth == len(s.frames) {
		s.grow()
	}
	f := s.frames[s.depth]
	f.cx.Options = opts
	s.depth++
	s.used = max(s.used, s.depth)
	return f
}

func (s *callStack) grow() { s.frames = append(s.frames, &callFrame{}) }

func (s *callStack) pop() {
	s.depth--
	s.frames[s.depth].cx.End()
}

// forget lets go of what the calls that have ended were about.
func (s *callStack) forget() {
	for _, f := range s.frames[s.depth:s.used] {
		f.result[0] = Value{}
		f.row.Args, f.row.Result = nil, Value{}
	}
	s.used = s.depth
}

// endKept ends the last call from the host, whose results were kept until now.
func (s *callStack) endKept() {
	if s.kept != nil {
		s.kept.cx.End()
		s.kept = nil
	}
}
