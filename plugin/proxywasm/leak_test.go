package proxywasm

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// settles waits until a number is what it should be.
func settles(t *testing.T, what string, want int, number func() int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for number() > want && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if got := number(); got > want {
		t.Errorf("%s: %d, expected %d", what, got, want)
	}
}

// TestNothingLeaks has VMs trap and plugins come and go, many times over.
func TestNothingLeaks(t *testing.T) {
	a := newABI(t, Config{})
	traps := puppet(trapping(onRequestBody, opTrap))
	before := runtime.NumGoroutine()
	m, err := a.Load(context.Background(), traps, performing(t, &logs{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	p := m.(*Module)
	one := int(p.machine.memories.Used())
	for i := range 200 {
		ex := &plugin.Exchange{}
		g, err := m.Start(ex)
		if err != nil {
			t.Fatal(err)
		}
		ex.Request.Arrived, ex.Request.Original = true, list(":path: /")
		if i%2 == 0 {
			ex.Request.In.Push([]byte("a"))
		}
		if _, err := g.Step(context.Background()); (err != nil) != (i%2 == 0) {
			t.Fatalf("exchange %d: %v", i, err)
		}
		if i%3 > 0 {
			g.Close()
		} else {
			defer g.Close()
		}
	}
	settles(t, "bytes of memory", one, func() int { return int(p.machine.memories.Used()) })
	memories := p.machine.memories
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		t.Fatal(err)
	}
	settles(t, "bytes of memory", 0, func() int { return int(memories.Used()) })
	for range 50 {
		m, err := a.Load(context.Background(), traps, performing(t, &logs{}, nil))
		if err != nil {
			t.Fatal(err)
		}
		closeModule(t, m)
	}
	settles(t, "goroutines", before, runtime.NumGoroutine)
	if a.machines.Len() > 0 || a.codes.Len() > 0 {
		t.Error("machines or code are left")
	}
}

// TestSharedCode: plugins of one module share its code, and VMs where they agree on
// all else, while others come and go.
func TestSharedCode(t *testing.T) {
	const users, rounds = 4, 50
	a := newABI(t, Config{Workers: 1})
	wasm := file(t, "envoy", "examples", "proxy-wasm-headers", "c", "plugin.wasm")
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			for n := range rounds {
				m, err := a.Load(context.Background(), wasm, newSpec(&logs{}, func(s *plugin.Spec) {
					s.VM.ID = fmt.Sprint(n % 2)
					if i == 0 {
						s.VM.Isolation = plugin.PerFilter
					}
				}))
				if err != nil {
					t.Error(err)
					return
				}
				if n := a.codes.Len(); n != 1 {
					t.Errorf("the code is there %d times", n)
				}
				closeModule(t, m)
			}
		})
	}
	all.Wait()
	if a.machines.Len() > 0 || a.codes.Len() > 0 {
		t.Error("machines or code are left")
	}
}
