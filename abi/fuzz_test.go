package abi

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/extproc/extproc/abi/canon"
)

// FuzzInstantiate compiles, links, instantiates and calls mutated components.
// Whatever they do, the host must neither panic nor hang.
func FuzzInstantiate(f *testing.F) {
	files, err := filepath.Glob("testdata/components/*.wasm")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	suites, _ := filepath.Glob("testdata/wast/*/*.wasm")
	for _, file := range append(files, suites...) {
		f.Add(readFile(f, file))
	}
	e, err := NewEngine(context.Background(), Config{MemoryLimit: 16 << 20, TableLimit: 10_000, HandleLimit: 1000})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		fuzzOne(ctx, e, wasm)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func fuzzOne(ctx context.Context, e *Engine, wasm []byte) {
	c, err := e.Compile(ctx, wasm)
	if err != nil {
		return
	}
	defer c.Close(context.Background())
	l := NewLinker(e)
	if err := l.Define(stubs(c, callsRows())...); err != nil {
		return
	}
	linked, err := l.Link(c)
	if err != nil {
		return
	}
	defer linked.Close(ctx)
	in, err := linked.Instantiate(ctx, nil)
	if err != nil {
		return
	}
	defer in.Close(ctx)
	timer := time.AfterFunc(50*time.Millisecond, in.Stop)
	defer timer.Stop()
	for _, name := range c.plan.exports.names {
		fn := in.Func("", name)
		if fn == nil {
			continue
		}
		args := make([]Value, len(fn.Type().Params))
		for i := range args {
			args[i] = zeroValue(fn.ParamType(i), 0)
		}
		var results []Value
		if fn.Type().Result != nil {
			results = make([]Value, 1)
		}
		if fn.Call(ctx, args, results) == nil {
			in.Reset(ctx)
		}
	}
}

// zeroValue is some value of a type, or none at all if that would be large.
func zeroValue(t *canon.Type, depth int) Value {
	if depth > 5 {
		return Value{}
	}
	var list []*canon.Type
	switch t.Kind {
	case canon.Own, canon.Borrow:
		return Value{Obj: t}
	case canon.String:
		return Value{Str: "string"}
	case canon.Record, canon.Tuple:
		for _, f := range t.Fields {
			list = append(list, f.Type)
		}
	case canon.Variant, canon.Result:
		if p := t.Cases[0].Type; p != nil {
			list = append(list, p)
		}
	case canon.FixedList:
		for range min(t.Len, 100) {
			list = append(list, t.Elem)
		}
	}
	var v Value
	for _, e := range list {
		v.List = append(v.List, zeroValue(e, depth+1))
	}
	return v
}
