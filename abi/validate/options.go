package validate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

// options are the canonical options of a definition (CanonicalABI, "canonopt
// Validation").
type options struct {
	memory, realloc, async, callback bool
	postReturn                       *core.FuncType
}

// optionUse is what options are given to.
type optionUse uint8

const (
	forLift optionUse = iota
	forLower
	forTaskReturn
	forCopy // stream and future read and write
	forErrorContext
)

// allowed are the options that each use may have, string encodings aside.
var allowed = [...][]binary.CanonOptKind{
	forLift: {binary.OptMemory, binary.OptRealloc, binary.OptPostReturn, binary.OptAsync,
		binary.OptCallback},
	forLower:        {binary.OptMemory, binary.OptRealloc, binary.OptAsync},
	forTaskReturn:   {binary.OptMemory},
	forCopy:         {binary.OptMemory, binary.OptRealloc, binary.OptAsync},
	forErrorContext: {binary.OptMemory, binary.OptRealloc},
}

var optionNames = [...]string{
	binary.OptUTF8: "string-encoding=utf8", binary.OptUTF16: "string-encoding=utf16",
	binary.OptLatin1UTF16: "string-encoding=latin1+utf16", binary.OptMemory: "memory",
	binary.OptRealloc: "realloc", binary.OptPostReturn: "post-return", binary.OptAsync: "async",
	binary.OptCallback: "callback",
}

var (
	errNoMemory  = errors.New("the option memory is required")
	errNoRealloc = errors.New("the option realloc is required")
)

func (s *scope) options(list []binary.CanonOpt, use optionUse) (options, error) {
	var o options
	seen := map[binary.CanonOptKind]bool{}
	for _, opt := range list {
		kind := opt.Kind
		if kind <= binary.OptLatin1UTF16 {
			kind = binary.OptUTF8 // at most one encoding, whichever
		} else if !slices.Contains(allowed[use], kind) {
			return o, fmt.Errorf("the option %s is not allowed here", optionNames[kind])
		}
		if seen[kind] {
			return o, fmt.Errorf("the option %s is given more than once or conflicts with another", optionNames[opt.Kind])
		}
		seen[kind] = true
		if err := s.option(&o, opt); err != nil {
			return o, at(err, "option %s", optionNames[opt.Kind])
		}
	}
	switch {
	case o.realloc && !o.memory:
		return o, errors.New("the option realloc requires the option memory")
	case o.callback && !o.async:
		return o, errors.New("the option callback requires the option async")
	case o.async && o.postReturn != nil:
		return o, errors.New("the options async and post-return exclude each other")
	}
	return o, nil
}

func (s *scope) option(o *options, opt binary.CanonOpt) error {
	switch opt.Kind {
	case binary.OptMemory:
		o.memory = true
		return s.memory(opt.Idx)
	case binary.OptRealloc:
		o.realloc = true
		return s.optionFunc(opt.Idx, i32s(4, 1))
	case binary.OptCallback:
		o.callback = true
		return s.optionFunc(opt.Idx, i32s(3, 1))
	case binary.OptPostReturn:
		f, err := lookup(s.coreFuncs, opt.Idx, "core function")
		o.postReturn = &f
		return err
	case binary.OptAsync:
		o.async = true
	}
	return nil
}

func (s *scope) optionFunc(i uint32, want core.FuncType) error {
	f, err := lookup(s.coreFuncs, i, "core function")
	if err == nil && !f.Equal(want) {
		err = fmt.Errorf("core function %d must be a %s, but is a %s", i, coreFunc(want), coreFunc(f))
	}
	return err
}

// memory checks that a memory is one that values can be passed in.
func (s *scope) memory(i uint32) error {
	m, err := lookup(s.coreMemories, i, "core memory")
	if err == nil && (m.Limits.Is64 || m.Limits.Shared || m.Limits.PageLog2 != 16) {
		err = fmt.Errorf("core memory %d is a %s, which is not supported here", i, coreExtern(m))
	}
	return err
}

// lower checks that values can be read from the component's memory if they
// must be: because they contain lists or strings, or are too many to be passed
// as core values.
func (o options) lower(values []field, spilled bool) error {
	if !o.memory && (spilled || hasPointers(values)) {
		return errNoMemory
	}
	return nil
}

// lift checks that values can be written to memory got from realloc if they
// must be.
func (o options) lift(values []field, spilled bool) error {
	if !spilled && !hasPointers(values) {
		return nil
	}
	switch {
	case !o.memory:
		return errNoMemory
	case !o.realloc:
		return errNoRealloc
	}
	return nil
}

// load is lift for values whose own place the component provides.
func (o options) load(values []field) error { return o.lift(values, false) }

func hasPointers(values []field) bool {
	for _, v := range values {
		if v.typ.facts().pointers {
			return true
		}
	}
	return false
}
