package abi

import (
	"fmt"
	"os"
	"testing"

	"github.com/extproc/extproc/abi/binary"
)

// stubs are rows for everything a component imports. The functions fail when
// called, unless calls has one of that label ("iface name").
func stubs(c *Component, calls map[string]func(*Call) error) []Interface {
	root := Interface{Name: ""}
	var list []Interface
	for _, e := range c.Imports() {
		if e.Sort != binary.SortInstance {
			root.add(c.plan.imports, "", e, calls)
			continue
		}
		i := Interface{Name: e.Name}
		def := c.plan.imports.items[e.Name].instance
		for _, item := range e.Items {
			i.add(def, e.Name, item, calls)
		}
		list = append(list, i)
	}
	return append(list, root)
}

func (i *Interface) add(names *instanceDef, instance string, e Extern, calls map[string]func(*Call) error) {
	switch {
	case e.Func != nil:
		call := calls[label(instance, e.Name)]
		if call == nil {
			call = func(*Call) error { return fmt.Errorf("stub of %s called", e.Name) }
		}
		i.Funcs = append(i.Funcs, HostFunc{Name: e.Name, Sig: (&matcher{names}).text(e.Func), Call: call})
	case e.Resource != nil && e.Resource.Owner == nil:
		i.Resources = append(i.Resources, Resource{Name: e.Name})
	}
}

// testEngine starts an engine that ends with the test.
func testEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	e, err := NewEngine(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(t.Context()) })
	return e
}

// linkFile compiles a component and links it with stubs.
func linkFile(t testing.TB, e *Engine, path string, calls map[string]func(*Call) error) *Linked {
	t.Helper()
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.Compile(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLinker(e)
	if err := l.Define(stubs(c, calls)...); err != nil {
		t.Fatal(err)
	}
	linked, err := l.Link(c)
	if err != nil {
		t.Fatal(err)
	}
	return linked
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
