package core

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// The specification's test suite, as wazero carries it, runs on each module as
// it is and rewritten, side by side: what is compared is that both do the same.

// wazeroDir is where the source of wazero lies, with its test data.
func wazeroDir(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("go list: %v; run go mod download", err)
	}
	return strings.TrimSpace(string(out))
}

func wasmFiles(t testing.TB, dir string) (files []string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		if filepath.Ext(path) == ".wasm" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%d modules in %s, %v", len(files), dir, err)
	}
	return files
}

type script struct {
	Commands []command `json:"commands"`
}

type command struct {
	Type, Filename, Name, As string
	Line                     int
	Action                   struct {
		Type, Module, Field string
		Args                []struct {
			Type  string
			Value any
			Lane  string `json:"lane_type"`
		}
	}
}

// args are the action's arguments, or not ok if they can't be made from text.
func (c *command) args() (args []uint64, ok bool) {
	for _, a := range c.Action.Args {
		text, isText := a.Value.(string)
		switch {
		case a.Type == "v128":
			lanes, _ := a.Value.([]any)
			v, ok := v128(lanes)
			if !ok {
				return nil, false
			}
			args = append(args, v[0], v[1])
		case isText && text == "null":
			args = append(args, 0)
		case isText:
			v, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return nil, false
			}
			if a.Type == "externref" {
				v++
			}
			args = append(args, v)
		default:
			return nil, false
		}
	}
	return args, true
}

func v128(lanes []any) (v [2]uint64, ok bool) {
	if len(lanes) == 0 {
		return v, false
	}
	width := 128 / len(lanes)
	for i, l := range lanes {
		text, _ := l.(string)
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return v, false
		}
		if width < 64 {
			n &= 1<<width - 1
		}
		v[i*width/64] |= n << (i * width % 64)
	}
	return v, true
}

// world is one runtime with the script's modules.
type world struct {
	rt     wazero.Runtime
	opts   *Rewrite // nil leaves modules as they are
	byName map[string]api.Module
	last   api.Module
	cached map[api.Module]map[string]api.Function
}

func newWorld(t testing.TB, cfg wazero.RuntimeConfig, opts *Rewrite, dir string) *world {
	w := &world{rt: newRuntime(t, cfg), opts: opts, byName: map[string]api.Module{}, cached: map[api.Module]map[string]api.Function{}}
	spectest, err := os.ReadFile(filepath.Join(dir, "internal/integration_test/spectest/testdata/spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.rt.InstantiateWithConfig(context.Background(), spectest, wazero.NewModuleConfig()); err != nil {
		t.Fatal(err)
	}
	return w
}

// load instantiates a module under a name, and calls its start function.
func (w *world) load(wasm []byte, name string) (api.Module, error) {
	ctx := context.Background()
	start := false
	if w.opts != nil {
		m, err := Parse(wasm)
		if err != nil {
			return nil, err
		}
		if wasm, err = m.Rewrite(*w.opts); err != nil {
			return nil, err
		}
		start = m.Start && w.opts.Meter
	}
	compiled, err := w.rt.CompileModule(ctx, wasm)
	if err != nil {
		return nil, err
	}
	inst, err := w.rt.InstantiateModule(refusing(ctx), compiled, wazero.NewModuleConfig().WithName(name).WithStartFunctions())
	if err != nil {
		return nil, fmt.Errorf("instantiate: %w", err)
	}
	if start {
		if _, err := inst.ExportedFunction(StartExport).Call(ctx); err != nil {
			inst.Close(ctx)
			return nil, fmt.Errorf("instantiate: %w", err)
		}
	}
	return inst, nil
}

// outcome is what an action yields as text, references reduced to null or not.
func (w *world) outcome(c *command) string {
	inst := w.last
	if c.Action.Module != "" {
		inst = w.byName[c.Action.Module]
	}
	if inst == nil {
		return "no module"
	}
	if c.Action.Type == "get" {
		return fmt.Sprint(inst.ExportedGlobal(c.Action.Field))
	}
	args, ok := c.args()
	if !ok {
		return "unknown arguments"
	}
	fn := w.cached[inst][c.Action.Field]
	if fn == nil {
		if fn = inst.ExportedFunction(c.Action.Field); fn == nil {
			return "no function"
		}
		if w.cached[inst] == nil {
			w.cached[inst] = map[string]api.Function{}
		}
		w.cached[inst][c.Action.Field] = fn
	}
	results, err := fn.Call(context.Background(), args...)
	if err != nil {
		return "error: " + strings.SplitN(err.Error(), "\n", 2)[0]
	}
	for i, t := range fn.Definition().ResultTypes() {
		if i < len(results) && t != api.ValueTypeI32 && t != api.ValueTypeI64 && t != api.ValueTypeF32 &&
			t != api.ValueTypeF64 && results[i] != 0 && !hasV128(fn) {
			results[i] = 1
		}
	}
	return fmt.Sprint(results)
}

func hasV128(fn api.Function) bool {
	return bytes.IndexByte(fn.Definition().ResultTypes(), V128[0]) >= 0
}

func (w *world) content() []byte {
	// Without a memory wazero returns a nil pointer in the interface.
	if w.last == nil || reflect.ValueOf(w.last.Memory()).IsNil() {
		return nil
	}
	b, _ := w.last.Memory().Read(0, min(w.last.Memory().Size(), 1<<20))
	return b
}

func TestSpecificationSuite(t *testing.T) {
	dir := wazeroDir(t)
	for _, c := range []struct {
		name string
		cfg  wazero.RuntimeConfig
		opts Rewrite
	}{
		{"usual interval", wazero.NewRuntimeConfigInterpreter(), Rewrite{Meter: true}},
		{"interval 1", wazero.NewRuntimeConfigCompiler(), Rewrite{Meter: true, interval: 1}},
	} {
		for _, suite := range []string{"v2", "exception-handling", "tail-call", "threads", "typed-function-references", "extended-const"} {
			t.Run(c.name+"/"+suite, func(t *testing.T) {
				scripts, err := filepath.Glob(filepath.Join(dir, "internal/integration_test/spectest", suite, "testdata/*.json"))
				if err != nil || len(scripts) == 0 {
					t.Fatalf("%d scripts, %v", len(scripts), err)
				}
				modules, actions := 0, 0
				for _, path := range scripts {
					m, a := runScript(t, dir, path, c.cfg, c.opts)
					modules, actions = modules+m, actions+a
				}
				t.Logf("%d modules, %d actions", modules, actions)
				if modules == 0 || actions == 0 {
					t.Fatal("nothing was run")
				}
			})
		}
	}
}

func runScript(t *testing.T, dir, path string, cfg wazero.RuntimeConfig, opts Rewrite) (modules, actions int) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s script
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	plain, metered := newWorld(t, cfg, nil, dir), newWorld(t, cfg, &opts, dir)
	for i := range s.Commands {
		c := &s.Commands[i]
		where := fmt.Sprintf("%s:%d", filepath.Base(path), c.Line)
		switch c.Type {
		case "module", "assert_uninstantiable", "assert_unlinkable":
			wasm, err := os.ReadFile(filepath.Join(filepath.Dir(path), c.Filename))
			if err != nil {
				t.Fatal(err)
			}
			name := ""
			if c.Type == "module" && i+1 < len(s.Commands) && s.Commands[i+1].Type == "register" {
				name = s.Commands[i+1].As
			}
			want, wantErr := plain.load(wasm, name)
			got, gotErr := metered.load(wasm, name)
			if (wantErr == nil) != (gotErr == nil) {
				t.Errorf("%s: rewritten module: %v, module as it is: %v", where, gotErr, wantErr)
			}
			modules++
			if c.Type == "module" {
				plain.last, metered.last = want, got
				if c.Name != "" {
					plain.byName[c.Name], metered.byName[c.Name] = want, got
				}
			}
		case "assert_return", "assert_trap", "assert_exception", "action":
			want, got := plain.outcome(c), metered.outcome(c)
			if want != got {
				t.Errorf("%s: %s: rewritten module: %s, module as it is: %s", where, c.Action.Field, got, want)
			}
			actions++
		}
		if !bytes.Equal(plain.content(), metered.content()) {
			t.Errorf("%s: memories differ", where)
		}
	}
	return modules, actions
}
