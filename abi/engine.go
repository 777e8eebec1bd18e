package abi

import (
	"context"
	"errors"
)

var errTODO = errors.New("component runtime: not there yet")

// Config configures an Engine. The zero value is usable.
type Config struct {
	// CacheDir keeps compiled code between runs; empty means no cache.
	CacheDir string
	// MemoryLimit caps each linear memory, in bytes; 0 means 4 GiB.
	MemoryLimit uint64
	// TableLimit caps each table, in elements; 0 means 10 million.
	TableLimit uint32
	// Interpreter runs guests without compiling them, for tests.
	Interpreter bool
	// StrictReentrance traps a guest that calls a host function from its
	// realloc, as the specification demands. By default such calls are allowed
	// for host functions whose type mentions no resource: stock Go guests
	// collect garbage in realloc and read the clock there.
	StrictReentrance bool
}

// Engine compiles and runs components. It is safe for concurrent use.
type Engine struct{ cfg Config }

// NewEngine starts an engine.
func NewEngine(ctx context.Context, cfg Config) (*Engine, error) { return &Engine{cfg: cfg}, nil }

// Close ends the engine and everything compiled or instantiated by it.
func (e *Engine) Close(ctx context.Context) error { return nil }

// Compile decodes, validates and compiles a component.
func (e *Engine) Compile(ctx context.Context, wasm []byte) (*Component, error) { return nil, errTODO }
