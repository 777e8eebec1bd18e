package memory

import (
	"bytes"
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
)

// A memory that has grown goes back to its image in size and content, and what
// it grows by afterwards is zero, as in a new one.
func TestShrink(t *testing.T) {
	eachEngine(t, func(t *testing.T, rt wazero.Runtime) {
		a := NewAllocator(Config{MaxBytes: 64 << 20})
		inst, set := instantiate(t, rt, a)
		l := set.Linears()[0]
		capture(t, l)
		want := bytes.Clone(l.Bytes())
		mem, grow := inst.Memory(), inst.ExportedFunction("grow")
		for _, by := range []uint64{0, 1, 2, 1} {
			res, err := grow.Call(context.Background(), by)
			if err != nil || res[0] != uint64(len(want))/wasmPage {
				t.Fatalf("memory.grow %d: %d, %v", by, int32(res[0]), err)
			}
			all, _ := mem.Read(0, mem.Size())
			if !bytes.Equal(all[len(want):], make([]byte, len(all)-len(want))) {
				t.Fatal("new pages are not zero")
			}
			for i := range all {
				all[i] = 0xa5
			}
			if !l.Shrink(mem) {
				t.Fatal("shrinking failed")
			}
			if _, ok := l.Reset(); !ok {
				t.Fatal("reset failed")
			}
			if int(mem.Size()) != len(want) || mem.WriteByte(uint32(len(want)), 1) {
				t.Fatalf("the engine sees %d bytes, want %d", mem.Size(), len(want))
			}
			if got, _ := mem.Read(0, mem.Size()); !bytes.Equal(got, want) {
				t.Fatal("content differs from that after instantiation")
			}
			if got := a.Used(); got != uint64(len(want)) {
				t.Fatalf("%d bytes used, want %d", got, len(want))
			}
		}
	})
}

// At its maximum a memory can't be grown, and so can't be shrunk.
func TestShrinkAtMaximum(t *testing.T) {
	eachEngine(t, func(t *testing.T, rt wazero.Runtime) {
		a := NewAllocator(Config{MaxBytes: 64 << 20})
		inst, set := instantiate(t, rt, a)
		l := set.Linears()[0]
		capture(t, l)
		mem := inst.Memory()
		if pages, ok := mem.Definition().Max(); ok {
			if _, ok := mem.Grow(pages - mem.Size()/wasmPage); !ok {
				t.Fatal("growing to the maximum failed")
			}
			if l.Shrink(mem) {
				t.Fatal("a memory at its maximum was shrunk")
			}
			return
		}
		t.Fatal("the module declares no maximum")
	})
}
