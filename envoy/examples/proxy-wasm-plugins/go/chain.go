package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

type chainConfig struct{ Name string }

// link is one plugin of a chain: it adds its name to both directions, and leaves a property for the next to see.
type link struct {
	types.DefaultHttpContext
	config *chainConfig
}

func newLink(c *chainConfig) types.HttpContext { return &link{config: c} }

var chainProperty = []string{"chain"}

func (l *link) OnHttpRequestHeaders(int, bool) types.Action {
	before, _ := proxywasm.GetProperty(chainProperty) // the first finds none
	proxywasm.LogInfo("chain: " + l.config.Name + " after " + string(before))
	check(proxywasm.AddHttpRequestHeader("x-chain", l.config.Name))
	check(proxywasm.SetProperty(chainProperty, append(before, l.config.Name...)))
	return types.ActionContinue
}

func (l *link) OnHttpResponseHeaders(int, bool) types.Action {
	all, err := proxywasm.GetProperty(chainProperty)
	check(err)
	proxywasm.LogInfo("chain: " + l.config.Name + " back of " + string(all))
	check(proxywasm.AddHttpResponseHeader("x-chain", l.config.Name))
	return types.ActionContinue
}
