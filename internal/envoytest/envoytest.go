// Package envoytest gives tests a real Envoy.
package envoytest

import (
	"fmt"
	"os"
	"testing"

	"github.com/extproc/extproc/internal/envoyrun"
)

// Binary is the Envoy to test with; a missing one fails the test.
func Binary(t testing.TB) string {
	t.Helper()
	binary, err := envoyrun.Binary()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// Start runs Envoy until the test ends. The log is shown if the test failed, at
// the level of $ENVOY_LOG_LEVEL.
func Start(t testing.TB, bootstrap []byte) *envoyrun.Envoy {
	t.Helper()
	e, err := envoyrun.Start(t.Context(), envoyrun.Options{
		Binary:    Binary(t),
		Bootstrap: bootstrap,
		Dir:       t.TempDir(),
		Workers:   2,
		LogLevel:  os.Getenv("ENVOY_LOG_LEVEL"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Stop()
		if t.Failed() {
			t.Logf("log of Envoy:\n%s", e.Log())
		}
	})
	return e
}

// FreeAddress is an address on loopback, host:port, that nothing listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	ports, err := envoyrun.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0])
}
