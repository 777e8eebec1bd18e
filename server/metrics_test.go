package server

import (
	"context"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/extproc/extproc/plugin"
)

// TestMetrics: what an exchange leaves in the metrics.
func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	c, _ := current(t, plugin.FailClose)
	s := New(c, Options{Metrics: reg})
	play := func(does string, more ...string) {
		t.Helper()
		tp := &tape{msgs: []*extprocv3.ProcessingRequest{msg("qh x-do: " + does)}}
		for _, m := range more {
			tp.msgs = append(tp.msgs, msg(m))
		}
		tp.ctx = context.Background()
		_ = s.Process(tp)
	}
	play("stream-request", "qb abc", "qb eos", "rh :status: 200 eos")
	play("trap")
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP extproc_body_bytes_total Bytes of bodies that came from the proxy and went to it.
# TYPE extproc_body_bytes_total counter
extproc_body_bytes_total{message="request",way="received"} 3
extproc_body_bytes_total{message="request",way="sent"} 3
extproc_body_bytes_total{message="response",way="received"} 0
extproc_body_bytes_total{message="response",way="sent"} 0
# HELP extproc_plugin_exchanges_total Exchanges that the plugin has seen.
# TYPE extproc_plugin_exchanges_total counter
extproc_plugin_exchanges_total{plugin="scripted-0"} 2
# HELP extproc_plugin_failures_total Exchanges in which the plugin failed, by how it did and what became of them.
# TYPE extproc_plugin_failures_total counter
extproc_plugin_failures_total{kind="trapped",plugin="scripted-0",remedy="refused"} 1
`), "extproc_body_bytes_total", "extproc_plugin_exchanges_total", "extproc_plugin_failures_total")
	if err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			if h := m.GetHistogram(); h != nil {
				counts[name] = h.GetSampleCount()
			}
		}
	}
	for name, least := range map[string]uint64{
		"extproc_plugin_step_seconds request_headers scripted-0":      2,
		"extproc_plugin_step_seconds request_body scripted-0":         1,
		"extproc_plugin_step_seconds response_headers scripted-0":     1,
		"extproc_exchange_seconds passed ":                            1,
		"extproc_exchange_seconds refused ":                           1,
		"rpc_server_call_duration_seconds " + callMethod + " OK grpc": 2,
	} {
		if counts[name] < least {
			t.Errorf("%s: %d, want at least %d; there is %v", name, counts[name], least, counts)
		}
	}
	if n, last := s.Failures("scripted-0"); n != 1 || last == nil || !strings.Contains(last.Err.Error(), "trap") {
		t.Errorf("failures: %d, the last %v", n, last)
	}
	if n, last := s.Failures("other"); n != 0 || last != nil {
		t.Errorf("failures of no plugin: %d, %v", n, last)
	}
}
