package canon

import (
	"errors"
	"runtime/metrics"
	"testing"
)

// allocated is how many bytes have been allocated so far.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// FuzzLift lifts arbitrary types out of arbitrary memory and core values: there
// may be a value or a Trap, but no panic, and no more allocated than in proportion
// to the memory.
func FuzzLift(f *testing.F) {
	f.Fuzz(func(t *testing.T, typ, mem []byte, flat []byte) {
		d := &dice{bytes: typ}
		encoding, copied := Encoding(d.upTo(3)), d.upTo(2) == 0
		fn := &Func{Result: d.typ(4, true)}
		for range d.upTo(4) {
			fn.Params = append(fn.Params, Field{Type: d.typ(4, true)})
		}
		sig, err := Compile(fn)
		if err != nil {
			t.Fatal(err)
		}
		cx := (&guest{mem: mem}).call(encoding)
		cx.Copy = copied
		for i := range uint32(4) {
			if _, err := cx.Options.Table.New(aResource, i, t); err != nil {
				t.Fatal(err)
			}
		}
		var core [MaxFlatParams + 1]uint64
		words := &dice{bytes: flat}
		for i := range core {
			core[i] = words.word()
		}
		args := make([]Value, len(fn.Params))
		results := make([]Value, 1)
		before := allocated()
		errs := []error{sig.LiftParams(cx, core[:], args), sig.LiftResults(cx, core[:], results)}
		// Each of the two lifts may use its whole budget, and the arena as much again
		// by growing in steps.
		if n, limit := allocated()-before, 4*uint64(1<<20+64*len(mem))+1<<20; n > limit {
			t.Errorf("allocated %d bytes for a memory of %d, expected at most %d", n, len(mem), limit)
		}
		for _, err := range errs {
			if _, ok := errors.AsType[*Trap](err); err != nil && !ok {
				t.Errorf("%T: %v, expected a Trap", err, err)
			}
		}
		if errs[0] == nil {
			for i := range args {
				walk(fn.Params[i].Type, args[i])
			}
		}
		cx.End()
	})
}

// walk reads all of v, so that a string outside the memory would fault.
func walk(t *Type, v Value) (sum int) {
	for _, b := range []byte(v.Str) {
		sum += int(b)
	}
	for i := range v.List {
		sum += walk(t, v.List[i])
	}
	return sum
}
