package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/extproc/extproc/plugin"
)

// TestEnvoySpent: once a response has been shown that nobody looks at, a real Envoy
// shows no more, and lets both messages go on as they are, whole. The Envoys send bodies
// on demand, and in pieces.
//
// The stream's end may reach Envoy after the answer that lets the request go on: grpc-go
// writes it by itself, and so do frames when a turn took long. A fast upstream has
// answered by then, and Envoy shows that. So an exchange may take a second message, but
// not all may: without an early end, each would.
func TestEnvoySpent(t *testing.T) { overBoth(t, testEnvoySpent) }

func testEnvoySpent(t *testing.T, frames bool) {
	for name, edit := range map[string]func(string) string{
		"on demand": nil,
		"streamed": func(boot string) string {
			return strings.Replace(boot, "response_header_mode: SEND\n", "response_header_mode: SEND\n                        request_body_mode: STREAMED\n                        response_body_mode: STREAMED\n", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := behind(t, setup{strategy: plugin.FailOpen, frames: frames, edit: edit})
			p.untouched(t, p.http1, "") // so that the response has been shown
			for _, c := range []*http.Client{p.http1, p.http2} {
				for _, body := range []string{"", strings.Repeat("a piece of a body. ", 20_000)} {
					if name == "streamed" {
						p.untouched(t, c, body)
						continue
					}
					sent := uint64(2)
					for round := 0; sent != 1; round++ {
						if sent = p.untouched(t, c, body); sent < 1 || sent > 2 || sent == 2 && round == 50 {
							t.Fatalf("%d messages of an exchange with %d bytes, expected the request's headers, or once in a while the response's too", sent, len(body))
						}
					}
				}
			}
		})
	}
}

// untouched makes an exchange in which the plugin fails and is passed over, and says how
// many messages it took.
func (p *proxied) untouched(t *testing.T, c *http.Client, body string) uint64 {
	t.Helper()
	before, err := p.envoy.ExtProcStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := p.ask(t, c, asked{path: "/raw", do: "too-many", body: body, method: http.MethodPost})
	if got.err != nil || got.status != 200 || got.body != body {
		t.Fatalf("status %d and %d bytes, expected 200 and %d (%v)", got.status, len(got.body), len(body), got.err)
	}
	after, err := p.envoy.ExtProcStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after["streams_failed"] != before["streams_failed"] {
		t.Error("Envoy takes the end for a failure")
	}
	sent := after["stream_msgs_sent"] - before["stream_msgs_sent"]
	t.Logf("messages of an exchange: %d", sent)
	return sent
}
