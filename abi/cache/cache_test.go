package cache_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/extproc/extproc/abi/cache"
)

// module exports a function f. It has many types, each of which costs the engine a
// moment when it takes compiled code from a file.
func module() []byte {
	section := func(id byte, content []byte) []byte {
		return append(binary.AppendUvarint([]byte{id}, uint64(len(content))), content...)
	}
	const most = 150
	types := binary.AppendUvarint(nil, most)
	for n := range most {
		types = append(types, 0x60)
		types = binary.AppendUvarint(types, uint64(n))
		for range n {
			types = append(types, 0x7f)
		}
		types = append(types, 0)
	}
	wasm := append([]byte("\x00asm\x01\x00\x00\x00"), section(1, types)...)
	wasm = append(wasm, section(3, []byte{1, 0})...)
	wasm = append(wasm, section(7, []byte{1, 1, 'f', 0, 0})...)
	return append(wasm, section(10, []byte{1, 2, 0, 0x0b})...)
}

// TestTogether: several may compile one module at once where its code is in a file,
// and call what they get.
func TestTogether(t *testing.T) {
	wasm, dir, ctx := module(), t.TempDir(), context.Background()
	for range 20 {
		files, err := wazero.NewCompilationCacheWithDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCompilationCache(files))
		compiler := cache.NewCompiler(runtime)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				m, err := compiler.Compile(ctx, wasm)
				if err != nil {
					t.Error(err)
					return
				}
				in, err := runtime.InstantiateModule(ctx, m, wazero.NewModuleConfig().WithName(""))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := in.ExportedFunction("f").Call(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if err := runtime.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := files.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}
