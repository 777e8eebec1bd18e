package differential_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// TestConcurrent has many clients at once count against one limit: if compare-and-swap lost a count, more than the limit would pass.
func TestConcurrent(t *testing.T) {
	const clients, each, limit = 16, 25, 100
	s := of(example(t, "proxy-wasm-plugins", "rust", "plugin.wasm"), []setup{{
		name: "rate-limit", plugins: []plugin{{root: "rate-limit", config: fmt.Sprintf(`{"limit":%d,"window":3600000}`, limit)}},
	}})
	u := newUpstream(t)
	in, err := startInside(t, u.address(), s)
	if err != nil {
		t.Fatal(err)
	}
	for name, on := range map[string]side{"inside": in, "outside": startOutside(t, u.address(), s[0])} {
		t.Run(name, func(t *testing.T) {
			var (
				mu   sync.Mutex
				got  = map[int]int{} // status → responses
				done sync.WaitGroup
			)
			for range clients {
				done.Go(func() {
					for range each {
						resp, err := http.Get(on.url(s[0]))
						if err != nil {
							t.Error(err)
							return
						}
						resp.Body.Close()
						mu.Lock()
						got[resp.StatusCode]++
						mu.Unlock()
					}
				})
			}
			done.Wait()
			if got[200] != limit || got[429] != clients*each-limit {
				t.Errorf("the responses are %v, want 200: %d and 429: %d", got, limit, clients*each-limit)
			}
		})
	}
}
