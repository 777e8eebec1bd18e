// Package cache compiles modules where compiled code is kept in files between
// runs, and may fail to be.
package cache

import (
	"context"
	"errors"
	"io/fs"

	"github.com/tetratelabs/wazero"
)

// Compile compiles a module. That its code can't be kept, as on a disk that is
// full, is no reason not to run it.
func Compile(ctx context.Context, runtime wazero.Runtime, wasm []byte) (wazero.CompiledModule, error) {
	m, err := runtime.CompileModule(ctx, wasm)
	if _, unkept := errors.AsType[*fs.PathError](err); unkept {
		// wazero compiles first and writes then: the code is found in its memory now.
		return runtime.CompileModule(ctx, wasm)
	}
	return m, err
}
