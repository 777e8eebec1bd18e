package main

import (
	"strconv"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// meter counts requests, those under way, and the sizes that responses declare.
type meter struct {
	types.DefaultPluginContext
	requests proxywasm.MetricCounter
	active   proxywasm.MetricGauge
	sizes    proxywasm.MetricHistogram
}

func newMeter() types.PluginContext { return &meter{} }

func (m *meter) OnPluginStart(int) types.OnPluginStartStatus {
	m.requests = proxywasm.DefineCounterMetric("plugin_requests")
	m.active = proxywasm.DefineGaugeMetric("plugin_active")
	m.sizes = proxywasm.DefineHistogramMetric("plugin_sizes")
	return types.OnPluginStartStatusOK
}

func (m *meter) NewHttpContext(uint32) types.HttpContext { return &measured{meter: m} }

type measured struct {
	types.DefaultHttpContext
	*meter
}

func (m *measured) OnHttpRequestHeaders(int, bool) types.Action {
	m.requests.Increment(1)
	m.active.Add(1)
	return types.ActionContinue
}

func (m *measured) OnHttpResponseHeaders(int, bool) types.Action {
	if length, err := proxywasm.GetHttpResponseHeader("content-length"); err == nil {
		if n, err := strconv.ParseUint(length, 10, 64); err == nil {
			m.sizes.Record(n)
		}
	}
	check(proxywasm.ReplaceHttpResponseHeader("x-requests", strconv.FormatUint(m.requests.Value(), 10)))
	check(proxywasm.ReplaceHttpResponseHeader("x-active", strconv.FormatInt(m.active.Value(), 10)))
	return types.ActionContinue
}

func (m *measured) OnHttpStreamDone() { m.active.Add(-1) }
