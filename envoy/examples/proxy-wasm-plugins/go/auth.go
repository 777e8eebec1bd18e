package main

import (
	"strconv"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

type authConfig struct {
	// Cluster is the service to ask, Path what it is asked for.
	Cluster, Path string
	// Timeout is in milliseconds.
	Timeout uint32
}

// auth asks a service whether a request may pass, and who sends it.
type auth struct {
	types.DefaultHttpContext
	config *authConfig
}

func newAuth(c *authConfig) types.HttpContext { return &auth{config: c} }

func (a *auth) OnHttpRequestHeaders(int, bool) types.Action {
	ask := [][2]string{{":method", "GET"}, {":path", a.config.Path}, {":authority", a.config.Cluster}}
	if token, err := proxywasm.GetHttpRequestHeader("authorization"); err == nil {
		ask = append(ask, [2]string{"authorization", token})
	}
	if _, err := proxywasm.DispatchHttpCall(a.config.Cluster, ask, nil, nil, a.config.Timeout, a.answered); err != nil {
		proxywasm.LogErrorf("auth-callout: %v", err)
		a.refuse(503, "text/plain", []byte("the auth service can't be called\n"))
	}
	return types.ActionPause
}

// answered is called without headers if there was no answer.
func (a *auth) answered(headers, size, _ int) {
	if headers == 0 {
		proxywasm.LogError("auth-callout: no answer")
		a.refuse(503, "text/plain", []byte("the auth service can't be reached\n"))
		return
	}
	fields, err := proxywasm.GetHttpCallResponseHeaders()
	check(err)
	status, kind, user := "", "text/plain", ""
	for _, f := range fields {
		switch f[0] {
		case ":status":
			status = f[1]
		case "content-type":
			kind = f[1]
		case "x-user":
			user = f[1]
		}
	}
	proxywasm.LogInfo("auth-callout: " + status)
	if status == "200" {
		check(proxywasm.ReplaceHttpRequestHeader("x-user", user))
		check(proxywasm.ResumeHttpRequest())
		return
	}
	var text []byte
	if size > 0 {
		text, err = proxywasm.GetHttpCallResponseBody(0, size)
		check(err)
	}
	code, err := strconv.Atoi(status)
	check(err)
	a.refuse(uint32(code), kind, text)
}

func (*auth) refuse(status uint32, kind string, text []byte) {
	check(proxywasm.SendHttpResponse(status, [][2]string{{"content-type", kind}}, text, -1))
}
