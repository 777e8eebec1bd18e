package envoy_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/extproc/extproc/envoy"
	"github.com/extproc/extproc/internal/envoyrun"
	"github.com/extproc/extproc/internal/envoytest"
	"github.com/extproc/extproc/plugin"
)

// TestComposeEnvoy keeps the configuration of the containers' Envoy as it would
// be printed for their plugin, a wasi:http component.
func TestComposeEnvoy(t *testing.T) {
	got, err := envoy.Bootstrap(envoy.Options{
		Listen: "0.0.0.0:10000", Upstream: "upstream:8080", ExtProc: "unix:///run/extproc/extproc.sock", Admin: "127.0.0.1:9901",
	}, envoy.Plugin{
		Needs: plugin.Needs{
			Headers: [2]bool{true, true},
			Body:    [2]plugin.BodyNeed{plugin.OnDemand, plugin.OnDemand},
		},
		Timeout: plugin.DefaultTimeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	const path = "compose/envoy.yaml"
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil { // read by another user, in a container
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is out of date (go test ./envoy -update writes it), want:\n%s", path, got)
	}
	if err := envoyrun.Validate(t.Context(), envoytest.Binary(t), got); err != nil {
		t.Error(err)
	}
}
