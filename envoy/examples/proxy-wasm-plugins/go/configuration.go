package main

import (
	"encoding/json"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// read reads a plugin's configuration, JSON, over its defaults. False if it can't be understood.
func read(config any, size int) bool {
	if size == 0 {
		return true
	}
	text, err := proxywasm.GetPluginConfiguration()
	if err == nil {
		err = json.Unmarshal(text, config)
	}
	if err != nil {
		proxywasm.LogCriticalf("the configuration can't be used: %v", err)
	}
	return err == nil
}

// plugin has a configuration and no state beyond an exchange's.
type plugin[C any] struct {
	types.DefaultPluginContext
	config C
	create func(*C) types.HttpContext
}

func configured[C any](defaults C, create func(*C) types.HttpContext) func() types.PluginContext {
	return func() types.PluginContext { return &plugin[C]{config: defaults, create: create} }
}

func (p *plugin[C]) OnPluginStart(size int) types.OnPluginStartStatus {
	return types.OnPluginStartStatus(read(&p.config, size))
}

func (p *plugin[C]) NewHttpContext(uint32) types.HttpContext { return p.create(&p.config) }

// check logs a hostcall's failure.
func check(err error) {
	if err != nil {
		proxywasm.LogErrorf("hostcall failed: %v", err)
	}
}
