package memory

// Pages that were written once stay the memory's own: Reset copies their content
// back, after which writing them again costs no page fault. So pages that only
// one exchange in a thousand writes would be copied after every other too. The
// alternative is to drop all own pages, which costs less at once but a fault for
// each page when it is next written. history decides between the two.
type history struct {
	fresh  bool // no page was kept from an earlier exchange
	usual  int  // pages written by the last exchange that started fresh
	resets int  // since the last drop
}

const (
	// slack is how many pages beyond twice the usual are copied.
	slack = 64
	// dropAlways is the number of pages from which dropping is no dearer even
	// if all of them are written again.
	dropAlways = 2048
	// dropEvery is the number of resets after which pages are dropped to learn
	// anew how many one exchange writes.
	dropEvery = 512
)

// drop decides about a reset with a number of dirty pages.
func (h *history) drop(dirty int) bool {
	if h.fresh {
		h.usual = dirty
	}
	h.resets++
	h.fresh = dirty > dropAlways || dirty > 2*h.usual+slack || h.resets >= dropEvery
	if h.fresh {
		h.resets = 0
	}
	return h.fresh
}
