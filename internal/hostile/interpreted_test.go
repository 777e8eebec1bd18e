package hostile

import (
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// TestInterpreted takes every guest of the tree through the same exchanges compiled
// and interpreted: what comes of them is alike.
func TestInterpreted(t *testing.T) {
	compiled, interpreted := engines(t, false, loadLimit), engines(t, true, loadLimit)
	files := treeFiles(t)
	if len(files) < 25 {
		t.Errorf("only %d guests in the tree", len(files))
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			wasm := read(t, inCheckout(t, file))
			want, got := compiled.play(t, file, wasm), interpreted.play(t, file, wasm)
			if !slices.Equal(want, got) {
				t.Errorf("compiled\n%s\ninterpreted\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
			}
		})
	}
}

// wallClock is what a guest tells of it.
var wallClock = regexp.MustCompile(`wall \d+`)

// treeFiles are the guests of the tree.
func treeFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, dir := range []string{"internal/guests", "envoy/examples"} {
		root := inCheckout(t, dir)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "target") {
				return fs.SkipDir
			}
			if filepath.Ext(path) == ".wasm" {
				name, err := filepath.Rel(inCheckout(t), path)
				if err != nil {
					return err
				}
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// play describes what comes of some exchanges with a guest.
func (k *kinds) play(t *testing.T, file string, wasm []byte) []string {
	t.Helper()
	spec := &plugin.Spec{
		Name: "guest", Log: slog.New(slog.DiscardHandler), VM: plugin.VM{Workers: 1},
		ConfigMap: map[string]string{"header": "x-team", "value": "blue"}, Config: []byte(`{"header":"x-team","value":"blue"}`),
		Limits: plugin.Limits{Timeout: 30 * time.Second, Memory: 256 << 20, Instances: 2},
	}
	if strings.Contains(file, "waf") { // it has no use for any other
		c, err := plugin.ReadConfig(inCheckout(t, "envoy", "examples", "proxy-wasm-waf", "extproc.yaml"), spec.Log)
		if err != nil {
			t.Fatal(err)
		}
		spec.Config = c.Plugins[0].Config
	}
	m, err := k.load(wasm, spec, 2*time.Minute)
	if err != nil {
		return []string{"not loaded: " + err.Error()}
	}
	p := serve(t, &logs{}, plugin.NewPlugin(spec, m))
	var list []string
	for _, x := range []exchange{{path: "/"}, {path: "/p?q=1", body: true}, {path: "/trap"}, {path: "/denied", body: true}, {path: "/headers"}} {
		got := p.run(t, x)
		failed := ""
		if err := m.take(); err != nil {
			failed, _, _ = strings.Cut(err.Error(), "\n")
		}
		list = append(list, fmt.Sprintf("%s: %d %q %q %s %s", x.path, got.immediate, wallClock.ReplaceAllString(got.body, ""), got.fields, got.problem, failed))
	}
	return list
}
