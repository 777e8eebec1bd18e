// Several plugins in one proxy-wasm module: the root id says which of them a configuration means.
package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// plugins are the root ids and what makes their plugins.
var plugins = map[string]func() types.PluginContext{
	"headers":        configured(struct{}{}, func(*struct{}) types.HttpContext { return &headers{} }),
	"body":           configured(struct{}{}, func(*struct{}) types.HttpContext { return &body{} }),
	"json-check":     configured(struct{}{}, func(*struct{}) types.HttpContext { return &jsonCheck{} }),
	"auth-callout":   configured(authConfig{Cluster: "auth", Path: "/check", Timeout: 1000}, newAuth),
	"rate-limit":     configured(rateConfig{Header: "x-client", Limit: 10, Window: 60_000}, newRate),
	"queue-producer": configured(queueConfig{Queue: "requests"}, newProducer),
	"queue-consumer": newConsumer,
	"tick":           newTicker,
	"metrics":        newMeter,
	"local-response": configured(struct{}{}, func(*struct{}) types.HttpContext { return &responder{} }),
	"properties":     configured(reportConfig{}, newReport),
	"chain":          configured(chainConfig{}, newLink),
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
