package memory

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
)

// BenchmarkInstantiate makes and closes an instance with a memory of 256 KiB: on
// Go's heap, as wazero does by itself; in new reservations; in reservations used
// before; and with the image of another instance.
func BenchmarkInstantiate(b *testing.B) {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	compiled, err := rt.CompileModule(ctx, guest)
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, a *Allocator, img *Image) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ctx := ctx
				var set *Set
				if a != nil {
					set = a.NewSet()
					ctx = experimental.WithMemoryAllocator(ctx, set)
				}
				inst, err := rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
				if err != nil {
					b.Fatal(err)
				}
				if img != nil {
					if err := set.Linears()[0].Adopt(img); err != nil {
						b.Fatal(err)
					}
				}
				inst.Memory().WriteByte(100_000, 1)
				inst.Close(ctx)
			}
		})
	}
	pooled := NewAllocator(Config{MaxBytes: 64 << 20, Idle: 1})
	defer pooled.Close()
	l := newLinear(b, pooled, 4*wasmPage)
	run("heap", nil, nil)
	run("reserved", NewAllocator(Config{MaxBytes: 64 << 20}), nil)
	run("pooled", pooled, nil)
	run("adopted", pooled, capture(b, l))
}
