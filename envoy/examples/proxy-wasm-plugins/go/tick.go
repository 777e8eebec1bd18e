package main

import (
	"strconv"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

type tickConfig struct {
	// Period is in milliseconds; after Count ticks there are no more.
	Period, Count uint32
}

// ticker counts ticks and shows their number in responses.
type ticker struct {
	types.DefaultPluginContext
	config tickConfig
	count  uint32
}

func newTicker() types.PluginContext { return &ticker{config: tickConfig{Period: 1000, Count: 10}} }

func (t *ticker) OnPluginStart(size int) types.OnPluginStartStatus {
	if !read(&t.config, size) {
		return types.OnPluginStartStatusFailed
	}
	check(proxywasm.SetTickPeriodMilliSeconds(t.config.Period))
	return types.OnPluginStartStatusOK
}

func (t *ticker) OnTick() {
	t.count++
	proxywasm.LogInfof("tick: %d", t.count)
	if t.count == t.config.Count {
		check(proxywasm.SetTickPeriodMilliSeconds(0))
	}
}

func (t *ticker) NewHttpContext(uint32) types.HttpContext { return &tickReader{ticker: t} }

type tickReader struct {
	types.DefaultHttpContext
	ticker *ticker
}

func (r *tickReader) OnHttpResponseHeaders(int, bool) types.Action {
	check(proxywasm.ReplaceHttpResponseHeader("x-ticks", strconv.Itoa(int(r.ticker.count))))
	return types.ActionContinue
}
