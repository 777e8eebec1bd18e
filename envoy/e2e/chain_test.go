package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/extproctest"
)

// link is a plugin of a chain.
type link struct {
	wasm string
	more fields
}

// startChain is start for several plugins.
func startChain(t *testing.T, links ...link) *extproctest.Stack {
	t.Helper()
	var entries []any
	for i, l := range links {
		entry := fields{"pluginName": fmt.Sprint("plugin-", i), "url": "file://" + l.wasm}
		maps.Copy(entry, l.more)
		entries = append(entries, entry)
	}
	text, err := json.Marshal(fields{"plugins": entries})
	if err != nil {
		t.Fatal(err)
	}
	return extproctest.Start(t, extproctest.Options{Config: string(text), Upstream: startUpstream(t).Address})
}

// TestChain: each plugin does its part in both directions, and a local response
// passes back through the plugins before the one that gave it.
func TestChain(t *testing.T) {
	stack := startChain(t,
		// Listed last to first: the phase decides.
		link{example(t, "immediate-response"), nil},
		link{example(t, "body-transform"), fields{"phase": "STATS"}},
		link{example(t, "header-rules"), fields{"phase": "AUTHN"}},
		link{example(t, "body-passthrough"), fields{"phase": "AUTHZ"}},
	)
	for version, c := range clients(t) {
		t.Run(version, func(t *testing.T) {
			for _, size := range []int64{0, 5, 3 << 20} {
				for _, chunked := range []bool{false, true} {
					want := expected(t, size, true)
					if got := upload(t, c, stack.URL, size, chunked); !same(got, want) {
						t.Errorf("upload of %d bytes, chunked %v: got %v, want %v", size, chunked, got, want)
					}
					if got := download(t, c, stack.URL, size, chunked); !same(got, want) {
						t.Errorf("download of %d bytes, chunked %v: got %v, want %v", size, chunked, got, want)
					}
				}
			}
			a := get(t, c, stack.URL+"/bytes/3")
			if got := a.header.Get("x-plugin"); got != "header-rules" {
				t.Errorf("x-plugin: %q, which is not the first plugin's", got)
			}
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				body := ""
				if method == http.MethodPost {
					body = "unread"
				}
				a, err := ask(t, c, method, stack.URL+"/denied", body)
				if err != nil || a.status != http.StatusForbidden || a.body != "DENIED BY PLUGIN\n" || a.header.Get("x-plugin") != "header-rules" {
					t.Errorf("%s: %+v, %v", method, a, err)
				}
			}
		})
	}
}

// TestChainTransformsTwice: what one plugin makes of a body is what the next gets.
func TestChainTransformsTwice(t *testing.T) {
	transform := link{example(t, "body-transform"), nil}
	stack := startChain(t, transform, link{example(t, "trailers"), nil}, transform)
	c := client(t, false)
	const size = 8 << 20
	if got, want := upload(t, c, stack.URL, size, true), expected(t, size, true); !same(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := download(t, c, stack.URL, size, true), expected(t, size, true); !same(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if peak := memory(t, stack.Extproc.PID(), "VmHWM"); peak > 512<<20 {
		t.Errorf("extproc's peak was %d MiB", peak>>20)
	}
}

// TestChainFailStrategy: a plugin that fails is done without, or refuses the
// exchange; the others go on.
func TestChainFailStrategy(t *testing.T) {
	for strategy, status := range map[string]int{"FAIL_OPEN": http.StatusOK, "FAIL_CLOSE": http.StatusServiceUnavailable, "FAIL_RELOAD": http.StatusServiceUnavailable} {
		t.Run(strategy, func(t *testing.T) {
			stack := startChain(t, link{example(t, "header-rules"), nil}, link{guest(t, "trap"), fields{"failStrategy": strategy}},
				link{example(t, "body-transform"), nil})
			c := client(t, false)
			a, err := ask(t, c, http.MethodGet, stack.URL+"/trap", "")
			if err != nil || a.status != status || a.header.Get("x-plugin") != "header-rules" {
				t.Errorf("got %+v, %v", a, err)
			}
			if got, want := upload(t, c, stack.URL, 100, false), expected(t, 100, true); !same(got, want) {
				t.Errorf("then: got %v, want %v", got, want)
			}
		})
	}
}

// TestChainMixed: plugins of both kinds in one chain. Those in AssemblyScript look
// at bodies too, so the proxy sends all of them; the one in C leaves them alone.
func TestChainMixed(t *testing.T) {
	for _, lang := range []string{"c", "assemblyscript"} {
		t.Run(lang, func(t *testing.T) {
			module, err := checkout.Path("envoy", "examples", "proxy-wasm-headers", lang, "plugin.wasm")
			if err != nil {
				t.Fatal(err)
			}
			legacy := link{module, fields{"rootID": "headers"}}
			stack := startChain(t, legacy, link{example(t, "body-transform"), nil}, legacy,
				link{example(t, "header-rules"), nil}, link{example(t, "immediate-response"), nil})
			for version, c := range clients(t) {
				t.Run(version, func(t *testing.T) {
					for _, size := range []int64{0, 7, 2 << 20} {
						want := expected(t, size, true)
						if got := upload(t, c, stack.URL, size, true); !same(got, want) {
							t.Errorf("upload of %d bytes: got %v, want %v", size, got, want)
						}
						if got := download(t, c, stack.URL, size, false); !same(got, want) {
							t.Errorf("download of %d bytes: got %v, want %v", size, got, want)
						}
					}
					a, err := ask(t, c, http.MethodPost, stack.URL+"/denied", "unread")
					multi := strings.Join(a.header.Values("x-multi"), ",")
					if err != nil || a.status != http.StatusForbidden || a.body != "DENIED BY PLUGIN\n" || a.header.Get("x-plugin") != "headers" || multi != "plugin,plugin,plugin" {
						t.Errorf("got %+v, %v", a, err)
					}
				})
			}
		})
	}
}
