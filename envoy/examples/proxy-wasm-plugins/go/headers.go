package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// headers sets, adds and removes headers in both directions.
type headers struct{ types.DefaultHttpContext }

func (*headers) OnHttpRequestHeaders(int, bool) types.Action {
	path, err := proxywasm.GetHttpRequestHeader(":path")
	check(err)
	proxywasm.LogInfo("headers: " + path)
	check(proxywasm.RemoveHttpRequestHeader("x-secret"))
	check(proxywasm.ReplaceHttpRequestHeader("x-plugin", "headers"))
	check(proxywasm.AddHttpRequestHeader("x-multi", "plugin"))
	return types.ActionContinue
}

func (*headers) OnHttpResponseHeaders(int, bool) types.Action {
	status, err := proxywasm.GetHttpResponseHeader(":status")
	check(err)
	proxywasm.LogInfo("headers: " + status)
	check(proxywasm.RemoveHttpResponseHeader("server-secret"))
	check(proxywasm.ReplaceHttpResponseHeader("x-plugin", "headers"))
	check(proxywasm.AddHttpResponseHeader("x-multi", "plugin"))
	return types.ActionContinue
}
