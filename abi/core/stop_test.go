package core

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

func stopOf(inst api.Module) *Stop {
	return NewStop(inst.ExportedGlobal(StopExport).(api.MutableGlobal))
}

// endless is a module of functions that never end by themselves.
func endless() []byte {
	a := new(asm)
	a.add(secMemory, 0, leb(256))
	a.add(secTable, FuncRef, 0, 10)
	a.add(secTag, 0, 0)
	a.fn("loop", nil, nil, nil, 0x03, 0x40, 0x0c, 0, 0x0b) // type 0 is () -> ()
	a.fn("loop with parameters", nil, nil, nil,
		0x41, 1, 0x42, 2, 0x03, leb(uint64(twoIn(a))), 0x0c, 0, 0x0b, 0x1a, 0x1a)
	self := a.fn("recursion", nil, nil, nil, 0x10, 2)
	_ = self
	a.fn("tail call", nil, nil, nil, 0x12, 3)
	a.fn("exponential", nil, nil, nil, 0x10, 5, 0x10, 5)
	for i := range 60 { // each calls the next twice
		a.fn("", nil, nil, nil, 0x10, leb(uint64(6+i)), 0x10, leb(uint64(6+i)))
	}
	a.fn("", nil, nil, nil)
	a.fn("memory.fill", nil, nil, nil,
		0x03, 0x40, 0x41, 0, 0x41, 7, 0x41, sleb(256<<16), 0xfc, 11, 0, 0x0c, 0, 0x0b)
	// Much code in one turn, of calls and of divisions.
	leaf := a.fn("", nil, nil, nil, slow(120))
	long := a.fn("", nil, nil, nil, slow(100_000))
	a.fn("calls of short functions", nil, nil, nil,
		0x03, 0x40, bytes.Repeat(cat(0x10, leb(uint64(leaf))), 1000), 0x0c, 0, 0x0b)
	a.fn("calls of a long function", nil, nil, nil, 0x03, 0x40, 0x10, leb(uint64(long)), 0x0c, 0, 0x0b)
	a.fn("br_table", nil, nil, nil,
		0x03, 0x40, 0x41, 0, 0x0e, 1, 0, 0, 0x0b, 0x00)
	a.fn("exception", nil, nil, nil,
		0x03, 0x40, 0x1f, 0x40, 1, 2, 0, 0x08, 0, 0x0b, 0x0c, 0, 0x0b)
	a.fn("catch of a trap", nil, nil, nil,
		0x03, 0x40, 0x1f, 0x40, 1, 2, 0, 0x03, 0x40, 0x0c, 0, 0x0b, 0x0b, 0x0c, 0, 0x0b)
	return a.module()
}

// slow is some bytes of divisions.
func slow(size int) []byte {
	return cat(0x42, sleb(1<<62), bytes.Repeat([]byte{0x42, 3, 0x80}, size/3), 0x1a)
}

// twoIn adds the type of a loop with two parameters and results.
func twoIn(a *asm) int { return a.add(secType, 0x60, types(I32, I64), types(I32, I64)) }

func TestEndlessCodeStops(t *testing.T) {
	wasm := rewritten(t, endless(), Rewrite{Meter: true})
	rt := newRuntime(t, wazero.NewRuntimeConfigCompiler())
	inst := instantiate(t, rt, wasm)
	stop := stopOf(inst)
	for name := range inst.ExportedFunctionDefinitions() {
		t.Run(name, func(t *testing.T) {
			// What else the machine does only adds to it.
			late := time.Hour
			for try := 0; late > 500*time.Millisecond && try < 10; try++ {
				late = stopped(t, stop, inst.ExportedFunction(name))
				t.Logf("ended %v after the request", late)
			}
			if late > 500*time.Millisecond {
				t.Errorf("ended %v after the request at best", late)
			}
		})
	}
}

// stopped says how long after it was asked to code that doesn't end has been stopped.
func stopped(t *testing.T, stop *Stop, f api.Function) time.Duration {
	t.Helper()
	run := stop.Begin()
	asked := make(chan time.Time, 1)
	timer := time.AfterFunc(20*time.Millisecond, func() {
		asked <- time.Now()
		stop.Request(run)
	})
	defer timer.Stop()
	_, err := f.Call(context.Background())
	ended := time.Now()
	if slices.Contains(f.Definition().ExportNames(), "recursion") && err != nil && strings.Contains(err.Error(), "stack overflow") {
		stop.End()
		return 0
	}
	if err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Fatalf("ended with %v", err)
	}
	if !stop.End() {
		t.Fatal("stop denies that it was requested")
	}
	return ended.Sub(<-asked)
}

func TestStopRuns(t *testing.T) {
	inst := instantiate(t, newRuntime(t, wazero.NewRuntimeConfig()), rewritten(t, loopModule(), Rewrite{Meter: true}))
	global := inst.ExportedGlobal(StopExport)
	stop := stopOf(inst)
	count := func() error {
		_, err := inst.ExportedFunction("count").Call(context.Background(), 10*Interval)
		return err
	}
	first := stop.Begin()
	if err := count(); err != nil || stop.Requested() || stop.End() {
		t.Fatal("a run that nobody asked to stop:", err)
	}
	stop.Request(first) // a late timer, between runs
	second := stop.Begin()
	stop.Request(first) // and within the next
	if err := count(); err != nil || stop.Requested() {
		t.Fatal("a late request ended another run:", err)
	}
	stop.Request(second)
	stop.Request(second)
	if err := count(); err == nil || !stop.Requested() {
		t.Fatal("a request before code was lost")
	}
	if !stop.End() || global.Get() != 0 || stop.Requested() {
		t.Fatal("End does not clear")
	}
	stop.Begin()
	if err := count(); err != nil || stop.End() {
		t.Fatal("a cleared stop ends code:", err)
	}
}

// TestGarbageCollectionBesideLoop measures how long a collection takes while a
// guest loops without calling the host.
func TestGarbageCollectionBesideLoop(t *testing.T) {
	inst := instantiate(t, newRuntime(t, wazero.NewRuntimeConfigCompiler()), rewritten(t, loopModule(), Rewrite{Meter: true}))
	stop := stopOf(inst)
	aloneMean, aloneWorst := collections()
	run := stop.Begin()
	done := make(chan error, 1)
	go func() {
		_, err := inst.ExportedFunction("spin").Call(context.Background())
		done <- err
	}()
	time.Sleep(10 * time.Millisecond)
	mean, worst := collections()
	stop.Request(run)
	if err := <-done; err == nil || !stop.End() {
		t.Fatal("the loop did not end:", err)
	}
	t.Logf("runtime.GC beside a loop: mean %v, worst %v; alone: %v, %v", mean, worst, aloneMean, aloneWorst)
	if worst > time.Minute/2 {
		t.Errorf("a collection took %v", worst)
	}
}

func collections() (mean, worst time.Duration) {
	const times = 50
	var sum time.Duration
	for range times {
		start := time.Now()
		runtime.GC()
		took := time.Since(start)
		worst, sum = max(worst, took), sum+took
	}
	return sum / times, worst
}

func TestStartFunctionIsExported(t *testing.T) {
	a := new(asm)
	a.fn("", nil, nil, nil, 0x03, 0x40, 0x0c, 0, 0x0b)
	a.add(secStart, 0)
	inst := instantiate(t, newRuntime(t, wazero.NewRuntimeConfig()), rewritten(t, a.module(), Rewrite{Meter: true}))
	stop := stopOf(inst)
	run := stop.Begin()
	time.AfterFunc(10*time.Millisecond, func() { stop.Request(run) })
	if _, err := inst.ExportedFunction(StartExport).Call(context.Background()); err == nil || !stop.End() {
		t.Fatal("the start function was not stopped:", err)
	}
}

func BenchmarkStop(b *testing.B) {
	for _, n := range []int{1, 4} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			rt := newRuntime(b, wazero.NewRuntimeConfig())
			wasm := rewritten(b, loopModule(), Rewrite{Meter: true})
			var globals []StopGlobal
			for range n {
				globals = append(globals, instantiate(b, rt, wasm).ExportedGlobal(StopExport).(api.MutableGlobal))
			}
			stop := NewStop(globals...)
			b.Run("unused", func(b *testing.B) {
				for b.Loop() {
					stop.Begin()
					stop.End()
				}
			})
			b.Run("requested", func(b *testing.B) {
				for b.Loop() {
					stop.Request(stop.Begin())
					stop.End()
				}
			})
		})
	}
}
