package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/extproc/extproc/internal/extproctest"
)

// TestLoadErrors: what cannot be loaded ends the program with status 1 and one
// line that says what was found where, and what was expected.
func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, err := os.ReadFile(example(t, "header-rules"))
	if err != nil {
		t.Fatal(err)
	}
	// Numbers of the same length keep the sections' sizes true.
	future := bytes.ReplaceAll(good, []byte("wasi:http/incoming-handler@0.2"), []byte("wasi:http/incoming-handler@0.9"))
	unknown := bytes.ReplaceAll(good, []byte("wasi:http/types@0.2"), []byte("wasi:http/types@0.9"))
	tests := []struct {
		name   string
		config string
		want   []string
	}{
		{"no wasm", config(t, file("text.wasm", []byte("not wasm")), nil), []string{"text.wasm", "expected"}},
		{"empty file", config(t, file("empty.wasm", nil), nil), []string{"empty.wasm", "empty"}},
		{"core module", config(t, file("core.wasm", []byte("\x00asm\x01\x00\x00\x00")), nil), []string{"core.wasm", "core module", "wasi:http"}},
		{"another world", config(t, file("world.wasm", []byte("\x00asm\x0d\x00\x01\x00")), nil), []string{"world.wasm", "wasi:http/incoming-handler"}},
		{"cut off", config(t, file("cut.wasm", good[:len(good)/2]), nil), []string{"cut.wasm"}},
		{"missing import", config(t, guest(t, "missing-import"), nil), []string{"missing-import", "acme:missing/thing@1.0.0", "call"}},
		{"exports a wrong version", config(t, file("future.wasm", future), nil), []string{"future.wasm", "wasi:http/incoming-handler", "0.2"}},
		{"imports a wrong version", config(t, file("unknown.wasm", unknown), nil), []string{"unknown.wasm", "wasi:http/types@0.9"}},
		{"missing file", config(t, filepath.Join(dir, "gone.wasm"), nil), []string{"gone.wasm", "no such file"}},
		{"wrong digest", config(t, example(t, "header-rules"), fields{"sha256": strings.Repeat("0", 64)}), []string{"header-rules", "sha256", strings.Repeat("0", 64)}},
		{"unknown field", "plugins:\n  - pluginName: x\n    urll: x.wasm\n", []string{"extproc.yaml:3", "urll", "url"}},
		{"wrong type", "plugins:\n  - pluginName: x\n    url: [x]\n", []string{"extproc.yaml:3", "url"}},
		{"no YAML", "plugins: [", []string{"extproc.yaml"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := file("extproc.yaml", []byte(tt.config))
			cmd := exec.Command(extproctest.Binary(t), "serve", "--config", path,
				"--grpc-addr", "unix://"+filepath.Join(dir, "s"), "--grpc-health-port", "0", "--metrics-port", "0")
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("ended with %v, want exit status 1", err)
			}
			text := strings.TrimSuffix(string(out), "\n")
			t.Log(text)
			if strings.Contains(text, "\n") || text == "" {
				t.Errorf("want one line, got:\n%s", text)
			}
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("want %q in the message", want)
				}
			}
		})
	}
}
