package memory

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// eachTracking runs a test with each way to find dirty pages that the system
// has.
func eachTracking(t *testing.T, test func(t *testing.T)) {
	for mode, name := range map[tracking]string{byScan: "scan", byPagemap: "pagemap", byNothing: "nothing"} {
		t.Run(name, func(t *testing.T) {
			old := currentTracking.Swap(int32(mode))
			defer currentTracking.Store(old)
			test(t)
			if got := tracking(currentTracking.Load()); got != mode {
				t.Logf("this system fell back from %s to %d", name, got)
			}
		})
	}
}

func mappings(t *testing.T) (maps, fds int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "\n"), len(entries)
}

func TestNoLeaks(t *testing.T) {
	a := NewAllocator(Config{MaxBytes: 16 << 20, Idle: 3})
	cycle := func() {
		set := a.NewSet()
		l := set.Allocate(0, 1<<32).(*Linear)
		l.Reallocate(4 * wasmPage)
		img, err := Capture(l)
		if err != nil {
			t.Fatal(err)
		}
		other := set.Allocate(0, 1<<32).(*Linear)
		other.Reallocate(4 * wasmPage)
		if err := other.Adopt(img); err != nil {
			t.Fatal(err)
		}
		img.Close()
		other.Bytes()[7] = 1
		other.Reset()
		l.Reallocate(5 * wasmPage)
		set.Free()
		set.Free()
	}
	for range 100 {
		cycle()
	}
	maps, fds := mappings(t)
	for range 10_000 {
		cycle()
	}
	a.Close()
	// Go's own heap may map a few more ranges meanwhile.
	if m, f := mappings(t); m > maps+20 || f > fds {
		t.Fatalf("%d mappings and %d files after 10,000 cycles, %d and %d before", m, f, maps, fds)
	}
	if used := a.Used(); used != 0 {
		t.Fatalf("%d bytes used", used)
	}
}

func TestMemoryDoesNotMove(t *testing.T) {
	a := NewAllocator(Config{MaxBytes: 64 << 20})
	l := newLinear(t, a, wasmPage)
	first := &l.Bytes()[0]
	for n := uint64(2); n < 20; n++ {
		if b := l.Reallocate(n * wasmPage); &b[0] != first {
			t.Fatal("the memory moved")
		}
	}
	capture(t, l)
	if b := l.Reallocate(30 * wasmPage); &b[0] != first {
		t.Fatal("the memory moved")
	}
}

// TestMakeshifts runs memories that got no address space and images that got no
// file.
func TestMakeshifts(t *testing.T) {
	a := NewAllocator(Config{MaxBytes: 64 << 20, Idle: 1})
	defer a.Close()
	noFile := &Image{size: wasmPage, content: bytes.Repeat([]byte{9}, wasmPage), file: file{-1}, refs: 1}
	defer noFile.Close()
	withFile := newLinear(t, a, wasmPage)
	copy(withFile.Bytes(), noFile.content)
	for _, img := range []*Image{noFile, capture(t, withFile)} {
		for _, res := range []func() *reservation{
			func() *reservation { return onHeap(wasmPage) },
			func() *reservation {
				r, err := a.take(1 << 20)
				if err == nil {
					err = r.commit(wasmPage)
				}
				if err != nil {
					t.Fatal(err)
				}
				return r
			},
		} {
			l := &Linear{set: a.NewSet(), started: true, res: res(), size: wasmPage}
			if err := a.charge(wasmPage); err != nil {
				t.Fatal(err)
			}
			if err := l.Adopt(img); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if !bytes.Equal(l.Bytes(), noFile.content) {
					t.Fatal("content differs from the image")
				}
				l.Bytes()[5], l.Bytes()[wasmPage-1] = 1, 2
				if dirty, ok := l.Reset(); !ok || dirty < 1 || dirty > 2 {
					t.Fatalf("%d dirty pages, %v, want 1 or 2", dirty, ok)
				}
			}
			if l.res.heap && l.Reallocate(2*wasmPage) != nil {
				t.Fatal("a makeshift grew")
			}
			l.Free()
		}
	}
	if b := newLinear(t, a, wasmPage).Bytes(); !bytes.Equal(b, make([]byte, wasmPage)) {
		t.Fatal("a memory starts with another's content")
	}
}

// BenchmarkReset writes one byte in each of some pages and resets. In /copy the
// same pages are written each time; /drop drops them each time.
func BenchmarkReset(b *testing.B) {
	for _, mb := range []int{1, 20} {
		for _, dirty := range []int{1, 8, 32, 256, 1024, 4096} {
			pages := mb << 20 / osPage
			if dirty > pages {
				continue
			}
			for _, drop := range []bool{false, true} {
				b.Run(fmt.Sprintf("image=%dMB/dirty=%d/drop=%v", mb, dirty, drop), func(b *testing.B) {
					benchmarkReset(b, mb<<20, dirty, drop)
				})
			}
		}
	}
}

func benchmarkReset(b *testing.B, size, dirty int, drop bool) {
	a := NewAllocator(Config{MaxBytes: 64 << 20})
	l := newLinear(b, a, uint64(size))
	for i := range l.Bytes() {
		l.Bytes()[i] = byte(i) | 1
	}
	capture(b, l)
	mem := l.Bytes()
	// Half of the pages lie side by side like a stack, half anywhere.
	written := rand.New(rand.NewPCG(1, 1)).Perm(size / osPage)[:dirty]
	for i := range dirty / 2 {
		written[i] = i
	}
	var inReset time.Duration
	for b.Loop() {
		for _, page := range written {
			mem[page*osPage]++
		}
		l.history = history{usual: dirty}
		if drop {
			l.history.resets = dropEvery
		}
		start := time.Now()
		if _, ok := l.Reset(); !ok {
			b.Fatal("reset failed")
		}
		inReset += time.Since(start)
	}
	b.ReportMetric(float64(inReset.Nanoseconds())/float64(b.N)/1e3, "µs/reset")
}
