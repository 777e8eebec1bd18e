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
func TestEnvoySpent(t *testing.T) { overBoth(t, testEnvoySpent) }

func testEnvoySpent(t *testing.T, frames bool) {
	large := strings.Repeat("a piece of a body. ", 20_000)
	for name, edit := range map[string]func(string) string{
		"on demand": nil,
		"streamed": func(boot string) string {
			return strings.Replace(boot, "response_header_mode: SEND\n", "response_header_mode: SEND\n                        request_body_mode: STREAMED\n                        response_body_mode: STREAMED\n", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := behind(t, setup{strategy: plugin.FailOpen, frames: frames, edit: edit})
			for i, c := range []*http.Client{p.http1, p.http2, p.http1, p.http2} {
				before, err := p.envoy.ExtProcStats(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, body := range []string{"", large} {
					got := p.ask(t, c, asked{path: "/raw", do: "too-many", body: body, method: http.MethodPost})
					if got.err != nil || got.status != 200 || got.body != body {
						t.Fatalf("status %d and %d bytes, expected 200 and %d (%v)", got.status, len(got.body), len(body), got.err)
					}
				}
				after, err := p.envoy.ExtProcStats(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				sent := after["stream_msgs_sent"] - before["stream_msgs_sent"]
				t.Logf("messages of two exchanges: %d", sent)
				if name == "on demand" && i > 0 && sent != 2 {
					t.Errorf("%d messages of two exchanges, expected the request's headers of each", sent)
				}
				if after["streams_failed"] != before["streams_failed"] {
					t.Error("Envoy takes the end for a failure")
				}
			}
		})
	}
}
