package core

import (
	"context"

	"github.com/tetratelabs/wazero/experimental"
)

// refusing is a context with an allocator that refuses what a tick asks for, as every
// allocator of metered modules has to.
func refusing(ctx context.Context) context.Context {
	return experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(func(uint64, uint64) experimental.LinearMemory { return &growing{} }))
}

type growing struct{ bytes []byte }

func (g *growing) Reallocate(size uint64) []byte {
	if size == TickPages<<16 {
		return nil
	}
	if more := int(size) - len(g.bytes); more > 0 {
		g.bytes = append(g.bytes, make([]byte, more)...)
	}
	return g.bytes[:size]
}

func (g *growing) Free() {}
