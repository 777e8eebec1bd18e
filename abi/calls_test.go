package abi

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// callsFixture is an instance of testdata/components/calls.wat.
type callsFixture struct {
	*Instance
	linked  *Linked
	dropped []any
	rows    map[string]func(*Call) error
}

func newCalls(t *testing.T, cfg Config) *callsFixture {
	t.Helper()
	fx := &callsFixture{rows: callsRows()}
	e := testEngine(t, cfg)
	wasm := readFile(t, "testdata/components/calls.wasm")
	c, err := e.Compile(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	ifaces := stubs(c, fx.rows)
	for i := range ifaces {
		for j := range ifaces[i].Resources {
			ifaces[i].Resources[j].Drop = func(data, obj any) { fx.dropped = append(fx.dropped, obj) }
		}
	}
	l := NewLinker(e)
	if err := l.Define(ifaces...); err != nil {
		t.Fatal(err)
	}
	if fx.linked, err = l.Link(c); err != nil {
		t.Fatal(err)
	}
	fx.again(t)
	return fx
}

// again makes a new instance.
func (fx *callsFixture) again(t *testing.T) {
	t.Helper()
	in, err := fx.linked.Instantiate(t.Context(), "data")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(context.Background()) })
	fx.Instance = in
}

func (fx *callsFixture) call(t *testing.T, name string, args ...Value) (Value, error) {
	t.Helper()
	f := fx.Func("", name)
	if f == nil {
		t.Fatalf("no function %q", name)
	}
	results := make([]Value, 1)
	if f.Type().Result == nil {
		results = nil
	}
	err := f.Call(t.Context(), args, results)
	if results == nil {
		return Value{}, err
	}
	return results[0], err
}

func TestCall(t *testing.T) {
	for _, cfg := range []Config{{}, {Interpreter: true}} {
		fx := newCalls(t, cfg)
		long := strings.Repeat("x", 10_000)
		for _, tc := range []struct {
			name string
			args []Value
			want Value
		}{
			{"add", []Value{U32(1 << 31), U32(1 << 31)}, U32(0)},
			{"length", []Value{String("grüße")}, U32(7)},
			{"echo", []Value{String(long)}, String(long)},
			{"echo", []Value{String("")}, String("")},
			{"time", nil, U64(42)},
			{"log", nil, U32(4)},
		} {
			got, err := fx.call(t, tc.name, tc.args...)
			if err != nil || !equalValues(got, tc.want) {
				t.Errorf("%s: returned %+v, %v, expected %+v", tc.name, got, err, tc.want)
			}
		}
		if len(fx.dropped) != 1 || fx.dropped[0].(*strings.Builder).String() != "ello" {
			t.Errorf("dropped %v, expected the one logger", fx.dropped)
		}
	}
}

func TestCallPassesHostObjects(t *testing.T) {
	fx := newCalls(t, Config{})
	obj := &strings.Builder{}
	if _, err := fx.call(t, "take", Value{Obj: obj}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(fx.dropped, []any{obj}) {
		t.Errorf("dropped %v, expected the object that was passed", fx.dropped)
	}
}

func TestTrapEndsInstance(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name, call, want string
		fail             func(*Call) error
		cause            error
	}{
		{name: "trap", call: "unreachable", want: "wasm trap: unreachable"},
		{name: "recursion", call: "recurse", want: "wasm trap: stack overflow"},
		{name: "host error", call: "call-fail", want: "test:host/log@0.1.0 fail: boom",
			fail: func(*Call) error { return boom }, cause: boom},
		{name: "host panic", call: "call-fail", want: "test:host/log@0.1.0 fail: the host function panicked: oops",
			fail: func(*Call) error { panic("oops") }},
		{name: "host bug", call: "call-fail", want: "test:host/log@0.1.0 fail: the host function panicked: runtime error: index out of range [1] with length 0",
			fail: func(c *Call) error { return c.Args[1].Obj.(error) }},
		{name: "host answers a case that does not exist", call: "call-fail", want: `host function answers error case "x", but its type has no error payload`,
			fail: func(c *Call) error { c.Result = c.ErrCase("x"); return nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fx := newCalls(t, Config{})
			fx.linked.rows[slices.IndexFunc(fx.linked.rows, func(r row) bool { return strings.HasSuffix(r.label, " fail") })].Call = tc.fail
			_, err := fx.call(t, tc.call)
			var trap *Trap
			if !errors.As(err, &trap) || trap.Message != tc.want {
				t.Errorf("error %q, expected trap %q", err, tc.want)
			}
			if tc.cause != nil && !errors.Is(err, tc.cause) {
				t.Errorf("error %v doesn't wrap the cause", err)
			}
			_, again := fx.call(t, "add", U32(1), U32(2))
			if again == nil || !strings.Contains(again.Error(), "can't be used any more") || !errors.Is(again, err) {
				t.Errorf("later call: %v, expected that the instance is finished, and why", again)
			}
			if fx.Reset(t.Context()) {
				t.Error("an instance that trapped was reset")
			}
		})
	}
}

func TestStop(t *testing.T) {
	for _, call := range []string{"loop", "call-loop"} {
		for _, cfg := range []Config{{}, {Interpreter: true}} {
			if cfg.Interpreter && raceEnabled {
				continue // it reads the stop global in Go, without synchronization
			}
			fx := newCalls(t, cfg)
			asked := make(chan time.Time, 1)
			time.AfterFunc(20*time.Millisecond, func() { asked <- time.Now(); fx.Stop() })
			_, err := fx.call(t, call)
			if took := time.Since(<-asked); took > 10*time.Millisecond && !cfg.Interpreter && !raceEnabled {
				t.Errorf("%s ended %v after Stop, expected 10 ms at most", call, took)
			}
			var trap *Trap
			if !errors.As(err, &trap) || !trap.Stopped {
				t.Errorf("%s: error %v, expected a trap with Stopped", call, err)
			}
		}
	}
}

func TestStopBeforeCall(t *testing.T) {
	fx := newCalls(t, Config{})
	fx.Stop()
	if !fx.Reset(t.Context()) {
		t.Fatal(fx.Resettable())
	}
	if _, err := fx.call(t, "add", U32(1), U32(2)); err != nil {
		t.Errorf("after Stop and Reset: %v", err)
	}
	fx.Stop()
	var trap *Trap
	if _, err := fx.call(t, "add", U32(1), U32(2)); !errors.As(err, &trap) || !trap.Stopped {
		t.Errorf("after Stop: %v, expected a trap with Stopped", err)
	}
}

func TestStopStartFunction(t *testing.T) {
	e := testEngine(t, Config{})
	l := linkFile(t, e, "testdata/components/start-loop.wasm", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := l.Instantiate(ctx, nil)
	var trap *Trap
	if !errors.As(err, &trap) || !trap.Stopped {
		t.Errorf("error %v, expected a trap with Stopped", err)
	}
}

func TestMemoryLimit(t *testing.T) {
	fx := newCalls(t, Config{MemoryLimit: 4 << 20})
	_, err := fx.call(t, "eat")
	var trap *Trap
	if !errors.As(err, &trap) || !trap.OutOfMemory {
		t.Errorf("error %v, expected a trap with OutOfMemory", err)
	}
}

func TestMemoryOverLimitFromStart(t *testing.T) {
	e := testEngine(t, Config{MemoryLimit: 1 << 16})
	_, err := e.Compile(t.Context(), readFile(t, "testdata/components/calls.wasm"))
	if err == nil || !strings.Contains(err.Error(), "starts with 131072 bytes, the limit is 65536") {
		t.Errorf("error %v, expected that the memory is over the limit", err)
	}
}

func TestTableLimit(t *testing.T) {
	e := testEngine(t, Config{TableLimit: 1000})
	in, err := linkFile(t, e, "testdata/components/tables.wasm", nil).Instantiate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	results := make([]Value, 1)
	for _, tc := range []struct {
		by   uint32
		want int32
	}{{998, 1}, {1, 999}, {1, -1}, {1 << 31, -1}} {
		if err := in.Func("", "grow").Call(t.Context(), []Value{U32(tc.by)}, results); err != nil || int32(results[0].Num) != tc.want {
			t.Errorf("growth by %d returned %d, %v, expected %d", tc.by, int32(results[0].Num), err, tc.want)
		}
	}
	if in.Reset(t.Context()) {
		t.Error("an instance whose code writes its table was reset")
	}
	if ok, reason := in.Resettable(); ok || reason != "core module 0: its code writes a table" {
		t.Errorf("resettable %v: %q", ok, reason)
	}
}

// TestParallel runs instances of one linked component at the same time.
func TestParallel(t *testing.T) {
	fx := newCalls(t, Config{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				in, err := fx.linked.Instantiate(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				for range 3 {
					results := make([]Value, 1)
					if err := in.Func("", "count").Call(t.Context(), nil, results); err != nil || results[0].Num != 1<<32|1 {
						t.Errorf("count returned %#x, %v", results[0].Num, err)
					}
					if err := in.Func("", "echo").Call(t.Context(), []Value{String("hello")}, results); err != nil || results[0].Str != "hello" {
						t.Errorf("echo returned %q, %v", results[0].Str, err)
					}
					if !in.Reset(t.Context()) {
						t.Error(in.Resettable())
					}
				}
				if err := in.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestReset(t *testing.T) {
	fx := newCalls(t, Config{})
	for range 3 {
		for n := range uint64(3) {
			if got, err := fx.call(t, "count"); err != nil || got.Num != (n+1)<<32|(n+1) {
				t.Fatalf("count returned %#x, %v, expected %d in global and memory", got.Num, err, n+1)
			}
		}
		if h, err := fx.call(t, "leak"); err != nil || h.Num != 1 {
			t.Fatalf("handle %d, %v, expected 1 as in a fresh table", h.Num, err)
		}
		fx.dropped = nil
		if !fx.Reset(t.Context()) {
			t.Fatal(fx.Resettable())
		}
		if len(fx.dropped) != 1 {
			t.Errorf("%d resources dropped by Reset, expected the leaked one", len(fx.dropped))
		}
	}
	first := fx.Instance
	fx.again(t)
	if got, err := fx.call(t, "count"); err != nil || got.Num != 1<<32|1 {
		t.Errorf("in a second instance count returned %#x, %v", got.Num, err)
	}
	if !fx.Reset(t.Context()) || !first.Reset(t.Context()) {
		t.Error("two instances of one image can't be reset")
	}
}

func TestResetAfterGrowth(t *testing.T) {
	fx := newCalls(t, Config{})
	if got, err := fx.call(t, "grow", U32(1)); err != nil || int32(got.Num) < 0 {
		t.Fatalf("grow returned %d, %v", int32(got.Num), err)
	}
	if !fx.Reset(t.Context()) {
		t.Fatal(fx.Resettable())
	}
	if got, err := fx.call(t, "grow", U32(0)); err != nil || got.Num != 2 {
		t.Errorf("the memory has %d pages, %v, expected 2 as at first", got.Num, err)
	}
	if got, err := fx.call(t, "count"); err != nil || got.Num != 1<<32|1 {
		t.Errorf("count returned %#x, %v", got.Num, err)
	}
}

func TestCloseDropsHandles(t *testing.T) {
	fx := newCalls(t, Config{})
	for range 3 {
		if _, err := fx.call(t, "leak"); err != nil {
			t.Fatal(err)
		}
	}
	if err := fx.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(fx.dropped) != 3 {
		t.Errorf("%d resources dropped, expected 3", len(fx.dropped))
	}
	if _, err := fx.call(t, "add", U32(1), U32(2)); err == nil {
		t.Error("a closed instance was called")
	}
}

func TestCallFromRow(t *testing.T) {
	fx := newCalls(t, Config{})
	var nested error
	i := slices.IndexFunc(fx.linked.rows, func(r row) bool { return strings.HasSuffix(r.label, " now") })
	fx.linked.rows[i].Call = func(c *Call) error {
		if c.Data() != "data" || c.Context() == nil {
			t.Errorf("data %v, context %v", c.Data(), c.Context())
		}
		_, nested = fx.call(t, "add", U32(1), U32(2))
		return nil
	}
	if _, err := fx.call(t, "time"); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(nested, errRunning) {
		t.Errorf("nested call: %v, expected %v", nested, errRunning)
	}
}
