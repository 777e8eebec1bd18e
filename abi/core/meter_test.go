package core

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
)

var i32 = []ValType{I32}

// loops is a module of loops and recursion. Exports: count(n) runs a tight loop
// of n turns; sum(n) adds up n words of memory; nest(n) runs n*100 turns of a loop in a
// loop; fib(n) recurses; spin() never ends; calls(n) calls a leaf n times.
func loopModule() []byte {
	var a asm
	a.add(secMemory, 0, 1)
	// i32 count(i32 n): do { acc = acc*3+n; n-- } while (n)
	a.fn("count", i32, i32, []byte{1, 1, I32[0]},
		0x03, 0x40,
		0x20, 1, 0x41, 3, 0x6c, 0x20, 0, 0x6a, 0x21, 1,
		0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0,
		0x0b, 0x20, 1)
	// i32 sum(i32 n): do { acc += mem[(n*4)&0xfffc] } while (--n)
	a.fn("sum", i32, i32, []byte{1, 1, I32[0]},
		0x03, 0x40,
		0x20, 0, 0x41, 2, 0x74, 0x41, sleb(0xfffc), 0x71, 0x28, 2, 0,
		0x20, 1, 0x6a, 0x21, 1,
		0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0,
		0x0b, 0x20, 1)
	// i32 fib(i32 n)
	a.fn("fib", i32, i32, nil,
		0x20, 0, 0x41, 2, 0x48, 0x04, I32[0], 0x20, 0, 0x05,
		0x20, 0, 0x41, 1, 0x6b, 0x10, 2, 0x20, 0, 0x41, 2, 0x6b, 0x10, 2, 0x6a,
		0x0b)
	a.fn("spin", nil, nil, nil, 0x03, 0x40, 0x0c, 0, 0x0b)
	leaf := a.fn("", i32, i32, nil, 0x20, 0, 0x41, 7, 0x73)
	a.fn("calls", i32, i32, []byte{1, 1, I32[0]},
		0x03, 0x40,
		0x20, 1, 0x10, leaf, 0x20, 0, 0x6a, 0x21, 1,
		0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0,
		0x0b, 0x20, 1)
	// nest: for n { for 100 { acc ^= j } }
	a.fn("nest", i32, i32, []byte{1, 2, I32[0]},
		0x03, 0x40,
		0x41, sleb(100), 0x21, 2,
		0x03, 0x40, 0x20, 1, 0x20, 2, 0x73, 0x21, 1, 0x20, 2, 0x41, 1, 0x6b, 0x22, 2, 0x0d, 0, 0x0b,
		0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0,
		0x0b, 0x20, 1)
	// mutual tail calls without end
	a.fn("tail", nil, nil, nil, 0x12, 7+0)
	return a.module()
}

func BenchmarkMeter(b *testing.B) {
	wasm := loopModule()
	for _, v := range []struct {
		name string
		wasm []byte
	}{{"plain", wasm}, {"metered", rewritten(b, wasm, Rewrite{Meter: true})}} {
		inst := instantiate(b, newRuntime(b, wazero.NewRuntimeConfigCompiler()), v.wasm)
		for _, f := range []struct {
			name  string
			n     uint64
			turns float64
		}{{"count", 1e6, 1e6}, {"sum", 1e6, 1e6}, {"calls", 1e6, 1e6}, {"nest", 1e4, 1e6}, {"fib", 25, 242785}} {
			fn := inst.ExportedFunction(f.name)
			b.Run(f.name+"/"+v.name, func(b *testing.B) {
				stack := make([]uint64, 1)
				for b.Loop() {
					stack[0] = f.n
					if err := fn.CallWithStack(context.Background(), stack); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/f.turns, "ns/turn")
			})
		}
	}
}
