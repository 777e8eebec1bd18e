package main

import (
	"fmt"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// body holds bodies back until they are whole, and replaces each with its length and its text in upper case.
type body struct {
	types.DefaultHttpContext
	request, response int // bytes held back
}

func (b *body) OnHttpRequestHeaders(_ int, end bool) types.Action {
	if !end {
		// The headers go on before the body is known, so its new length can't be in them.
		check(proxywasm.RemoveHttpRequestHeader("content-length"))
	}
	return types.ActionContinue
}

func (b *body) OnHttpRequestBody(size int, end bool) types.Action {
	b.request = size
	if !end {
		return types.ActionPause
	}
	b.replaceRequest()
	return types.ActionContinue
}

// Trailers are the end of a body that has them.
func (b *body) OnHttpRequestTrailers(int) types.Action {
	b.replaceRequest()
	return types.ActionContinue
}

func (b *body) replaceRequest() {
	if b.request == 0 {
		return
	}
	whole, err := proxywasm.GetHttpRequestBody(0, b.request)
	check(err)
	proxywasm.LogInfof("body: request of %d bytes", len(whole))
	check(proxywasm.ReplaceHttpRequestBody(changed(whole)))
}

func (b *body) OnHttpResponseHeaders(_ int, end bool) types.Action {
	if !end {
		check(proxywasm.RemoveHttpResponseHeader("content-length"))
	}
	return types.ActionContinue
}

func (b *body) OnHttpResponseBody(size int, end bool) types.Action {
	b.response = size
	if !end {
		return types.ActionPause
	}
	b.replaceResponse()
	return types.ActionContinue
}

func (b *body) OnHttpResponseTrailers(int) types.Action {
	b.replaceResponse()
	return types.ActionContinue
}

func (b *body) replaceResponse() {
	if b.response == 0 {
		return
	}
	whole, err := proxywasm.GetHttpResponseBody(0, b.response)
	check(err)
	proxywasm.LogInfof("body: response of %d bytes", len(whole))
	check(proxywasm.ReplaceHttpResponseBody(changed(whole)))
}

func changed(whole []byte) []byte {
	return fmt.Appendf(nil, "[%d]%s", len(whole), upper(whole))
}

// upper changes ASCII only, and no byte of anything else.
func upper(text []byte) []byte {
	out := make([]byte, len(text))
	for i, c := range text {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		out[i] = c
	}
	return out
}
