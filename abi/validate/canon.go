package validate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

// canon checks a canonical definition and adds the function it makes
// (CanonicalABI, "Canonical Definitions").
func (s *scope) canon(d binary.Canon) error {
	if d.Kind == binary.CanonLift {
		return s.lift(d)
	}
	f, err := s.canonFunc(d)
	if err != nil {
		return err
	}
	s.coreFuncs = append(s.coreFuncs, f)
	return nil
}

func (s *scope) lift(d binary.Canon) error {
	callee, err := lookup(s.coreFuncs, d.Func, "core function")
	if err != nil {
		return err
	}
	entry, err := lookup(s.types, d.Type, "type")
	if err != nil {
		return err
	}
	if entry.fn == nil {
		return fmt.Errorf("type %d is %s, not a function type", d.Type, entry.what())
	}
	opts, err := s.options(d.Opts, forLift)
	if err != nil {
		return err
	}
	ft := entry.fn
	if opts.async && !ft.async {
		return errAsync
	}
	want := flattenFunc(ft, opts, true)
	if !callee.Equal(want) {
		return fmt.Errorf("core function %d is a %s, but to be lifted as %s it must be a %s",
			d.Func, coreFunc(callee), ft, coreFunc(want))
	}
	if opts.postReturn != nil && !opts.postReturn.Equal(core.FuncType{Params: want.Results}) {
		return fmt.Errorf("post-return must be a core %s, but is a %s",
			coreFunc(core.FuncType{Params: want.Results}), coreFunc(*opts.postReturn))
	}
	maxResults := maxFlatResults
	if opts.async {
		maxResults = maxFlatParams
	}
	params := flatten(ft.params)
	if err := opts.lift(ft.params, len(params) > maxFlatParams); err != nil {
		return err
	}
	result := []field{{typ: ft.result}}
	if err := opts.lower(result, len(flatten(result)) > maxResults); err != nil {
		return err
	}
	s.funcs = append(s.funcs, ft)
	return nil
}

var errAsync = errors.New("the option async needs a function type that is async")

func (s *scope) lower(d binary.Canon) (core.FuncType, error) {
	ft, err := lookup(s.funcs, d.Func, "function")
	if err != nil {
		return core.FuncType{}, err
	}
	opts, err := s.options(d.Opts, forLower)
	if err != nil {
		return core.FuncType{}, err
	}
	maxParams, maxResults := maxFlatParams, maxFlatResults
	if opts.async {
		if !ft.async {
			return core.FuncType{}, errAsync
		}
		maxParams, maxResults = maxFlatAsyncParams, 0
	}
	if err := opts.lower(ft.params, len(flatten(ft.params)) > maxParams); err != nil {
		return core.FuncType{}, err
	}
	result := []field{{typ: ft.result}}
	if err := opts.load(result); err != nil {
		return core.FuncType{}, err
	}
	if len(flatten(result)) > maxResults && !opts.memory {
		return core.FuncType{}, errNoMemory
	}
	return flattenFunc(ft, opts, false), nil
}

// flattenFunc is the core signature of a function type.
func flattenFunc(ft *funcType, opts options, lift bool) core.FuncType {
	params, results := flatten(ft.params), ft.result.facts().flat
	maxParams := maxFlatParams
	if opts.async && !lift {
		maxParams = maxFlatAsyncParams
	}
	if len(params) > maxParams {
		params = i32Type
	}
	switch {
	case opts.async && lift:
		results = nil
		if opts.callback {
			results = i32Type
		}
	case opts.async:
		if len(results) > 0 {
			params = append(slices.Clip(params), core.I32)
		}
		results = i32Type
	case len(results) > maxFlatResults && lift:
		results = i32Type
	case len(results) > maxFlatResults:
		params, results = append(slices.Clip(params), core.I32), nil
	}
	return core.FuncType{Params: params, Results: results}
}

// Core signatures of built-ins, by their parameters and results in i32.
func i32s(params, results int) core.FuncType {
	return core.FuncType{
		Params:  slices.Repeat(i32Type, params),
		Results: slices.Repeat(i32Type, results),
	}
}

// fixedBuiltins are those whose type depends on no operand.
var fixedBuiltins = map[binary.CanonKind]core.FuncType{
	binary.CanonTaskCancel:                 i32s(0, 0),
	binary.CanonSubtaskCancel:              i32s(1, 1),
	binary.CanonThreadYield:                i32s(0, 1),
	binary.CanonSubtaskDrop:                i32s(1, 0),
	binary.CanonErrorContextDrop:           i32s(1, 0),
	binary.CanonWaitableSetNew:             i32s(0, 1),
	binary.CanonWaitableSetDrop:            i32s(1, 0),
	binary.CanonWaitableJoin:               i32s(2, 0),
	binary.CanonBackpressureInc:            i32s(0, 0),
	binary.CanonBackpressureDec:            i32s(0, 0),
	binary.CanonThreadIndex:                i32s(0, 1),
	binary.CanonThreadResumeLater:          i32s(1, 0),
	binary.CanonThreadSuspend:              i32s(0, 1),
	binary.CanonThreadSuspendThenResume:    i32s(1, 1),
	binary.CanonThreadYieldThenResume:      i32s(1, 1),
	binary.CanonThreadSuspendThenPromote:   i32s(1, 1),
	binary.CanonThreadYieldThenPromote:     i32s(1, 1),
	binary.CanonThreadAvailableParallelism: i32s(0, 1),
}

// canonFunc is the type of the core function that a definition other than a
// lift makes.
func (s *scope) canonFunc(d binary.Canon) (core.FuncType, error) {
	if f, ok := fixedBuiltins[d.Kind]; ok {
		return f, nil
	}
	switch d.Kind {
	case binary.CanonLower:
		return s.lower(d)
	case binary.CanonResourceNew, binary.CanonResourceDrop, binary.CanonResourceRep:
		return s.resourceBuiltin(d)
	case binary.CanonTaskReturn:
		return s.taskReturn(d)
	case binary.CanonContextGet, binary.CanonContextSet:
		return contextBuiltin(d)
	case binary.CanonErrorContextNew, binary.CanonErrorContextDebugMessage:
		return s.errorContext(d)
	case binary.CanonWaitableSetWait, binary.CanonWaitableSetPoll:
		return i32s(2, 1), s.memory(d.Memory)
	case binary.CanonThreadNewIndirect, binary.CanonThreadSpawnIndirect, binary.CanonThreadSpawnRef:
		return s.threadStart(d)
	}
	return s.streamBuiltin(d)
}

func (s *scope) resourceBuiltin(d binary.Canon) (core.FuncType, error) {
	entry, err := s.resourceIdx(d.Type)
	if err != nil {
		return core.FuncType{}, err
	}
	if d.Kind == binary.CanonResourceDrop {
		return i32s(1, 0), nil
	}
	if r := entry.res; !r.local || r.owner != s {
		return core.FuncType{}, fmt.Errorf("type %d is not a resource that this component defines", d.Type)
	}
	return i32s(1, 1), nil
}

func (s *scope) taskReturn(d binary.Canon) (core.FuncType, error) {
	result, err := s.optValType(d.Result)
	if err != nil {
		return core.FuncType{}, err
	}
	if result.facts().borrow {
		return core.FuncType{}, errors.New("a function cannot return a borrow")
	}
	opts, err := s.options(d.Opts, forTaskReturn)
	if err != nil {
		return core.FuncType{}, err
	}
	params := []field{{typ: result}}
	if err := opts.lower(params, len(flatten(params)) > maxFlatParams); err != nil {
		return core.FuncType{}, err
	}
	return flattenFunc(&funcType{params: params}, opts, false), nil
}

func contextBuiltin(d binary.Canon) (core.FuncType, error) {
	switch {
	case core.ValType(d.ValType) != core.I32:
		return core.FuncType{}, errors.New("a context slot must be an i32")
	case d.Slot > 1:
		return core.FuncType{}, fmt.Errorf("there is no context slot %d, only 0 and 1", d.Slot)
	case d.Kind == binary.CanonContextGet:
		return i32s(0, 1), nil
	}
	return i32s(1, 0), nil
}

func (s *scope) errorContext(d binary.Canon) (core.FuncType, error) {
	opts, err := s.options(d.Opts, forErrorContext)
	switch {
	case err != nil:
		return core.FuncType{}, err
	case !opts.memory:
		return core.FuncType{}, errNoMemory
	case d.Kind == binary.CanonErrorContextNew:
		return i32s(2, 1), nil
	case !opts.realloc:
		return core.FuncType{}, errNoRealloc
	}
	return i32s(2, 0), nil
}

// threadStart checks the built-ins that start a thread in a core function.
func (s *scope) threadStart(d binary.Canon) (core.FuncType, error) {
	t, err := lookup(s.coreTypes, d.CoreType, "core type")
	if err != nil {
		return core.FuncType{}, err
	}
	if t.fn == nil || !t.fn.Equal(i32s(1, 0)) {
		return core.FuncType{}, fmt.Errorf("core type %d must be a %s", d.CoreType, coreFunc(i32s(1, 0)))
	}
	if d.Kind == binary.CanonThreadSpawnRef {
		// (ref null $ft), of which only this much is ever compared.
		return core.FuncType{Params: []core.ValType{"\x63", core.I32}, Results: i32Type}, nil
	}
	table, err := lookup(s.coreTables, d.Table, "core table")
	if err != nil {
		return core.FuncType{}, err
	}
	if table.Val != core.FuncRef || table.Limits.Is64 {
		return core.FuncType{}, fmt.Errorf("core table %d must be a table of funcref, but is a %s", d.Table, coreExtern(table))
	}
	return i32s(2, 1), nil
}

// streamBuiltin checks the built-ins of streams and futures.
func (s *scope) streamBuiltin(d binary.Canon) (core.FuncType, error) {
	kind := binary.DefFuture
	if d.Kind >= binary.CanonStreamNew && d.Kind <= binary.CanonStreamDropWritable {
		kind = binary.DefStream
	}
	entry, err := lookup(s.types, d.Type, "type")
	if err != nil {
		return core.FuncType{}, err
	}
	if entry.val == nil || entry.val.kind != kind {
		return core.FuncType{}, fmt.Errorf("type %d must be a %s, but is %s", d.Type, defNames[kind], entry.what())
	}
	elem := []field{{typ: entry.val.elem}}
	switch d.Kind {
	case binary.CanonStreamNew, binary.CanonFutureNew:
		return core.FuncType{Results: i64Type}, nil
	case binary.CanonStreamRead, binary.CanonFutureRead:
		return s.copyBuiltin(d, elem, options.load)
	case binary.CanonStreamWrite, binary.CanonFutureWrite:
		return s.copyBuiltin(d, elem, func(o options, t []field) error { return o.lower(t, false) })
	case binary.CanonStreamCancelRead, binary.CanonStreamCancelWrite,
		binary.CanonFutureCancelRead, binary.CanonFutureCancelWrite:
		return i32s(1, 1), nil
	}
	return i32s(1, 0), nil
}

func (s *scope) copyBuiltin(d binary.Canon, elem []field, needs func(options, []field) error) (core.FuncType, error) {
	opts, err := s.options(d.Opts, forCopy)
	if err != nil {
		return core.FuncType{}, err
	}
	if !elem[0].typ.none() && !opts.memory {
		return core.FuncType{}, errNoMemory
	}
	if err := needs(opts, elem); err != nil {
		return core.FuncType{}, err
	}
	if d.Kind == binary.CanonStreamRead || d.Kind == binary.CanonStreamWrite {
		return i32s(3, 1), nil
	}
	return i32s(2, 1), nil
}
