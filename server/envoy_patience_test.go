package server

import (
	"net/http"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// TestEnvoyPatience: Envoy waits longer for a plugin that waits for a callout, and is
// answered in time for one that doesn't return. Each answer goes out a tenth of Envoy's
// patience before its end: where that is too late for a busy machine, Envoy is given more.
func TestEnvoyPatience(t *testing.T) {
	const most = 10 * time.Second
	for message := 500 * time.Millisecond; ; message = min(3*message, most) {
		p := behind(t, setup{strategy: plugin.FailClose, message: message, longest: 6 * message})
		longer := http.Header{"X-Pause": {(message * 3 / 2).String()}}
		slow := p.ask(t, p.http1, asked{path: "/", do: "callout-slow", header: longer})
		hold := p.ask(t, p.http1, asked{path: "/", do: "hold"})
		stats, err := p.envoy.ExtProcStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := stats["message_timeouts"]; n > 0 && message < most {
			t.Logf("Envoy, which waits for %v, had no answer in time %d times", message, n)
			continue
		}
		equal(t, slow.err, nil)
		equal(t, slow.status, 200)
		equal(t, slow.seen.Headers["X-Called"], []string{"1"})
		equal(t, slow.header["X-Called"], []string{"2"})
		equal(t, hold.err, nil)
		equal(t, hold.status, 503) // 504 would be Envoy's own
		p.noneSpurious(t)
		return
	}
}
