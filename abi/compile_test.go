package abi

import (
	"context"
	"os"
	"sync"
	"testing"
)

// TestSharedCode: components made of the same bytes share their code, which lives as
// long as one of them, while others come and go.
func TestSharedCode(t *testing.T) {
	const users, rounds = 4, 100
	wasm, err := os.ReadFile("../envoy/examples/header-rules/c.wasm")
	if err != nil {
		t.Fatal(err)
	}
	e := testEngine(t, Config{})
	use := func(c *Component) error {
		l := NewLinker(e)
		if err := l.Define(stubs(c, nil)...); err != nil {
			return err
		}
		linked, err := l.Link(c)
		if err != nil {
			return err
		}
		in, err := linked.Instantiate(context.Background(), nil)
		if err != nil {
			return err
		}
		if err := in.Close(context.Background()); err != nil {
			return err
		}
		return linked.Close(context.Background())
	}
	var all sync.WaitGroup
	for range users {
		all.Go(func() {
			for range rounds {
				c, err := e.Compile(context.Background(), wasm)
				if err != nil {
					t.Error(err)
					return
				}
				if err := use(c); err != nil {
					t.Error(err)
				}
				for range 2 { // a second time changes nothing for the others
					if err := c.Close(context.Background()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if n := e.compilations.Len(); n != 0 {
		t.Errorf("the code of %d is left", n)
	}
	first, err := e.Compile(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	second, err := e.Compile(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	if first.compilation != second.compilation {
		t.Error("compiled twice")
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := use(second); err != nil {
		t.Error(err)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
