// Package proxywasm runs plugins that are core modules of the proxy-wasm ABI, in
// its versions 0.1.0, 0.2.0 and 0.2.1, as Envoy's Wasm filter runs them.
//
// hostcalls.go is the table of what they may call and callbacks.go the table of
// what they are called with; kinds.go does everything that follows from the
// tables. machine.go keeps the VMs, vm.go calls into one, and half.go takes a
// message of an exchange through a guest.
package proxywasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/extproc/extproc/abi/cache"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// Config configures an ABI. The zero value is usable.
type Config struct {
	// CacheDir keeps compiled code between runs; "" means no cache. It may be the
	// folder of other engines too.
	CacheDir string
	// Workers is how many VMs share the exchanges of a plugin, unless its
	// configuration says otherwise; 0 means GOMAXPROCS.
	Workers int
	// BodyLimit is how many bytes of one body are held back for a guest that has
	// paused it; 0 means 1 MiB, as in Envoy.
	BodyLimit int
	// StartLimit is how long each function may run that starts a VM or a plugin in
	// it; 0 means 10 s.
	StartLimit time.Duration
	// Interpreter runs guests without compiling them, for tests.
	Interpreter bool
	// Services are what the guests of all plugins share; nil makes new ones.
	Services *host.Services
}

const (
	defaultBodyLimit  = 1 << 20
	defaultStartLimit = 10 * time.Second
)

// ABI is the kind of guest that this package runs. It is safe for concurrent use.
type ABI struct {
	cfg      Config
	services *host.Services
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiler *cache.Compiler
	codes    *cache.Shared[codeKey, *code]
	machines *cache.Shared[machineKey, *machine]
}

var _ plugin.ABI = (*ABI)(nil)

// New starts an engine for the modules of all plugins.
func New(ctx context.Context, cfg Config) (*ABI, error) {
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.BodyLimit <= 0 {
		cfg.BodyLimit = defaultBodyLimit
	}
	if cfg.StartLimit <= 0 {
		cfg.StartLimit = defaultStartLimit
	}
	a := &ABI{cfg: cfg, services: cfg.Services}
	a.codes = cache.NewShared[codeKey](func(ctx context.Context, c *code) error { return c.close(ctx) })
	a.machines = cache.NewShared[machineKey](func(ctx context.Context, m *machine) error { return m.close(ctx) })
	if a.services == nil {
		a.services = host.NewServices(nil)
	}
	rc := wazero.NewRuntimeConfigCompiler()
	if cfg.Interpreter {
		rc = wazero.NewRuntimeConfigInterpreter()
	}
	if cfg.CacheDir != "" {
		var err error
		if a.cache, err = wazero.NewCompilationCacheWithDir(cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("compilation cache: %w", err)
		}
		rc = rc.WithCompilationCache(a.cache)
	}
	rc = rc.WithCoreFeatures(coreFeatures).WithMemoryLimitPages(maxPages).WithDebugInfoEnabled(false)
	a.runtime = wazero.NewRuntimeWithConfig(ctx, rc)
	a.compiler = cache.NewCompiler(a.runtime)
	return a, nil
}

const (
	// coreFeatures are the proposals that V8 has too and wazero can do.
	coreFeatures = api.CoreFeaturesV2 | experimental.CoreFeaturesExtendedConst | experimental.CoreFeaturesTailCall |
		experimental.CoreFeaturesExceptionHandling | experimental.CoreFeaturesTypedFunctionReferences
	// maxPages is what any memory may have; the limit of the plugin is lower. All
	// 65,536 would not fit wazero's uint32.
	maxPages = 65535
)

// Close ends the engine. The plugins must have been closed.
func (a *ABI) Close(ctx context.Context) error {
	err := a.runtime.Close(ctx)
	if a.cache != nil {
		err = errors.Join(err, a.cache.Close(ctx))
	}
	return err
}

// Name implements plugin.ABI.
func (*ABI) Name() string { return "proxy-wasm module" }

// Detect reports whether wasm is a core module that exports a version of the ABI.
func (*ABI) Detect(wasm []byte) bool {
	return bytes.HasPrefix(wasm, []byte("\x00asm\x01\x00\x00\x00")) && exportsVersion(wasm[8:])
}

// Load implements plugin.ABI. All VMs of the plugin have started when it returns.
func (a *ABI) Load(ctx context.Context, wasm []byte, spec *plugin.Spec) (plugin.Module, error) {
	c, err := a.Compile(ctx, wasm, spec)
	if err != nil {
		return nil, err
	}
	return c.Start(ctx)
}
