package main

import (
	"encoding/json"
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// jsonCheck lets no request through that says it is JSON and is not.
type jsonCheck struct {
	types.DefaultHttpContext
	checked bool // by its content type
	size    int
}

func (j *jsonCheck) OnHttpRequestHeaders(_ int, end bool) types.Action {
	kind, err := proxywasm.GetHttpRequestHeader("content-type")
	kind, _, _ = strings.Cut(strings.ToLower(kind), ";")
	kind = strings.TrimSpace(kind)
	j.checked = err == nil && !end && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
	return types.ActionContinue
}

func (j *jsonCheck) OnHttpRequestBody(size int, end bool) types.Action {
	if !j.checked {
		return types.ActionContinue
	}
	j.size = size
	if !end {
		return types.ActionPause
	}
	return j.judge()
}

func (j *jsonCheck) OnHttpRequestTrailers(int) types.Action {
	if !j.checked {
		return types.ActionContinue
	}
	return j.judge()
}

func (j *jsonCheck) judge() types.Action {
	var whole []byte
	if j.size > 0 {
		var err error
		whole, err = proxywasm.GetHttpRequestBody(0, j.size)
		check(err)
	}
	var value json.RawMessage
	err := json.Unmarshal(whole, &value)
	if err == nil {
		return types.ActionContinue
	}
	proxywasm.LogWarnf("json-check: %v", err)
	answer, _ := json.Marshal(map[string]string{"error": err.Error()}) // a map of texts can't fail
	check(proxywasm.SendHttpResponse(400, [][2]string{{"content-type", "application/json"}}, answer, -1))
	return types.ActionPause
}
