package abi

import (
	"path/filepath"
	"testing"
)

func TestRealComponents(t *testing.T) {
	files, _ := filepath.Glob("../envoy/examples/*/*.wasm")
	more, _ := filepath.Glob("../internal/guests/*/*.wasm")
	e := testEngine(t, Config{CacheDir: t.TempDir()})
	for _, f := range append(files, more...) {
		t.Run(f, func(t *testing.T) {
			l := linkFile(t, e, f, nil)
			in, err := l.Instantiate(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			ok, reason := in.Resettable()
			t.Log(ok, reason, len(l.component.plan.cores), len(l.component.plan.slots))
			t.Log(in.Reset(t.Context()))
			in.Close(t.Context())
		})
	}
}
