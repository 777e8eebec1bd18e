package server

import (
	"strings"
	"testing"

	"github.com/extproc/extproc/plugin"
)

// inMode has Envoy send in another mode than the one that is generated.
func inMode(lines ...string) func(string) string {
	return func(boot string) string {
		before, rest, _ := strings.Cut(boot, "                      processing_mode:\n")
		_, after, _ := strings.Cut(rest, "response_trailer_mode: SKIP\n")
		mode := "                      processing_mode:\n"
		for _, line := range lines {
			mode += "                        " + line + "\n"
		}
		return before + mode + after
	}
}

// TestEnvoyUnseen: headers that Envoy does not send are made up from attributes.
func TestEnvoyUnseen(t *testing.T) {
	request := []string{"request.method", "request.path", "request.host", "request.scheme", "request.headers['x-do']"}
	for name, tc := range map[string]struct {
		mode []string
		tell [2][]string
		ask  asked
		want func(t *testing.T, got answered)
	}{
		"request body": {[]string{"request_header_mode: SKIP", "request_body_mode: BUFFERED"}, [2][]string{request, nil},
			asked{path: "/", do: "read-request", body: "hello"}, func(t *testing.T, got answered) {
				equal(t, got.seen.Body, "HELLO")
				equal(t, len(got.seen.Headers["X-Length"]), 0)
			}},
		"request trailers": {[]string{"request_header_mode: SKIP", "request_trailer_mode: SEND"}, [2][]string{request, nil},
			asked{path: "/", do: "stream-request", body: "hello", trailer: map[string][]string{"X-T": {"1"}}}, func(t *testing.T, got answered) {
				equal(t, got.seen.Body, "hello")
				equal(t, got.seen.Trailers["X-More"], []string{"1"})
			}},
		"response": {[]string{"request_header_mode: SKIP"}, [2][]string{nil, request},
			asked{path: "/", do: "headers"}, func(t *testing.T, got answered) {
				equal(t, got.status, 201)
				equal(t, got.header["Set-Cookie"], []string{"a=1", "b=2"})
			}},
		"response, answered": {[]string{"request_header_mode: SKIP"}, [2][]string{nil, request},
			asked{path: "/", do: "local"}, func(t *testing.T, got answered) {
				equal(t, got.status, 403)
				equal(t, got.body, "forbidden")
			}},
		"response body": {[]string{"response_header_mode: SKIP", "response_body_mode: STREAMED"}, [2][]string{},
			asked{path: "/raw", do: "stream-response", body: "hello"}, func(t *testing.T, got answered) {
				equal(t, got.body, "HELLO")
			}},
	} {
		t.Run(name, func(t *testing.T) {
			p := behind(t, setup{strategy: plugin.FailClose, about: plugin.Needs{Attributes: tc.tell}, edit: inMode(tc.mode...)})
			got := p.ask(t, p.http1, tc.ask)
			equal(t, got.err, nil)
			tc.want(t, got)
			if name != "response, answered" { // a local response has none of Envoy's own fields, which stay
				p.noneSpurious(t)
			}
		})
	}
}
