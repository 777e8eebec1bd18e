package wasihttp_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/plugin"
)

// wasmTools runs `wasm-tools component` and returns what it prints.
func wasmTools(t *testing.T, args ...string) []byte {
	t.Helper()
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	program, err := checkout.Tool("wasm-tools")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append([]string{"component"}, args...)...)
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("wasm-tools component %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

type docs struct{ Contents string }

// TestWIT: wasm-tools takes the package, and everything in it is explained.
func TestWIT(t *testing.T) {
	var all struct {
		Packages   []struct{ Name string }
		Interfaces []struct {
			Name      string
			Package   int
			Docs      docs
			Functions map[string]struct{ Docs docs }
		}
		Types []struct {
			Name  string
			Owner any
			Kind  any
			Docs  docs
		}
		Worlds []struct {
			Name    string
			Package int
			Docs    docs
		}
	}
	if err := json.Unmarshal(wasmTools(t, "wit", "--json", "wit"), &all); err != nil {
		t.Fatal(err)
	}
	own := func(i int) bool { return all.Packages[i].Name == "http-proxy:plugin@0.1.0" }
	explained := func(what string, d docs) {
		if d.Contents == "" {
			t.Errorf("%s is not explained", what)
		}
	}
	interfaces := map[float64]string{}
	for n, i := range all.Interfaces {
		if !own(i.Package) {
			continue
		}
		interfaces[float64(n)] = i.Name
		explained("interface "+i.Name, i.Docs)
		for name, f := range i.Functions {
			explained(i.Name+" "+name, f.Docs)
		}
	}
	for _, w := range all.Worlds {
		if own(w.Package) {
			explained("world "+w.Name, w.Docs)
		}
	}
	for _, typ := range all.Types {
		owner, _ := typ.Owner.(map[string]any)
		n, ok := owner["interface"].(float64)
		kind, _ := typ.Kind.(map[string]any)
		_, used := kind["type"].(float64) // another interface's
		if name := interfaces[n]; ok && name != "" && !used && typ.Name != "error" {
			explained(name+" "+typ.Name, typ.Docs)
		}
	}
	if len(interfaces) < 12 {
		t.Errorf("found %d interfaces", len(interfaces))
	}
}

// TestWorldLinks: a component that imports and exports all there is can be loaded:
// the tables say what the package says.
func TestWorldLinks(t *testing.T) {
	for _, c := range []struct{ worlds, failure string }{
		{"with-timers with-queues with-log", ""},
		{"with-startup", "does not start: start: wasm trap: unreachable"}, // it is a dummy
	} {
		dir := t.TempDir()
		var world strings.Builder
		world.WriteString("package test:all;\nworld all {\n  include http-proxy:plugin/plugin@0.1.0;\n")
		for w := range strings.FieldsSeq(c.worlds) {
			world.WriteString("  include http-proxy:plugin/" + w + "@0.1.0;\n")
		}
		world.WriteString("}\n")
		gather(t, dir, world.String())
		core, whole := filepath.Join(dir, "core.wasm"), filepath.Join(dir, "whole.wasm")
		wasmTools(t, "embed", dir, "--world", "all", "--dummy", "--output", core)
		wasmTools(t, "new", core, "--output", whole)
		wasm, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		m, err := tryLoadBytes(wasm, &logs{})
		switch {
		case c.failure != "":
			if err == nil || !strings.Contains(err.Error(), c.failure) {
				t.Errorf("%s: %v, expected %q", c.worlds, err, c.failure)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", c.worlds, err)
			continue
		}
		if !m.(plugin.Logger).Logs() {
			t.Errorf("%s: it doesn't log", c.worlds)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// gather makes a folder of a world and all that it names, as a plugin's author
// does.
func gather(t *testing.T, dir, world string) {
	t.Helper()
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	put := func(to string, patterns ...string) {
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, pattern := range patterns {
			files, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: %d files, %v", pattern, len(files), err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err == nil {
					err = os.WriteFile(filepath.Join(to, filepath.Base(file)), text, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	put(filepath.Join(dir, "deps"), "wit/deps/*.wit")
	put(filepath.Join(dir, "deps", "http-proxy"), "wit/*.wit")
	if err := os.WriteFile(filepath.Join(dir, "world.wit"), []byte(world), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWrongHandler: a handler of another type is refused when the plugin is loaded.
func TestWrongHandler(t *testing.T) {
	dir := t.TempDir()
	gather(t, dir, "package test:all;\nworld all {\n  include http-proxy:plugin/plugin@0.1.0;\n  export http-proxy:plugin/timer-handler@0.1.0;\n}\n")
	timers := filepath.Join(dir, "deps", "http-proxy", "timers.wit")
	text, err := os.ReadFile(timers)
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(string(text), "on-timer: func(name: string);", "on-timer: func(name: list<tuple<u8, string>>) -> option<u32>;", 1)
	if err := os.WriteFile(timers, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	core, whole := filepath.Join(dir, "core.wasm"), filepath.Join(dir, "whole.wasm")
	wasmTools(t, "embed", dir, "--world", "all", "--dummy", "--output", core)
	wasmTools(t, "new", core, "--output", whole)
	wasm, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	want := `"on-timer" of type func(name: list<tuple<u8, string>>) -> option<u32>, expected func(name: string)`
	if _, err := tryLoadBytes(wasm, &logs{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, expected %q", err, want)
	}
}
