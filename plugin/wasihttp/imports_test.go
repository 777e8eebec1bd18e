package wasihttp_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// Components that import all there is can be linked, in whatever version.
func TestEverythingLinks(t *testing.T) {
	for _, version := range []string{"0.2.0", "0.2.12"} {
		t.Run(version, func(t *testing.T) {
			m := load(t, filepath.Join("plugin", "wasihttp", "testdata", "everything-"+version+".wasm"))
			// Its handler traps, being a dummy.
			got := newProxy(t, m, getRequest, okResponse).run()
			if got.err == nil || !strings.Contains(got.err.Error(), "unreachable") {
				t.Errorf("error %v", got.err)
			}
		})
	}
}
