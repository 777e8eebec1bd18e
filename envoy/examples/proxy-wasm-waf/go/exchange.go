package main

import (
	"net"
	"strconv"
	"strings"

	coraza_types "github.com/corazawaf/coraza/v3/types"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// exchange is one request and its response under the rules.
type exchange struct {
	types.DefaultHttpContext
	tx       coraza_types.Transaction
	protocol string
	request  intake
	response intake
}

// intake is how far a body has been read.
type intake struct {
	read int
	done bool // judged, or not to be
}

func (e *exchange) OnHttpRequestHeaders(_ int, end bool) types.Action {
	client, clientPort := address("source")
	server, serverPort := address("destination")
	e.tx.ProcessConnection(client, clientPort, server, serverPort)
	fields, err := proxywasm.GetHttpRequestHeaders()
	check(err)
	e.protocol = "HTTP/1.1"
	if p, err := proxywasm.GetProperty([]string{"request", "protocol"}); err == nil {
		e.protocol = string(p)
	}
	var method, path string
	for _, f := range fields {
		switch name, value := f[0], f[1]; name {
		case ":method":
			method = value
		case ":path":
			path = value
		case ":authority":
			e.tx.AddRequestHeader("host", value)
			host, _, found := strings.Cut(value, ":")
			if found {
				value = host
			}
			e.tx.SetServerName(value)
		case ":scheme":
		default:
			e.tx.AddRequestHeader(name, value)
		}
	}
	e.tx.ProcessURI(path, method, e.protocol)
	if e.refused(e.tx.ProcessRequestHeaders()) {
		return types.ActionPause
	}
	if end {
		return e.requestEnd()
	}
	return types.ActionContinue
}

// OnHttpRequestBody holds the body back until it is whole and judged. size is all that is held.
func (e *exchange) OnHttpRequestBody(size int, end bool) types.Action {
	if e.request.done {
		return types.ActionContinue
	}
	if e.tx.IsRequestBodyAccessible() && size > e.request.read {
		part, err := proxywasm.GetHttpRequestBody(e.request.read, size-e.request.read)
		check(err)
		e.request.read = size
		it, _, err := e.tx.WriteRequestBody(part)
		check(err)
		if e.refused(it) {
			return types.ActionPause
		}
	}
	if end {
		return e.requestEnd()
	}
	if !e.tx.IsRequestBodyAccessible() {
		return types.ActionContinue
	}
	return types.ActionPause
}

func (e *exchange) OnHttpRequestTrailers(int) types.Action { return e.requestEnd() }

// requestEnd runs the rules on the whole request, once: those of the body also when there is none.
func (e *exchange) requestEnd() types.Action {
	if e.request.done {
		return types.ActionContinue
	}
	e.request.done = true
	it, err := e.tx.ProcessRequestBody()
	check(err)
	if e.refused(it) {
		return types.ActionPause
	}
	return types.ActionContinue
}

func (e *exchange) OnHttpResponseHeaders(_ int, end bool) types.Action {
	if e.tx.IsInterrupted() {
		return types.ActionContinue // this is the refusal itself
	}
	fields, err := proxywasm.GetHttpResponseHeaders()
	check(err)
	code := 0
	for _, f := range fields {
		if f[0] == ":status" {
			code, err = strconv.Atoi(f[1])
			check(err)
			continue
		}
		e.tx.AddResponseHeader(f[0], f[1])
	}
	if e.refused(e.tx.ProcessResponseHeaders(code, e.protocol)) {
		return types.ActionPause
	}
	e.response.done = end || !e.tx.IsResponseBodyAccessible() || !e.tx.IsResponseBodyProcessable()
	if !e.response.done {
		// The headers go on before the body is judged, and a refused body has another length.
		check(proxywasm.RemoveHttpResponseHeader("content-length"))
	}
	return types.ActionContinue
}

// OnHttpResponseBody holds the body back until it is whole and judged.
func (e *exchange) OnHttpResponseBody(size int, end bool) types.Action {
	if e.response.done || e.tx.IsInterrupted() {
		return types.ActionContinue
	}
	if size > e.response.read {
		part, err := proxywasm.GetHttpResponseBody(e.response.read, size-e.response.read)
		check(err)
		e.response.read = size
		it, _, err := e.tx.WriteResponseBody(part)
		check(err)
		if it != nil {
			return e.withhold()
		}
	}
	if !end {
		return types.ActionPause
	}
	return e.responseEnd()
}

func (e *exchange) OnHttpResponseTrailers(int) types.Action {
	if e.response.done || e.tx.IsInterrupted() {
		return types.ActionContinue
	}
	return e.responseEnd()
}

func (e *exchange) responseEnd() types.Action {
	it, err := e.tx.ProcessResponseBody()
	check(err)
	if it != nil {
		return e.withhold()
	}
	e.response.done = true
	return types.ActionContinue
}

// withhold empties a body whose headers are with the client already.
func (e *exchange) withhold() types.Action {
	e.response.done = true
	check(proxywasm.ReplaceHttpResponseBody(nil))
	return types.ActionContinue
}

// OnHttpStreamDone runs the rules of the last phase and writes the audit log.
func (e *exchange) OnHttpStreamDone() {
	e.tx.ProcessLogging()
	check(e.tx.Close())
}

// refused answers in the upstream's place if the rules ask for it.
func (e *exchange) refused(it *coraza_types.Interruption) bool {
	if it == nil {
		return false
	}
	e.request.done, e.response.done = true, true
	fields := [][2]string{{"content-type", "text/plain"}}
	status := it.Status
	if it.Action == "redirect" {
		fields = append(fields, [2]string{"location", it.Data})
	}
	if status == 0 {
		status = 403
	}
	check(proxywasm.SendHttpResponse(uint32(status), fields, []byte("refused by rule "+strconv.Itoa(it.RuleID)+"\n"), -1))
	return true
}

// address is one end of the client's connection: "source" or "destination".
func address(end string) (host string, port int) {
	text, err := proxywasm.GetProperty([]string{end, "address"})
	if err != nil {
		return "", 0
	}
	host, p, err := net.SplitHostPort(string(text))
	if err != nil {
		return string(text), 0
	}
	port, _ = strconv.Atoi(p) // 0 where there are no ports
	return host, port
}

// check logs a failure that changes nothing about what happens next.
func check(err error) {
	if err != nil {
		proxywasm.LogErrorf("waf: %v", err)
	}
}
