package abi

import (
	"fmt"
	"strconv"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/canon"
)

// canon evaluates a canonical definition.
func (f *flattener) canon(s *scope, d binary.Canon) error {
	switch d.Kind {
	case binary.CanonLift:
		return f.lift(s, d)
	case binary.CanonLower:
		return f.lower(s, d)
	case binary.CanonResourceNew, binary.CanonResourceDrop, binary.CanonResourceRep:
		r, err := s.resource(d.Type)
		if err != nil {
			return err
		}
		switch d.Kind {
		case binary.CanonResourceNew:
			f.addSlot(s, &resourceNew{s.comp, r})
		case binary.CanonResourceDrop:
			def := f.resources[r]
			f.addSlot(s, &resourceDrop{s.comp, r, def, entering(s.comp, def.comp)})
		default:
			f.addSlot(s, &resourceRep{s.comp, r})
		}
		return nil
	case binary.CanonContextGet, binary.CanonContextSet:
		return f.context(s, d)
	}
	return f.asyncBuiltin(s, d)
}

// addSlot makes a function of the host module and a core function of it.
func (f *flattener) addSlot(s *scope, sl slot) {
	s.core[binary.SortCoreFunc] = append(s.core[binary.SortCoreFunc],
		coreRef{source: hostSource, name: strconv.Itoa(len(f.slots))})
	f.slots = append(f.slots, sl)
}

func (f *flattener) lift(s *scope, d binary.Canon) error {
	t, err := at(s.types, d.Type, "type")
	if err != nil {
		return err
	}
	if t.fn == nil {
		return fmt.Errorf("lift: type index %d is no function type", d.Type)
	}
	callee, err := at(s.core[binary.SortCoreFunc], d.Func, "core function")
	if err != nil {
		return err
	}
	l := &lift{id: len(f.lifts), typ: t.fn, callee: f.funcID(callee)}
	opts, err := f.options(s, d.Opts)
	if err != nil {
		return err
	}
	l.opts, l.postReturn, l.async, l.callback = opts.options, opts.postReturn, opts.async, opts.callback
	if l.sig, err = f.signature(t.fn); err != nil {
		return err
	}
	l.enter = entering(nil, s.comp)
	l.scalar = scalar(t.fn)
	f.lifts = append(f.lifts, l)
	s.funcs = append(s.funcs, &function{typ: t.fn, lift: l})
	return nil
}

func (f *flattener) lower(s *scope, d binary.Canon) error {
	fn, err := at(s.funcs, d.Func, "function")
	if err != nil {
		return err
	}
	opts, err := f.options(s, d.Opts)
	if err != nil {
		return err
	}
	sig, err := f.signature(fn.typ)
	if err != nil {
		return err
	}
	if fn.host != nil {
		if opts.async {
			return errAsync("imports")
		}
		f.addSlot(s, f.hostLower(fn.host, opts.options, sig))
		return nil
	}
	f.crosses = true
	l := newGuestLower(fn.lift, opts.options, sig)
	if !opts.async {
		f.addSlot(s, l)
		return nil
	}
	a, err := newAsyncLower(l)
	f.addSlot(s, a)
	return err
}

// scalar reports whether all values of a function are single core values.
func scalar(t *canon.Func) bool {
	for _, p := range t.Params {
		if !isScalar(p.Type) {
			return false
		}
	}
	return t.Result == nil || isScalar(t.Result)
}

func isScalar(t *canon.Type) bool {
	return t.Kind <= canon.Char || t.Kind == canon.Enum || t.Kind == canon.Flags
}

// canonOpts are the canonical options of one definition: those that several
// share, and its own.
type canonOpts struct {
	*options
	postReturn      int // in plan.funcs, or -1
	async, callback bool
}

func (f *flattener) options(s *scope, list []binary.CanonOpt) (c canonOpts, err error) {
	o := options{comp: s.comp, memory: -1, realloc: -1}
	c.postReturn = -1
	for _, opt := range list {
		switch opt.Kind {
		case binary.OptUTF8:
			o.encoding = canon.UTF8
		case binary.OptUTF16:
			o.encoding = canon.UTF16
		case binary.OptLatin1UTF16:
			o.encoding = canon.Latin1UTF16
		case binary.OptMemory:
			var ref coreRef
			if ref, err = at(s.core[binary.SortCoreMemory], opt.Idx, "core memory"); err != nil {
				return c, err
			}
			o.memory = f.memID(ref)
		case binary.OptRealloc:
			o.realloc, err = f.optFunc(s, opt)
		case binary.OptPostReturn:
			c.postReturn, err = f.optFunc(s, opt)
		case binary.OptAsync:
			c.async = true
		case binary.OptCallback:
			c.callback = true
		}
		if err != nil {
			return c, err
		}
	}
	if c.options = f.optIDs[o]; c.options == nil {
		shared := o
		shared.id = len(f.opts)
		f.opts = append(f.opts, &shared)
		f.optIDs[o], c.options = &shared, &shared
	}
	return c, nil
}

func (f *flattener) optFunc(s *scope, opt binary.CanonOpt) (int, error) {
	ref, err := at(s.core[binary.SortCoreFunc], opt.Idx, "core function")
	return f.funcID(ref), err
}
