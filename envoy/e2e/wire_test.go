package e2e

import (
	"strings"
	"testing"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/extproctest"
)

// sent is what Envoy and extproc have to say to each other about one request: each
// kind of message once, as a body may come in any number of pieces.
type sent struct {
	method, path, body string
	status             int
	messages           string
}

// module is the path of a proxy-wasm example.
func module(t *testing.T, elem ...string) string {
	t.Helper()
	path, err := checkout.Path(append([]string{"envoy", "examples"}, append(elem, "plugin.wasm")...)...)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWire: with the configuration that is generated for a plugin, Envoy sends what the
// plugin looks at and no more.
func TestWire(t *testing.T) {
	rust := module(t, "proxy-wasm-plugins", "rust")
	up := startUpstream(t)
	for name, c := range map[string]struct {
		wasm  string
		more  fields
		sends []sent
	}{
		"component, headers": {wasm: example(t, "header-rules"), sends: []sent{
			{"GET", "/", "", 200, ">qh <qh >rh <rh"},
			{"POST", "/", "body", 200, ">qh <qh >rh <rh"},
		}},
		"component, bodies": {wasm: example(t, "body-transform"), sends: []sent{
			{"GET", "/", "", 200, ">qh <qh >rh <rh+mode >rb <rb"},
			{"HEAD", "/", "", 200, ">qh <qh >rh <rh"},
			{"POST", "/", "body", 200, ">qh <qh+mode >qb <qb >rh <rh+mode >rb <rb"},
		}},
		"component that answers": {wasm: example(t, "immediate-response"), sends: []sent{
			{"GET", "/teapot", "", 418, ">qh <no"},
			{"POST", "/teapot", "body", 418, ">qh <no"},
		}},
		"module, headers": {wasm: module(t, "proxy-wasm-headers", "c"), more: fields{"rootID": "headers"}, sends: []sent{
			{"GET", "/", "", 200, ">qh <qh >rh <rh"},
			{"POST", "/", "body", 200, ">qh <qh >rh <rh"},
		}},
		"module, bodies": {wasm: rust, more: fields{"rootID": "body"}, sends: []sent{
			{"GET", "/", "", 200, ">qh <qh >rh <rh+mode >rb <rb"},
			{"HEAD", "/", "", 200, ">qh <qh >rh <rh"},
			{"POST", "/", "body", 200, ">qh <qh+mode >qb <qb >rh <rh+mode >rb <rb"},
		}},
		"module, bodies left out": {
			wasm: rust, more: fields{"rootID": "headers", "processing_mode": fields{
				"request_body_mode": "NONE", "request_trailer_mode": "SKIP", "response_body_mode": "NONE", "response_trailer_mode": "SKIP",
			}},
			sends: []sent{{"GET", "/", "", 200, ">qh <qh >rh <rh"}, {"POST", "/", "body", 200, ">qh <qh >rh <rh"}},
		},
		"module, responses left out": {
			wasm: rust, more: fields{"rootID": "headers", "processing_mode": fields{
				"request_body_mode": "NONE", "request_trailer_mode": "SKIP",
				"response_header_mode": "SKIP", "response_body_mode": "NONE", "response_trailer_mode": "SKIP",
			}},
			sends: []sent{{"GET", "/", "", 200, ">qh <qh"}, {"POST", "/", "body", 200, ">qh <qh"}},
		},
		// Of what is refused, no body is read.
		"module that refuses": {
			wasm: rust, more: fields{"rootID": "auth-callout", "pluginConfig": fields{"cluster": "nowhere"}},
			sends: []sent{{"POST", "/", strings.Repeat("body", 100_000), 503, ">qh <no"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w wiretap
			s := extproctest.Start(t, extproctest.Options{
				Config: config(t, c.wasm, c.more), Upstream: up.Address, Between: func(address string) string { return w.tap(t, address) },
			})
			for version, client := range clients(t) {
				for _, x := range c.sends {
					a, err := ask(t, client, x.method, s.URL+x.path, x.body)
					if err != nil || a.status != x.status {
						t.Fatalf("%s %s: status %d, want %d (%v)", x.method, x.path, a.status, x.status, err)
					}
					if got := w.heard(t); got != x.messages {
						t.Errorf("%s %s of %d bytes, %s:\n got %s\nwant %s", x.method, x.path, len(x.body), version, got, x.messages)
					}
				}
			}
		})
	}
}
