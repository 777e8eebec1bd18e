// Several plugins in one proxy-wasm module: the root id says which of them a configuration means.
package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// plugins are the root ids and what makes their plugins.
var plugins = map[string]func() types.PluginContext{
	"headers": exchanges(func() types.HttpContext { return &headers{} }),
}

func main() {}

// A module that is a library has its main never called; the SDK is told here.
func init() {
	proxywasm.SetVMContext(&vm{})
}

type vm struct{ types.DefaultVMContext }

func (*vm) NewPluginContext(uint32) types.PluginContext {
	id, err := proxywasm.GetProperty([]string{"plugin_root_id"})
	if err != nil {
		proxywasm.LogCriticalf("no plugin_root_id: %v", err)
	}
	create, found := plugins[string(id)]
	if !found {
		return &unknown{id: string(id)}
	}
	return create()
}

// unknown refuses to start.
type unknown struct {
	types.DefaultPluginContext
	id string
}

func (u *unknown) OnPluginStart(int) types.OnPluginStartStatus {
	proxywasm.LogCriticalf("no plugin has the root id %q", u.id)
	return types.OnPluginStartStatusFailed
}

// exchanges is a plugin without configuration or state.
func exchanges(create func() types.HttpContext) func() types.PluginContext {
	return func() types.PluginContext { return &stateless{create: create} }
}

type stateless struct {
	types.DefaultPluginContext
	create func() types.HttpContext
}

func (s *stateless) NewHttpContext(uint32) types.HttpContext { return s.create() }

// check logs a hostcall's failure.
func check(err error) {
	if err != nil {
		proxywasm.LogErrorf("hostcall failed: %v", err)
	}
}
