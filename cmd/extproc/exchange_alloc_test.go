//go:build !race

package main

import (
	"runtime"
	"testing"
)

// TestExchangeAllocations: what an exchange costs Go's heap is bounded, wasm included,
// and two allocations of the client's. Under the race detector pools lose things, so it
// is not counted there.
func TestExchangeAllocations(t *testing.T) {
	const most = 16
	for name, path := range plugins {
		x := serveExchanges(t, path, 0)
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

// TestBodyAllocations: bodies of 64 KB are not in memory of their own, neither as they
// come nor as they go on.
func TestBodyAllocations(t *testing.T) {
	const most, times = 32 << 10, 100
	for name, path := range bodyPlugins {
		x := serveExchanges(t, path, 64<<10)
		if err := x.exchange(4); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range times {
			if err := x.exchange(4); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		n := (after.TotalAlloc - before.TotalAlloc) / (4 * times)
		t.Logf("%s: %d", name, n)
		if n > most {
			t.Errorf("%s: an exchange takes %d bytes, expected %d at the most", name, n, most)
		}
	}
}
