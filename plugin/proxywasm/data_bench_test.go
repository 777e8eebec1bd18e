package proxywasm

import (
	"testing"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// BenchmarkSharedData is a value of 32 bytes read and written in this process's
// memory: by a guest, a thousand times in a tick, and by calling the host's Go
// functions.
func BenchmarkSharedData(b *testing.B) {
	const key, value = "key", "a value of 32 bytes, as they are"
	const keyAt, valueAt, outAt = 1024, 1040, 1100
	for _, c := range []struct {
		name, hostcall string
		params         int
		args           []byte
	}{
		{"set", "proxy_set_shared_data", 5, join(uint32(keyAt), uint32(len(key)), uint32(valueAt), uint32(len(value)), uint32(0))},
		{"get", "proxy_get_shared_data", 5, join(uint32(keyAt), uint32(len(key)), uint32(outAt), uint32(outAt+4), uint32(outAt+8))},
	} {
		b.Run(c.name+"/guest", func(b *testing.B) {
			m := mustLoad(b, newABI(b, Config{}), puppet(func(a *asm) {
				a.imports = append(a.imports, asmImport{"env", c.hostcall, n(c.params), n(1)})
				a.data[keyAt], a.data[valueAt] = key, value
				without("proxy_on_tick")(a)
				a.funcs = append(a.funcs, asmFunc{name: "proxy_on_tick", params: n(1), locals: 1, body: join(
					uint32(1000), opSet, 1, opLoop, opVoidBlock, c.args, opCall, 1, opIf, opVoidBlock, opTrap, opEnd,
					opGet, 1, uint32(1), opSub, opTee, 1, opBrIf, 0, opEnd,
				)})
			}), newSpec(&logs{}, func(s *plugin.Spec) { s.Limits.Timeout = 0; s.Log = nil }))
			if err := m.services.Data.Put(b.Context(), key, []byte(value), host.Always); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				m.tickNow(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/call")
		})
	}
	bucket := host.NewMemoryData(host.DataLimits{}).Bucket("", 0)
	b.Run("set/direct", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := bucket.Put(b.Context(), key, []byte(value), host.Always); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get/direct", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bucket.Get(b.Context(), key); err != nil {
				b.Fatal(err)
			}
		}
	})
}
