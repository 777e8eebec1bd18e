package wasihttp_test

import (
	"fmt"
	"testing"

	"github.com/extproc/extproc/plugin/host"
)

// BenchmarkKeyvalue is a value of 32 bytes read and written, and a count, in this
// process's memory: by a guest, ten thousand times in an exchange, and by calling
// the host's Go functions.
func BenchmarkKeyvalue(b *testing.B) {
	const times = 10_000
	bucket := host.NewMemoryData(host.DataLimits{}).Bucket("", 0)
	value := []byte("a value of 32 bytes, as they are")
	for what, direct := range map[string]func() error{
		"set":       func() error { return bucket.Put(b.Context(), "key", value, host.Always) },
		"get":       func() error { _, err := bucket.Get(b.Context(), "key"); return err },
		"increment": func() error { _, err := bucket.Add(b.Context(), "count", 1); return err },
	} {
		b.Run(what+"/guest", func(b *testing.B) {
			m := loadWith(b, host.NewServices(nil), guestFile("data"))
			if err := m.services.Data.Put(b.Context(), "key", value, host.Always); err != nil {
				b.Fatal(err)
			}
			request := get(fmt.Sprintf("/%s?%d", what, times))
			b.ReportAllocs()
			for b.Loop() {
				if got := newProxy(b, m, request, okResponse).run(); got.err != nil {
					b.Fatal(got.err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/times, "ns/call")
		})
		b.Run(what+"/direct", func(b *testing.B) {
			if err := bucket.Put(b.Context(), "key", value, host.Always); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := direct(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
