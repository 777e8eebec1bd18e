package core

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// TestResetOnSpecificationSuite runs each script's actions on an instance, takes
// its memory and globals back and runs them again: a module that is called
// resettable must give the same answers.
func TestResetOnSpecificationSuite(t *testing.T) {
	dir := wazeroDir(t)
	resettable, not, differ := 0, 0, 0
	for _, suite := range []string{"v2", "exception-handling", "tail-call", "threads", "typed-function-references"} {
		scripts, err := filepath.Glob(filepath.Join(dir, "internal/integration_test/spectest", suite, "testdata/*.json"))
		if err != nil || len(scripts) == 0 {
			t.Fatalf("%d scripts, %v", len(scripts), err)
		}
		for _, path := range scripts {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var s script
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, wazero.NewRuntimeConfigInterpreter(), &Rewrite{Meter: true}, dir)
			for i, c := range s.Commands {
				if c.Type != "module" {
					continue
				}
				same, ok, ran := resetAndCompare(t, w, path, s.Commands[i:])
				switch {
				case !ran:
				case ok:
					resettable++
					if !same {
						t.Errorf("%s:%d: a reset instance answers differently", filepath.Base(path), c.Line)
					}
				default:
					not++
					if !same {
						differ++
					}
				}
			}
		}
	}
	t.Logf("%d resettable modules; of %d others %d do answer differently", resettable, not, differ)
	if resettable == 0 || differ == 0 {
		t.Error("the suite tells nothing")
	}
}

// resetAndCompare runs the actions that follow a module's definition twice. It
// leaves out modules with imports, whose state others hold, and those whose
// memory grew.
func resetAndCompare(t *testing.T, w *world, path string, cmds []command) (same, resettable, ran bool) {
	wasm, err := os.ReadFile(filepath.Join(filepath.Dir(path), cmds[0].Filename))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(wasm)
	if err != nil || len(m.Imports) > 0 {
		return false, false, false
	}
	resettable, _ = m.Facts.Resettable()
	inst, err := w.load(wasm, "")
	if err != nil {
		return false, resettable, false
	}
	w.last = inst
	content := append([]byte(nil), w.content()...)
	size := memorySize(w)
	saved := map[string]uint64{}
	for _, name := range m.ResetGlobals() {
		saved[name] = inst.ExportedGlobal(name).Get()
	}
	first := outcomes(w, cmds[1:])
	if memorySize(w) != size || size > 1<<20 {
		return false, resettable, false
	}
	copy(w.content(), content)
	for name, v := range saved {
		inst.ExportedGlobal(name).(api.MutableGlobal).Set(v)
	}
	second := outcomes(w, cmds[1:])
	return fmt.Sprint(first) == fmt.Sprint(second), resettable, true
}

func memorySize(w *world) int {
	if w.content() == nil {
		return 0
	}
	return int(w.last.Memory().Size())
}

func outcomes(w *world, cmds []command) (out []string) {
	for i := range cmds {
		c := &cmds[i]
		switch c.Type {
		case "module":
			return out
		case "assert_return", "assert_trap", "assert_exception", "action":
			if c.Action.Module == "" {
				out = append(out, w.outcome(c))
			}
		}
	}
	return out
}
