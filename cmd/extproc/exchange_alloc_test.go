//go:build !race

package main

import "testing"

// TestExchangeAllocations: what an exchange costs Go's heap is bounded, wasm included,
// and two allocations of the client's. Under the race detector pools lose things, so it
// is not counted there.
func TestExchangeAllocations(t *testing.T) {
	const most = 20
	for name, path := range plugins {
		x := serveExchanges(t, "frames", path...)
		n := testing.AllocsPerRun(100, func() {
			if err := x.exchange(atOnce); err != nil {
				t.Fatal(err)
			}
		}) / atOnce
		t.Logf("%s: %.1f", name, n)
		if n > most {
			t.Errorf("%s: %.1f allocations, expected %d at the most", name, n, most)
		}
	}
}
