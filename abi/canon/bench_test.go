package canon

import "testing"

// The scalar path: what canon adds to a call of a guest with a u32 in and out.
func BenchmarkScalar(b *testing.B) {
	sig := mustCompile(b, fn(prim(U32), prim(U32)))
	cx := &Call{Options: &Options{}}
	args, results, flat := make([]Value, 1), make([]Value, 1), make([]uint64, 1)
	b.ReportAllocs()
	for b.Loop() {
		args[0].Num++
		args[0].Num &= 0xffff
		if _, err := sig.LowerParams(cx, args, flat); err != nil {
			b.Fatal(err)
		}
		if err := sig.LiftResults(cx, flat, results); err != nil {
			b.Fatal(err)
		}
	}
}

// headers is a list<tuple<string, list<u8>>> of 20 as an HTTP request has.
func headers() (*Type, Value) {
	typ := listOf(tupleOf(prim(String), listOf(prim(U8))))
	var v Value
	for range 20 {
		v.List = append(v.List, Value{List: []Value{{Str: "x-request-header"}, {Str: "a value of thirty-two bytes here"}}})
	}
	return typ, v
}

func BenchmarkHeaders(b *testing.B) {
	typ, v := headers()
	sig := mustCompile(b, fn(nil, typ))
	g := newGuest(1 << 16)
	cx := g.call(UTF8)
	var flat [2]uint64
	args := []Value{v}
	lower := func(b *testing.B) {
		g.next, g.calls = heap, g.calls[:0]
		if _, err := sig.LowerParams(cx, args, flat[:]); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("lower", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			lower(b)
		}
	})
	for name, copied := range map[string]bool{"lift": false, "lift copied": true} {
		b.Run(name, func(b *testing.B) {
			lower(b)
			cx.Copy = copied
			out := make([]Value, 1)
			b.ReportAllocs()
			for b.Loop() {
				if err := sig.LiftParams(cx, flat[:], out); err != nil {
					b.Fatal(err)
				}
				cx.End()
			}
		})
	}
}

func BenchmarkUTF16(b *testing.B) {
	sig := mustCompile(b, fn(nil, prim(String)))
	g := newGuest(1 << 16)
	cx := g.call(UTF16)
	var flat [2]uint64
	args := []Value{{Str: "an ordinary header value, naïve enough"}}
	b.ReportAllocs()
	for b.Loop() {
		g.next, g.calls = heap, g.calls[:0]
		if _, err := sig.LowerParams(cx, args, flat[:]); err != nil {
			b.Fatal(err)
		}
		if err := sig.LiftParams(cx, flat[:], args); err != nil {
			b.Fatal(err)
		}
		args[0].Str = "an ordinary header value, naïve enough"
		cx.End()
	}
}

func BenchmarkHandles(b *testing.B) {
	sig := mustCompile(b, fn(nil, &Type{Kind: Borrow, Resource: aResource}))
	cx := newGuest(0).call(UTF8)
	i, err := cx.Options.Table.New(aResource, 1, b)
	if err != nil {
		b.Fatal(err)
	}
	flat, args := []uint64{uint64(i)}, make([]Value, 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := sig.LiftParams(cx, flat, args); err != nil {
			b.Fatal(err)
		}
		cx.End()
	}
}

// TestAllocations holds lifting and scalar calls to no allocation once warm.
func TestAllocations(t *testing.T) {
	typ, v := headers()
	sig := mustCompile(t, fn(nil, typ, prim(String), prim(U32)))
	g := newGuest(1 << 16)
	for _, e := range []Encoding{UTF8, UTF16, Latin1UTF16} {
		cx := g.call(e)
		cx.Copy = true
		var flat [8]uint64
		if _, err := sig.LowerParams(cx, []Value{v, {Str: "naïve ☃"}, {Num: 1}}, flat[:]); err != nil {
			t.Fatal(err)
		}
		args := make([]Value, 3)
		lift := func() {
			if err := sig.LiftParams(cx, flat[:], args); err != nil {
				t.Fatal(err)
			}
			cx.End()
		}
		for range 8 {
			lift()
		}
		if n := testing.AllocsPerRun(100, lift); n != 0 {
			t.Errorf("encoding %d: %v allocations for lifting, expected none", e, n)
		}
	}
}
