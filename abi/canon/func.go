package canon

import "fmt"

// Signature is a function type compiled for both directions: canon lift, where a
// guest is called, and canon lower, where it calls. It is immutable and may be
// shared.
type Signature struct {
	params []slot
	result *layout // nil when there is none
	spill  *layout // the parameters as a tuple in memory, nil when they are flat
	plain  bool    // every parameter is plain
	ret    bool    // the result is in memory
	needs  struct{ params, result bool }
	flat   []CoreType // core parameters, without the pointer to the result
}

// Compile lays out the types of f. It fails on types that validation does not
// let through: without size, too large or too deep.
func Compile(f *Func) (*Signature, error) {
	layouts.Lock()
	defer layouts.Unlock()
	s := &Signature{plain: true}
	if len(f.Params) > 0 {
		// The parameters, laid out as the tuple they become when there are too many.
		l, err := recordLayout(f.Params, 0)
		if err != nil {
			return nil, fmt.Errorf("parameters: %w", err)
		}
		l.typ = &Type{Kind: Tuple, Fields: f.Params}
		s.params, s.flat, s.needs.params = l.fields, l.flat, l.memory
		if l.spills {
			s.spill, s.flat, s.plain = l, []CoreType{I32}, false
		}
		for _, p := range s.params {
			s.plain = s.plain && p.plain
		}
	}
	if f.Result == nil {
		return s, nil
	}
	l, err := layOut(f.Result, 0)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	s.result, s.needs.result = l, l.memory
	s.ret = l.spills || len(l.flat) > MaxFlatResults
	return s, nil
}

// LiftCore is the core signature of a guest function that canon lift lifts.
func (s *Signature) LiftCore() (params, results []CoreType) {
	if s.ret {
		return s.flat, []CoreType{I32}
	}
	return s.flat, s.flatResult()
}

// LowerCore is the core signature of the core function that canon lower makes: a
// result in memory is asked for by a pointer that follows the parameters.
func (s *Signature) LowerCore() (params, results []CoreType) {
	if s.ret {
		return append(s.flat[:len(s.flat):len(s.flat)], I32), nil
	}
	return s.flat, s.flatResult()
}

func (s *Signature) flatResult() []CoreType {
	if s.result == nil {
		return nil
	}
	return s.result.flat
}

// NumParams is the number of component-level parameters.
func (s *Signature) NumParams() int { return len(s.params) }

// NumResults is the number of component-level results, 0 or 1.
func (s *Signature) NumResults() int {
	if s.result == nil {
		return 0
	}
	return 1
}

// LiftNeeds says which canonical options canon lift of this type requires.
func (s *Signature) LiftNeeds() (memory, realloc bool) {
	realloc = s.spill != nil || s.needs.params
	return realloc || s.ret || s.needs.result, realloc
}

// LowerNeeds says which canonical options canon lower of this type requires.
func (s *Signature) LowerNeeds() (memory, realloc bool) {
	realloc = s.needs.result
	return realloc || s.ret || s.spill != nil || s.needs.params, realloc
}

// LowerParams writes the arguments of a call of a guest's export into flat, of
// which it uses n values, one for each core parameter of LiftCore.
func (s *Signature) LowerParams(cx *Call, args []Value, flat []uint64) (n int, err error) {
	n = len(s.flat)
	if len(args) != len(s.params) || len(flat) < n {
		return 0, misfit("%d arguments and room for %d core values, expected %d and %d", len(args), len(flat), len(s.params), n)
	}
	if s.plain {
		for i := range s.params {
			if flat[i], err = s.params[i].lowerPlain(cx, &args[i]); err != nil {
				return 0, in(s.params[i].name, err)
			}
		}
		return n, nil
	}
	cx.open()
	if s.spill != nil {
		p, err := cx.realloc(0, 0, s.spill.align, uint64(s.spill.size))
		if err != nil {
			return 0, in("parameters", err)
		}
		flat[0] = p
		return n, s.storeParams(cx, args, p)
	}
	for i := range s.params {
		f := &s.params[i]
		if err := f.lower(cx, &args[i], flat[f.index:]); err != nil {
			return 0, in(f.name, err)
		}
	}
	return n, nil
}

func (s *Signature) storeParams(cx *Call, args []Value, p uint64) error {
	for i := range s.params {
		f := &s.params[i]
		if err := f.store(cx, &args[i], p+uint64(f.offset)); err != nil {
			return in(f.name, err)
		}
	}
	return nil
}

// LiftResults reads the result of a call of a guest's export out of flat, which
// holds the core results of LiftCore. It traps when the guest still has a borrow
// handle that the call gave it.
func (s *Signature) LiftResults(cx *Call, flat []uint64, results []Value) error {
	if n := s.NumResults(); len(results) != n || len(flat) < n {
		return misfit("%d core values for %d results, expected %d", len(flat), len(results), n)
	}
	if l := s.result; l != nil {
		var err error
		if l.plain {
			err = l.liftPlain(cx, flat[0], &results[0])
		} else {
			err = s.liftResult(cx, flat, &results[0])
		}
		if err != nil {
			return in("result", err)
		}
	}
	if cx.borrows != 0 {
		return trapf("borrow handles still remain at the end of the call: %d", cx.borrows)
	}
	return nil
}

func (s *Signature) liftResult(cx *Call, flat []uint64, v *Value) error {
	l := s.result
	cx.open()
	if !s.ret {
		return l.lift(cx, flat, v)
	}
	p := uint64(uint32(flat[0]))
	if err := cx.checkRange("result pointer", p, uint64(l.size), l.align); err != nil {
		return err
	}
	return l.load(cx, p, v)
}

// LiftParams reads the arguments of a guest's call of an import out of flat,
// which holds the core parameters of LowerCore.
func (s *Signature) LiftParams(cx *Call, flat []uint64, args []Value) error {
	if len(args) != len(s.params) || len(flat) < len(s.flat) {
		return misfit("room for %d arguments and %d core values, expected %d and %d", len(args), len(flat), len(s.params), len(s.flat))
	}
	if s.plain {
		for i := range s.params {
			if err := s.params[i].liftPlain(cx, flat[i], &args[i]); err != nil {
				return in(s.params[i].name, err)
			}
		}
		return nil
	}
	cx.open()
	if s.spill != nil {
		return s.loadParams(cx, uint64(uint32(flat[0])), args)
	}
	for i := range s.params {
		f := &s.params[i]
		if err := f.lift(cx, flat[f.index:], &args[i]); err != nil {
			return in(f.name, err)
		}
	}
	return nil
}

func (s *Signature) loadParams(cx *Call, p uint64, args []Value) error {
	if err := cx.checkRange("parameters pointer", p, uint64(s.spill.size), s.spill.align); err != nil {
		return err
	}
	for i := range s.params {
		f := &s.params[i]
		if err := f.load(cx, p+uint64(f.offset), &args[i]); err != nil {
			return in(f.name, err)
		}
	}
	return nil
}

// LowerResults hands the result of an import to the guest that called it: in
// flat[0], or in memory where the pointer that follows the core parameters in
// flat says. Flat is the slice LiftParams read.
func (s *Signature) LowerResults(cx *Call, results []Value, flat []uint64) error {
	if n := s.NumResults(); len(results) != n {
		return misfit("%d results, expected %d", len(results), n)
	}
	if s.result == nil {
		return nil
	}
	return s.LowerResult(cx, &results[0], flat)
}

// LowerResult is LowerResults of a function that has a result.
func (s *Signature) LowerResult(cx *Call, v *Value, flat []uint64) error {
	if err := s.lowerResult(cx, v, flat); err != nil {
		return in("result", err)
	}
	return nil
}

func (s *Signature) lowerResult(cx *Call, v *Value, flat []uint64) (err error) {
	l := s.result
	if need := len(s.flat); len(flat) <= need && s.ret || len(flat) == 0 {
		return misfit("%d core values, expected %d", len(flat), need+1)
	}
	if l.plain {
		flat[0], err = l.lowerPlain(cx, v)
		return err
	}
	cx.open()
	if !s.ret {
		return l.lower(cx, v, flat)
	}
	p := uint64(uint32(flat[len(s.flat)]))
	if err := cx.checkRange("result pointer", p, uint64(l.size), l.align); err != nil {
		return err
	}
	return l.store(cx, v, p)
}
