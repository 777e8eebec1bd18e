package memory

// Pages that were written once stay the memory's own: Reset copies their content
// back, after which writing them again costs no page fault. So pages that only
// one exchange in a thousand writes would be copied after every other too. The
// alternative is to drop all own pages, which costs each page that is written
// again a fault. history decides between the two, as one decides between renting
// and buying: it drops once copying pages in vain has cost as much.
type history struct {
	fresh  bool // no page was kept from an earlier exchange
	usual  int  // pages written by the last exchange that started fresh
	vain   int  // pages copied beyond the usual since the last drop
	resets int  // since the last drop
}

const (
	// faultCost is what the fault of a dropped page costs, in copies of a page.
	// See BenchmarkReset: 0.3 µs to copy, 3 to 9 µs to drop and fault in.
	faultCost = 16
	// dropEvery is the number of resets after which pages are dropped to learn
	// anew how many one exchange writes.
	dropEvery = 1024
)

// drop decides about a reset with a number of own pages.
func (h *history) drop(own int) bool {
	if h.fresh {
		h.usual = own
	}
	h.resets++
	h.vain += max(0, own-h.usual)
	h.fresh = h.vain > own+faultCost*h.usual || h.resets >= dropEvery
	if h.fresh {
		h.vain, h.resets = 0, 0
	}
	return h.fresh
}
