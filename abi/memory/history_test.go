package memory

import "testing"

// simulate resets a memory after exchanges that write the given numbers of
// pages, always the same first ones, and returns how many were copied and how
// often pages were dropped.
func simulate(exchanges int, pages func(i int) int) (copied, drops int) {
	h := history{fresh: true}
	own := 0
	for i := range exchanges {
		own = max(own, pages(i))
		if h.drop(own) {
			own = 0
			drops++
		} else {
			copied += own
		}
	}
	return copied, drops
}

func TestHistory(t *testing.T) {
	for _, c := range []struct {
		name      string
		pages     func(i int) int
		maxCopied int // of 1,000 exchanges
		maxDrops  int
	}{
		{"steady", func(int) int { return 10 }, 10_000, 0},
		{"steadily much", func(int) int { return 3000 }, 3_000_000, 0},
		{"much once", func(i int) int {
			if i == 500 {
				return 3000
			}
			return 10
		}, 15_000, 1},
		{"much at first", func(i int) int {
			if i == 0 {
				return 300
			}
			return 10
		}, 300_000, 1},
		{"much at times", func(i int) int {
			if i%100 == 99 {
				return 3000
			}
			return 10
		}, 50_000, 11},
	} {
		copied, drops := simulate(1000, c.pages)
		if copied > c.maxCopied || drops > c.maxDrops {
			t.Errorf("%s: %d pages copied and %d drops, want at most %d and %d", c.name, copied, drops, c.maxCopied, c.maxDrops)
		}
	}
	if _, drops := simulate(10*dropEvery, func(int) int { return 10 }); drops != 10 {
		t.Errorf("%d drops in %d resets, want 10", drops, 10*dropEvery)
	}
}
