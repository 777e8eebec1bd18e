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
	if l.opts, l.postReturn, err = f.options(s, d.Opts); err != nil {
		return err
	}
	if l.sig, err = signature(t.fn); err != nil {
		return err
	}
	l.enter = entering(nil, s.comp)
	f.lifts = append(f.lifts, l)
	s.funcs = append(s.funcs, &function{typ: t.fn, lift: l})
	return nil
}

func (f *flattener) lower(s *scope, d binary.Canon) error {
	fn, err := at(s.funcs, d.Func, "function")
	if err != nil {
		return err
	}
	opts, _, err := f.options(s, d.Opts)
	if err != nil {
		return err
	}
	sig, err := signature(fn.typ)
	if err != nil {
		return err
	}
	if fn.host != nil {
		f.addSlot(s, newHostLower(fn.host, opts, sig))
	} else {
		f.addSlot(s, newGuestLower(fn.lift, opts, sig))
	}
	return nil
}

// signature compiles a function type, all of whose functions are synchronous as
// yet.
func signature(t *canon.Func) (*canon.Signature, error) {
	if t.Async {
		return nil, errAsync("functions")
	}
	return canon.Compile(t)
}

// options resolves canonical options. postReturn is -1 if there is none.
func (f *flattener) options(s *scope, list []binary.CanonOpt) (o *options, postReturn int, err error) {
	o = &options{id: len(f.opts), comp: s.comp, memory: -1, realloc: -1}
	postReturn = -1
	for _, opt := range list {
		switch opt.Kind {
		case binary.OptUTF8:
			o.encoding = canon.UTF8
		case binary.OptUTF16:
			o.encoding = canon.UTF16
		case binary.OptLatin1UTF16:
			o.encoding = canon.Latin1UTF16
		case binary.OptMemory:
			ref, err := at(s.core[binary.SortCoreMemory], opt.Idx, "core memory")
			if err != nil {
				return nil, 0, err
			}
			o.memory = f.memID(ref)
		case binary.OptRealloc, binary.OptPostReturn:
			ref, err := at(s.core[binary.SortCoreFunc], opt.Idx, "core function")
			if err != nil {
				return nil, 0, err
			}
			if opt.Kind == binary.OptRealloc {
				o.realloc = f.funcID(ref)
			} else {
				postReturn = f.funcID(ref)
			}
		case binary.OptAsync, binary.OptCallback:
			return nil, 0, errAsync("functions")
		}
	}
	// Many definitions share their options.
	for _, p := range f.opts {
		if p.comp == o.comp && p.encoding == o.encoding && p.memory == o.memory && p.realloc == o.realloc {
			return p, postReturn, nil
		}
	}
	f.opts = append(f.opts, o)
	return o, postReturn, nil
}

// errAsync rejects what WASI 0.3 needs.
func errAsync(what string) error {
	return &unlinkable{msg: fmt.Sprintf("asynchronous %s (WASI 0.3) are not supported yet", what), async: true}
}
