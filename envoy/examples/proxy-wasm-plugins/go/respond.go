package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// responder answers by itself in the phase that the request's header x-respond names.
type responder struct {
	types.DefaultHttpContext
	wanted string
}

func (r *responder) OnHttpRequestHeaders(int, bool) types.Action {
	r.wanted, _ = proxywasm.GetHttpRequestHeader("x-respond") // not every request has one
	return r.in("request-headers")
}

func (r *responder) OnHttpRequestBody(int, bool) types.Action { return r.in("request-body") }

func (r *responder) OnHttpRequestTrailers(int) types.Action { return r.in("request-trailers") }

func (r *responder) OnHttpResponseHeaders(int, bool) types.Action { return r.in("response-headers") }

func (r *responder) OnHttpResponseBody(int, bool) types.Action { return r.in("response-body") }

func (r *responder) OnHttpResponseTrailers(int) types.Action { return r.in("response-trailers") }

func (r *responder) in(phase string) types.Action {
	if phase != r.wanted {
		return types.ActionContinue
	}
	r.wanted = "" // one answer is enough: the phases of the answer itself come past here
	proxywasm.LogInfo("local-response: " + phase)
	check(proxywasm.SendHttpResponse(418, [][2]string{
		{"content-type", "text/plain"}, {"x-from", phase}, {"set-cookie", "a=b"}, {"set-cookie", "c=d"},
	}, []byte("answered in "+phase+"\n"), -1))
	return types.ActionPause
}
