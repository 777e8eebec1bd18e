package proxywasm

import (
	"testing"

	"github.com/extproc/extproc/plugin"
)

func TestHeaders(t *testing.T) {
	for _, parts := range [][]string{
		{"envoy", "examples", "proxy-wasm-headers", "c", "plugin.wasm"},
		{"envoy", "examples", "proxy-wasm-plugins", "rust", "plugin.wasm"},
		{"envoy", "examples", "proxy-wasm-plugins", "go", "plugin.wasm"},
		{"envoy", "examples", "proxy-wasm-headers", "assemblyscript", "plugin.wasm"},
	} {
		t.Run(parts[2]+"/"+parts[3], func(t *testing.T) {
			l := &logs{}
			root := "headers"
			m := mustLoad(t, newABI(t, Config{}), file(t, parts...), newSpec(l, func(s *plugin.Spec) {
				s.VM.RootID = &root
				s.Config = []byte(`{"plugin":"headers","header":"x-a","value":"1"}`)
			}))
			c := begin(t, m).request(true, "x-remove: 1").ok()
			t.Log(c.message(plugin.Request))
			c.response(true).ok()
			t.Log(c.message(plugin.Response))
			c.guest.Close()
			t.Log(l.all())
		})
	}
}
