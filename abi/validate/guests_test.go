package validate_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestGuests validates the components that the repository's own guests are.
func TestGuests(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../envoy/examples/*/*.wasm", "../../internal/guests/*/*.wasm"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatal("no guests found")
	}
	for _, file := range files {
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := check(wasm); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		t.Logf("%s: %d bytes, %v", file, len(wasm), time.Since(start).Round(time.Microsecond))
	}
}
