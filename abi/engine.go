package abi

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/extproc/extproc/abi/cache"
	"github.com/extproc/extproc/abi/memory"
)

// Config configures an Engine. The zero value is usable.
type Config struct {
	// CacheDir keeps compiled code between runs; empty means no cache.
	CacheDir string
	// MemoryLimit caps each linear memory, in bytes; 0 means 4 GiB less 64 KiB.
	MemoryLimit uint64
	// MemoryBudget caps all linear memories together, in bytes; 0 means no cap.
	MemoryBudget uint64
	// IdleMemories is how many freed memories are kept for the next instances;
	// 0 means 64.
	IdleMemories int
	// TableLimit caps the tables of a component's instance together, in elements;
	// 0 means 1 million.
	TableLimit uint32
	// HandleLimit caps the handles of a component's instance, which are shared out
	// among its inner instances; 0 means 100,000.
	HandleLimit uint32
	// Interpreter runs guests without compiling them, for tests.
	Interpreter bool
	// StrictReentrance traps a guest that calls a host function from its
	// realloc, as the specification demands. Otherwise it may call those that
	// neither take nor give handles and whose result needs no realloc: stock Go
	// guests collect garbage in realloc and read the clock there.
	StrictReentrance bool
}

const (
	wasmPage = 65536
	// The size of a memory of 65,536 pages does not fit wazero's uint32.
	maxMemory = 65535 * wasmPage
)

func (c Config) withDefaults() Config {
	if c.MemoryLimit == 0 || c.MemoryLimit > maxMemory {
		c.MemoryLimit = maxMemory
	}
	if c.IdleMemories == 0 {
		c.IdleMemories = 64
	}
	if c.TableLimit == 0 {
		c.TableLimit = 1_000_000
	}
	if c.HandleLimit == 0 {
		c.HandleLimit = 100_000
	}
	return c
}

// Engine compiles and runs components. It is safe for concurrent use.
type Engine struct {
	cfg     Config
	runtime wazero.Runtime
	cache   wazero.CompilationCache
	memory  *memory.Allocator

	compiler     *cache.Compiler
	compilations *cache.Shared[[sha256.Size]byte, *compilation]
}

// coreFeatures are the proposals core modules may use.
const coreFeatures = api.CoreFeaturesV2 | experimental.CoreFeaturesExtendedConst | experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExceptionHandling | experimental.CoreFeaturesTypedFunctionReferences

// NewEngine starts an engine.
func NewEngine(ctx context.Context, cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	e := &Engine{cfg: cfg}
	rc := wazero.NewRuntimeConfigCompiler()
	if cfg.Interpreter {
		rc = wazero.NewRuntimeConfigInterpreter()
	}
	if cfg.CacheDir != "" {
		var err error
		if e.cache, err = wazero.NewCompilationCacheWithDir(cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("compilation cache: %w", err)
		}
		rc = rc.WithCompilationCache(e.cache)
	}
	// The allocator enforces the limit, so that it knows of refusals.
	rc = rc.WithCoreFeatures(coreFeatures).WithMemoryLimitPages(maxMemory / wasmPage).WithDebugInfoEnabled(false)
	e.runtime = wazero.NewRuntimeWithConfig(ctx, rc)
	e.compiler = cache.NewCompiler(e.runtime)
	e.compilations = cache.NewShared[[sha256.Size]byte](func(ctx context.Context, c *compilation) error { return c.free(ctx) })
	e.memory = memory.NewAllocator(memory.Config{
		MaxBytes: cfg.MemoryLimit / wasmPage * wasmPage, Budget: cfg.MemoryBudget, Idle: cfg.IdleMemories,
	})
	return e, nil
}

// Close ends the engine and everything compiled or instantiated by it.
func (e *Engine) Close(ctx context.Context) error {
	err := e.runtime.Close(ctx)
	if e.cache != nil {
		if cerr := e.cache.Close(ctx); err == nil {
			err = cerr
		}
	}
	e.memory.Close()
	return err
}
