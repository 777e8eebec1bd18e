package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// told is what a proxy says of an exchange in a test.
type told struct {
	metadata   map[string][]string
	attributes map[string]Value
}

func (t told) InitialMetadata(key string) []string { return t.metadata[key] }
func (t told) Attribute(name string) (Value, bool) { v, ok := t.attributes[name]; return v, ok }

const routed = `
routes:
- { name: checkout, plugins: [c, a] }
- { name: admin, plugins: [b], match: { metadata: { x-tenant: one, x-kind: admin } } }
- { name: port, plugins: [], match: { attribute: { destination.port: "8443" }, metadata: { x-tenant: one } } }
- { name: again, plugins: [a], match: { attribute: { xds.route_name: checkout } } }
default: [b]
plugins:
- { pluginName: a, url: p.wasm }
- { pluginName: b, url: p.wasm }
- { pluginName: c, url: p.wasm, phase: AUTHN }
`

// TestRoutes: the first route that an exchange has all marks of says which plugins
// see it, in the order of all plugins.
func TestRoutes(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "p.wasm"), component)
	c, err := ParseConfig(filepath.Join(dir, "f.yaml"), []byte(routed), quietLog)
	if err != nil {
		t.Fatal(err)
	}
	abi := &wordABI{}
	set, err := LoadSet(t.Context(), c, []ABI{abi}, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, abi.loaded.Load(), int64(3))
	type meta = map[string][]string
	name := func(s string) map[string]Value { return map[string]Value{"xds.route_name": Text(s)} }
	for _, tc := range []struct {
		told told
		want string
	}{
		{told{}, ": b"},
		{told{metadata: meta{"x-extproc-route": {"checkout"}}}, "checkout: c a"},
		{told{metadata: meta{"x-extproc-route": {"checkout", "other"}}}, ": b"},
		{told{metadata: meta{"x-extproc-route": {"other", "checkout"}}}, "checkout: c a"},
		{told{metadata: meta{"x-extproc-route": {"checkout"}}, attributes: name("checkout")}, "checkout: c a"},
		{told{attributes: name("checkout")}, "again: a"},
		{told{attributes: name("Checkout")}, ": b"},
		{told{metadata: meta{"x-tenant": {"one"}}}, ": b"},
		{told{metadata: meta{"x-tenant": {"one"}, "x-kind": {"admin"}}}, "admin: b"},
		{told{metadata: meta{"x-tenant": {"one"}}, attributes: map[string]Value{"destination.port": {Kind: NumberValue, Number: 8443}}}, "port: "},
	} {
		r := set.Route(tc.told)
		var names []string
		for _, p := range r.Plugins {
			names = append(names, p.Spec.Name)
		}
		if got := r.Name + ": " + strings.Join(names, " "); got != tc.want {
			t.Errorf("%v: got %q, want %q", tc.told, got, tc.want)
		}
	}
	_ = set.Release()
	equal(t, abi.closed.Load(), int64(3))
}

// TestRoutesReload: routes change with the plugins, all at once, and what they
// have in common stays loaded.
func TestRoutesReload(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "p.wasm"), component)
	config := filepath.Join(dir, "f.yaml")
	abi := &wordABI{}
	r := &Reloader{Path: config, ABIs: []ABI{abi}, Log: quietLog}
	load := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load(routed)
	old := r.Current().Acquire()
	load(strings.Replace(routed, "plugins: [c, a]", "plugins: [a]", 1))
	checkout := told{metadata: map[string][]string{RouteKey: {"checkout"}}}
	fresh := r.Current().Acquire()
	equal(t, len(old.Route(checkout).Plugins), 2)
	equal(t, len(fresh.Route(checkout).Plugins), 1)
	equal(t, abi.loaded.Load(), int64(3))
	_ = old.Release()
	_ = fresh.Release()
	_ = r.Current().Close()
	equal(t, abi.closed.Load(), int64(3))
}
