package abi

import (
	"os"
	"path/filepath"
	"testing"
)

// TestExamples instantiates and resets the examples and test guests of other
// folders, as their toolchains made them. Those of a megabyte and more take long
// to compile; the tests of their folders run them.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../envoy/examples/*/*.wasm")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	guests, _ := filepath.Glob("../internal/guests/*/*.wasm")
	e := testEngine(t, Config{})
	for _, file := range append(files, guests...) {
		if info, err := os.Stat(file); err != nil || info.Size() > 1<<20 {
			continue
		}
		t.Run(file, func(t *testing.T) {
			l := linkFile(t, e, file, nil)
			for range 2 {
				in, err := l.Instantiate(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if !in.Reset(t.Context()) {
					_, reason := in.Resettable()
					t.Errorf("can't be reset: %s", reason)
				}
				if err := in.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if err := l.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
