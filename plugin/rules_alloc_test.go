//go:build !race

package plugin_test

import "testing"

// TestHeaderRulesAllocations: the changed headers of two messages and what stands
// for the exchange are all that a plugin costs Go's heap. The race detector has pools
// lose what they keep, so it is not counted there.
func TestHeaderRulesAllocations(t *testing.T) {
	const most = 5
	for i := range headerRules {
		exchange := rulesExchange(t, i)
		exchange()
		if n := testing.AllocsPerRun(200, exchange); n > most {
			t.Errorf("%s: %v allocations an exchange, expected no more than %d", headerRules[i].name, n, most)
		}
	}
}
