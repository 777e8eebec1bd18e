package proxywasm

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/tetratelabs/wazero/api"
)

// deniedFunction is in the place of a function that the plugin's configuration
// does not allow. As in Envoy it logs the attempt and fails.
type deniedFunction struct {
	name   string
	ours   bool // of proxy-wasm rather than WASI
	result bool
}

// Call implements api.GoModuleFunction.
func (d deniedFunction) Call(ctx context.Context, _ api.Module, stack []uint64) {
	cx := ctx.(*callContext).vm.effectiveContext()
	cx.log(slog.LevelError, fmt.Appendf(nil, "the plugin may not call %s", d.name))
	switch {
	case d.result && d.ours:
		stack[0] = uint64(InternalFailure)
	case d.result:
		stack[0] = uint64(errNotcapa)
	}
}

// emscriptenFunction is a wasiFunction that is no capability.
type emscriptenFunction struct{ wasiFunction }
