package server

import (
	"net/http"
	"testing"

	"github.com/extproc/extproc/plugin"
)

// TestEnvoyFailures shows what clients see of the outcomes of FAILURES.md.
func TestEnvoyFailures(t *testing.T) {
	for _, strategy := range []plugin.FailStrategy{plugin.FailClose, plugin.FailOpen} {
		p := behindEnvoy(t, strategy)
		p.plugin.Spec.Limits.Body = 10
		for _, c := range []struct {
			do, path, body string
			want           [2]int // by strategy: a status, or 0 for a response that breaks off
		}{
			{"trap", "/", "", [2]int{503, 200}},
			{"trap", "/", "hello", [2]int{503, 200}},
			{"trap-reading", "/", "hello", [2]int{503, 503}},
			{"hoard", "/", "more than is allowed", [2]int{413, 200}},
			{"stream-request", "/", "more than is allowed", [2]int{413, 413}},
			{"trap-in-response", "/", "", [2]int{503, 200}},
			{"trap-in-body", "/chunks/3", "", [2]int{0, 0}},
			{"trap-after-all", "/", "", [2]int{200, 200}},
		} {
			for name, client := range map[string]*http.Client{"HTTP/1.1": p.http1, "HTTP/2": p.http2} {
				want := c.want[strategy]
				got := p.ask(t, client, asked{path: c.path, do: c.do, body: c.body})
				mark := got.header.Get(plugin.FailureHeader)
				switch {
				case want == 0:
					if got.err == nil {
						t.Errorf("%s, strategy %d, %s: status %d, body %q, expected it to break off", c.do, strategy, name, got.status, got.body)
					}
				case got.err != nil || got.status != want || (mark == "1") != (want > 200) || want > 200 && got.body != "":
					t.Errorf("%s, strategy %d, %s: status %d, mark %q, body %q, error %v, expected %d", c.do, strategy, name, got.status, mark, got.body, got.err, want)
				case want == 200 && c.body != "" && got.seen.Body != c.body:
					t.Errorf("%s, strategy %d, %s: the upstream has seen %q", c.do, strategy, name, got.seen.Body)
				}
			}
		}
		p.noneSpurious(t)
	}
}
