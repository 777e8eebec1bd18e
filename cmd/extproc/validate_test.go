package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/plugin"
)

// TestStoreOutOfReach: what only looks at plugins does without their store.
func TestStoreOutOfReach(t *testing.T) {
	wasm, err := checkout.Path("envoy", "examples", "proxy-wasm-headers", "c", "plugin.wasm")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "extproc.yaml")
	text := "store: redis://127.0.0.1:1/0\nplugins:\n- pluginName: headers\n  url: " + wasm + "\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := withPlugins(t.Context(), config, "", func(*plugin.Set) error { return nil }); err != nil {
		t.Error(err)
	}
}
