package memory

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

const wasmPage = 65536

// guest is a module with a memory of 4 to 32 pages, exported as "memory", a data
// segment, and the functions store(at, value) and grow(pages).
var guest = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x0b\x02\x60\x02\x7f\x7f\x00\x60\x01\x7f\x01\x7f" +
	"\x03\x03\x02\x00\x01" +
	"\x05\x04\x01\x01\x04\x20" +
	"\x07\x19\x03\x06memory\x02\x00\x05store\x00\x00\x04grow\x00\x01" +
	"\x0a\x12\x02\x09\x00\x20\x00\x20\x01\x36\x02\x00\x0b\x06\x00\x20\x00\x40\x00\x0b" +
	"\x0b\x0e\x01\x00\x41\x80\x08\x0b\x07segment")

func newLinear(t testing.TB, a *Allocator, size uint64) *Linear {
	t.Helper()
	set := a.NewSet()
	l := set.Allocate(size, 1<<32).(*Linear)
	if b := l.Reallocate(size); uint64(len(b)) != size {
		t.Fatalf("memory of %d bytes, want %d", len(b), size)
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Free)
	return l
}

func capture(t testing.TB, l *Linear) *Image {
	t.Helper()
	img, err := Capture(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(img.Close)
	return img
}

func instantiate(t testing.TB, rt wazero.Runtime, a *Allocator) (api.Module, *Set) {
	t.Helper()
	set := a.NewSet()
	ctx := experimental.WithMemoryAllocator(context.Background(), set)
	inst, err := rt.InstantiateWithConfig(ctx, guest, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	return inst, set
}

func randomBytes(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// scribble writes at random, sometimes much.
func scribble(r *rand.Rand, b []byte) {
	for range r.IntN(40) {
		at := r.IntN(len(b))
		n := 1 + r.IntN(64)
		if r.IntN(20) == 0 {
			n = 1 + r.IntN(len(b)/2)
		}
		randomBytes(r, b[at:min(at+n, len(b))])
	}
}

func TestResetIsFresh(t *testing.T) {
	eachTracking(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		a := NewAllocator(Config{MaxBytes: 64 << 20, Idle: 4})
		defer a.Close()
		first := newLinear(t, a, 10*wasmPage)
		scribble(r, first.Bytes())
		want := bytes.Clone(first.Bytes())
		img := capture(t, first)
		second := newLinear(t, a, 10*wasmPage)
		if err := second.Adopt(img); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			for _, l := range []*Linear{first, second} {
				if !bytes.Equal(l.Bytes(), want) {
					t.Fatal("content differs from the image")
				}
				scribble(r, l.Bytes())
				if _, ok := l.Reset(); !ok {
					t.Fatal("reset failed")
				}
			}
		}
	})
}

func TestResetCountsPages(t *testing.T) {
	a := NewAllocator(Config{MaxBytes: 64 << 20})
	l := newLinear(t, a, 16*wasmPage)
	capture(t, l)
	for _, n := range []int{0, 1, 3} {
		for i := range n {
			l.Bytes()[i*2*wasmPage] = 1
		}
		if dirty, ok := l.Reset(); !ok || dirty < n {
			t.Fatalf("%d dirty pages, %v, want at least %d", dirty, ok, n)
		}
	}
}

func TestGuestWritesAreUndone(t *testing.T) {
	eachTracking(t, func(t *testing.T) {
		eachEngine(t, func(t *testing.T, rt wazero.Runtime) {
			a := NewAllocator(Config{MaxBytes: 64 << 20, Idle: 4})
			defer a.Close()
			ctx := context.Background()
			inst, set := instantiate(t, rt, a)
			l := set.Linears()[0]
			want := bytes.Clone(l.Bytes())
			if !bytes.Contains(want, []byte("segment")) {
				t.Fatal("data segment not in the memory")
			}
			img := capture(t, l)
			inst2, set2 := instantiate(t, rt, a)
			l2 := set2.Linears()[0]
			if err := l2.Adopt(img); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(3, 4))
			for range 100 {
				for _, in := range []struct {
					api.Module
					*Linear
				}{{inst, l}, {inst2, l2}} {
					store := in.ExportedFunction("store")
					for range r.IntN(50) {
						at := r.Uint64N(4*wasmPage - 4)
						if _, err := store.Call(ctx, at, r.Uint64()); err != nil {
							t.Fatal(err)
						}
					}
					if _, ok := in.Reset(); !ok {
						t.Fatal("reset failed")
					}
					got, _ := in.Memory().Read(0, 4*wasmPage)
					if !bytes.Equal(got, want) {
						t.Fatal("content differs from that after instantiation")
					}
				}
			}
		})
	})
}

func TestGrownMemoryIsNotReset(t *testing.T) {
	eachEngine(t, func(t *testing.T, rt wazero.Runtime) {
		a := NewAllocator(Config{MaxBytes: 6 * wasmPage})
		inst, set := instantiate(t, rt, a)
		l := set.Linears()[0]
		capture(t, l)
		grow := inst.ExportedFunction("grow")
		for _, step := range []struct{ by, want uint64 }{{0, 4}, {1, 4}, {1, 5}, {1, 0xffffffff}, {28, 0xffffffff}} {
			res, err := grow.Call(context.Background(), step.by)
			if err != nil || res[0] != step.want {
				t.Fatalf("memory.grow %d: %d, %v, want %d", step.by, int32(res[0]), err, int32(step.want))
			}
		}
		if !inst.Memory().WriteByte(6*wasmPage-1, 1) || inst.Memory().WriteByte(6*wasmPage, 1) {
			t.Fatal("the memory does not end at 6 pages")
		}
		if _, ok := l.Reset(); ok {
			t.Fatal("a grown memory was reset")
		}
		if got := a.Used(); got != 6*wasmPage {
			t.Fatalf("%d bytes used, want %d", got, 6*wasmPage)
		}
		inst.Close(context.Background())
		inst.Close(context.Background())
		l.Free()
		if got := a.Used(); got != 0 {
			t.Fatalf("%d bytes used after closing", got)
		}
		if _, ok := l.Reset(); ok || l.Reallocate(wasmPage) != nil || l.Bytes() != nil {
			t.Fatal("a freed memory can be used")
		}
	})
}

func TestMemoriesStartZero(t *testing.T) {
	a := NewAllocator(Config{MaxBytes: 64 << 20, Idle: 1})
	defer a.Close()
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 20 {
		l := newLinear(t, a, uint64(1+i%4)*wasmPage)
		if !bytes.Equal(l.Bytes(), make([]byte, len(l.Bytes()))) {
			t.Fatal("a memory starts with another's content")
		}
		randomBytes(r, l.Bytes())
		if i%2 == 0 {
			capture(t, l)
			randomBytes(r, l.Bytes())
		}
		randomBytes(r, l.Reallocate(8*wasmPage))
		l.Free()
	}
}

func TestBudget(t *testing.T) {
	rt := wazero.NewRuntime(context.Background())
	defer rt.Close(context.Background())
	a := NewAllocator(Config{MaxBytes: 64 << 20, Budget: 10 * wasmPage})
	inst, set := instantiate(t, rt, a)
	_, set2 := instantiate(t, rt, a)
	if set.Err() != nil || set2.Err() != nil {
		t.Fatal(set.Err(), set2.Err())
	}
	refused, set3 := instantiate(t, rt, a)
	if err := set3.Err(); err == nil || !strings.Contains(err.Error(), "budget of 655360") {
		t.Fatalf("third memory: %v", err)
	}
	refused.Close(context.Background())
	res, err := inst.ExportedFunction("grow").Call(context.Background(), 3)
	if err != nil || int32(res[0]) != -1 {
		t.Fatalf("growth over the budget: %v, %v", res, err)
	}
	inst.Close(context.Background())
	if _, set4 := instantiate(t, rt, a); set4.Err() != nil {
		t.Fatal(set4.Err())
	}

	a = NewAllocator(Config{MaxBytes: 3 * wasmPage})
	if _, set := instantiate(t, rt, a); set.Err() == nil || !strings.Contains(set.Err().Error(), "limit is 196608") {
		t.Fatalf("memory over its own limit: %v", set.Err())
	}
}

func TestEmptyMemory(t *testing.T) {
	set := NewAllocator(Config{MaxBytes: 1 << 20}).NewSet()
	l := set.Allocate(0, 0)
	if b := l.Reallocate(0); b == nil || len(b) != 0 {
		t.Fatalf("empty memory: %v", b)
	}
	if l.Reallocate(wasmPage) != nil || len(set.Linears()) != 0 {
		t.Fatal("an empty memory grew or is listed")
	}
	l.Free()

	// A memory of no pages that can grow.
	grows := set.Allocate(0, 2*wasmPage).(*Linear)
	grows.Reallocate(0)
	img := capture(t, grows)
	if _, ok := grows.Reset(); !ok || img.Size() != 0 {
		t.Fatal("empty image")
	}
	if len(grows.Reallocate(wasmPage)) != wasmPage {
		t.Fatal("memory does not grow from nothing")
	}
	if _, ok := grows.Reset(); ok {
		t.Fatal("grown memory was reset")
	}
	grows.Free()
}

func TestAdoptErrors(t *testing.T) {
	a := NewAllocator(Config{MaxBytes: 64 << 20})
	l := newLinear(t, a, 2*wasmPage)
	img := capture(t, l)
	if err := l.Adopt(img); err == nil {
		t.Error("a second image was adopted")
	}
	if err := newLinear(t, a, wasmPage).Adopt(img); err == nil {
		t.Error("an image of another size was adopted")
	}
	if _, ok := newLinear(t, a, wasmPage).Reset(); ok {
		t.Error("a memory without image was reset")
	}
	img.Close()
	img.Close()
	if err := newLinear(t, a, 2*wasmPage).Adopt(img); err == nil {
		t.Error("a closed image was adopted")
	}
	l.Bytes()[5] = 1
	if _, ok := l.Reset(); !ok || l.Bytes()[5] != 0 {
		t.Error("reset to a closed image that is still in use failed")
	}
	l.Free()
	if err := l.Adopt(img); err == nil {
		t.Error("a freed memory adopted an image")
	}
	if _, err := Capture(l); err == nil {
		t.Error("a freed memory was captured")
	}
}

func TestConcurrentInstances(t *testing.T) {
	a := NewAllocator(Config{MaxBytes: 64 << 20, Idle: 2})
	defer a.Close()
	first := newLinear(t, a, 20*wasmPage)
	r := rand.New(rand.NewPCG(7, 8))
	randomBytes(r, first.Bytes())
	want := bytes.Clone(first.Bytes())
	img := capture(t, first)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(9, uint64(g)))
			for range 20 {
				set := a.NewSet()
				l := set.Allocate(0, 1<<32).(*Linear)
				l.Reallocate(20 * wasmPage)
				if err := l.Adopt(img); err != nil {
					t.Error(err)
					return
				}
				for range 5 {
					scribble(r, l.Bytes())
					if _, ok := l.Reset(); !ok || !bytes.Equal(l.Bytes(), want) {
						t.Error("content differs from the image")
						return
					}
				}
				set.Free()
			}
		})
	}
	wg.Wait()
}

func eachEngine(t *testing.T, test func(t *testing.T, rt wazero.Runtime)) {
	for name, cfg := range map[string]wazero.RuntimeConfig{
		"compiler":    wazero.NewRuntimeConfigCompiler(),
		"interpreter": wazero.NewRuntimeConfigInterpreter(),
	} {
		t.Run(name, func(t *testing.T) {
			rt := wazero.NewRuntimeWithConfig(context.Background(), cfg)
			defer rt.Close(context.Background())
			test(t, rt)
		})
	}
}
