// Package cache keeps what is compiled: code in files between runs, which may fail
// to be kept, and in memory for as long as somebody uses it.
package cache

import (
	"context"
	"errors"
	"hash/maphash"
	"io/fs"
	"runtime"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
)

// Compiler compiles modules for a runtime. It is safe for concurrent use.
type Compiler struct {
	runtime wazero.Runtime
	seed    maphash.Seed
	turns   *Shared[uint64, *sync.Mutex] // by hash of the module
}

// NewCompiler makes the one compiler of a runtime.
func NewCompiler(r wazero.Runtime) *Compiler {
	return &Compiler{
		runtime: r, seed: maphash.MakeSeed(),
		turns: NewShared[uint64](func(context.Context, *sync.Mutex) error { return nil }),
	}
}

// Compile compiles a module. That its code can't be kept, as on a disk that is
// full, is no reason not to run it.
//
// Equal modules are compiled in turn: wazero 1.12 lets others find the code that it
// takes from a file before that can be called. One module gets half of the cores, as
// there may be others to compile, or exchanges to serve meanwhile.
func (c *Compiler) Compile(ctx context.Context, wasm []byte) (wazero.CompiledModule, error) {
	key := maphash.Bytes(c.seed, wasm)
	turn, err := c.turns.Take(ctx, key, func(context.Context) (*sync.Mutex, error) { return &sync.Mutex{}, nil })
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.turns.Drop(ctx, key) }() // there is nothing to free
	turn.Lock()
	defer turn.Unlock()
	ctx = experimental.WithCompilationWorkers(ctx, max(runtime.GOMAXPROCS(0)/2, 1))
	m, err := c.runtime.CompileModule(ctx, wasm)
	if _, unkept := errors.AsType[*fs.PathError](err); unkept {
		// wazero compiles first and writes then: the code is found in its memory now.
		return c.runtime.CompileModule(ctx, wasm)
	}
	return m, err
}
