package server

import (
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// TestEnvoyPatience: Envoy waits longer for a plugin that waits for a callout, and is
// answered in time for one that doesn't return.
func TestEnvoyPatience(t *testing.T) {
	p := behind(t, setup{strategy: plugin.FailClose, message: 500 * time.Millisecond, longest: 10 * time.Second})
	got := p.ask(t, p.http1, asked{path: "/", do: "callout-slow"})
	equal(t, got.err, nil)
	equal(t, got.status, 200)
	equal(t, got.seen.Headers["X-Called"], []string{"1"})
	equal(t, got.header["X-Called"], []string{"2"})
	p.noneSpurious(t)

	got = p.ask(t, p.http1, asked{path: "/", do: "hold"})
	equal(t, got.err, nil)
	equal(t, got.status, 503) // 504 would be Envoy's own
	p.noneSpurious(t)
}
