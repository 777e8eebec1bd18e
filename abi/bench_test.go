package abi

import (
	"context"
	"strings"
	"testing"
)

const rustExample = "../envoy/examples/header-rules/rust.wasm"

// callsRows are rows for testdata/components/calls.wat.
func callsRows() map[string]func(*Call) error {
	const log = "test:host/log@0.1.0 "
	return map[string]func(*Call) error{
		log + "now":                 func(c *Call) error { c.Result = U64(42); return nil },
		log + "[constructor]logger": func(c *Call) error { c.Result = c.Own(&strings.Builder{}); return nil },
		log + "[method]logger.write": func(c *Call) error {
			b := c.Args[0].Obj.(*strings.Builder)
			b.WriteString(c.Args[1].Str)
			c.Result = U32(uint32(b.Len()))
			return nil
		},
	}
}

func benchInstance(b *testing.B) *Instance {
	l := linkFile(b, testEngine(b, Config{MemoryLimit: 64 << 20}), "testdata/components/calls.wasm", callsRows())
	in, err := l.Instantiate(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(context.Background()) })
	return in
}

func benchCall(b *testing.B, in *Instance, name string, args ...Value) {
	f := in.Func("", name)
	results := make([]Value, 1)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Call(ctx, args, results); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCallScalar(b *testing.B) { benchCall(b, benchInstance(b), "add", U32(1), U32(2)) }

func BenchmarkCallString(b *testing.B) {
	benchCall(b, benchInstance(b), "length", String("a string of thirty-two bytes....."))
}

func BenchmarkCallStringEcho(b *testing.B) {
	benchCall(b, benchInstance(b), "echo", String("a string of thirty-two bytes....."))
}

// BenchmarkCallHost is a call that calls the host once, with a scalar.
func BenchmarkCallHost(b *testing.B) { benchCall(b, benchInstance(b), "time") }

// BenchmarkCallHostResource makes a resource of the host, calls a method of it
// with a string, and drops it.
func BenchmarkCallHostResource(b *testing.B) { benchCall(b, benchInstance(b), "log") }

func BenchmarkInstantiate(b *testing.B) {
	l := linkFile(b, testEngine(b, Config{MemoryLimit: 64 << 20}), rustExample, nil)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		in, err := l.Instantiate(ctx, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := in.Close(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReset is a call that dirties a memory and a global, and the reset.
func BenchmarkReset(b *testing.B) {
	in := benchInstance(b)
	f := in.Func("", "count")
	results := make([]Value, 1)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Call(ctx, nil, results); err != nil {
			b.Fatal(err)
		}
		if results[0].Num != 1|1<<32 {
			b.Fatalf("count %#x: an earlier call shows", results[0].Num)
		}
		if !in.Reset(ctx) {
			b.Fatal(in.Resettable())
		}
	}
}
