package main

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// reportConfig lists paths of properties, to be read in each phase. Of those in Sizes, whose values are never the same twice, the size is shown.
type reportConfig struct{ Request, Response, Log, Sizes [][]string }

// report shows properties: those of the request and of the response in response headers, the others in the log when all is over.
type report struct {
	types.DefaultHttpContext
	config  *reportConfig
	request []string // rendered
}

func newReport(c *reportConfig) types.HttpContext { return &report{config: c} }

func (r *report) OnHttpRequestHeaders(int, bool) types.Action {
	for _, path := range r.config.Request {
		r.request = append(r.request, rendered(path))
	}
	return types.ActionContinue
}

func (r *report) OnHttpResponseHeaders(int, bool) types.Action {
	for i, path := range r.config.Request {
		check(proxywasm.AddHttpResponseHeader("x-at-request-"+strings.Join(path, "."), r.request[i]))
	}
	for _, path := range r.config.Response {
		check(proxywasm.AddHttpResponseHeader("x-at-response-"+strings.Join(path, "."), rendered(path)))
	}
	for _, path := range r.config.Sizes {
		check(proxywasm.AddHttpResponseHeader("x-size-"+strings.Join(path, "."), size(path)))
	}
	return types.ActionContinue
}

func (r *report) OnHttpStreamDone() {
	for _, path := range r.config.Log {
		proxywasm.LogInfo("properties: " + strings.Join(path, ".") + " = " + rendered(path))
	}
}

func size(path []string) string {
	value, err := proxywasm.GetProperty(path)
	if err != nil {
		return "(none)"
	}
	return strconv.Itoa(len(value))
}

// rendered is a property as a header can hold it: numbers are bytes, and so in hexadecimal.
func rendered(path []string) string {
	value, err := proxywasm.GetProperty(path)
	if err != nil {
		return "(none)"
	}
	for _, c := range value {
		if c < ' ' || c > '~' {
			return "0x" + hex.EncodeToString(value)
		}
	}
	return `"` + string(value) + `"`
}
