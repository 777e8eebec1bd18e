package proxywasm

import (
	"testing"

	"github.com/extproc/extproc/plugin"
)

// TestHeaders runs modules of different toolchains that do the same.
func TestHeaders(t *testing.T) {
	for _, parts := range [][]string{
		{"envoy", "examples", "proxy-wasm-headers", "c", "plugin.wasm"},
		{"envoy", "examples", "proxy-wasm-headers", "assemblyscript", "plugin.wasm"},
		{"envoy", "examples", "proxy-wasm-plugins", "rust", "plugin.wasm"},
	} {
		t.Run(parts[3], func(t *testing.T) {
			l := &logs{}
			m := mustLoad(t, newABI(t, Config{}), file(t, parts...), newSpec(l, func(s *plugin.Spec) { s.Name = "headers" }))
			c := begin(t, m).request(true, "x-secret: 1", "x-multi: 1")
			c.is(plugin.Request, requestText+"x-multi: 1\nx-plugin: headers\nx-multi: plugin\nuntouched")
			c.response(true, "server-secret: 1").is(plugin.Response, responseText+"x-plugin: headers\nx-multi: plugin\nuntouched")
			c.guest.Close()
			l.has(t, "INFO headers: /p?q=1")
			l.has(t, "INFO headers: 200")
		})
	}
}
