package server

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/extproc/extproc/plugin"
)

// metrics are the server's. Those of the protocol have the names of the proxy's
// own, so that the two sides can be subtracted.
type metrics struct {
	started, received, sent, failed, allowed, rejected prometheus.Counter
	cut, refused, starved                              prometheus.Counter

	exchanges, failures, traps, timeouts, reloads, backoffs, seconds *prometheus.CounterVec

	mu     sync.RWMutex
	meters map[string]*meter
}

// meter is the metrics of one plugin.
type meter struct {
	exchanges, failures, traps, timeouts, reloads, backoffs, seconds prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, current *plugin.Current) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "extproc", Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vector := func(name, help string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "extproc", Subsystem: "plugin", Name: name, Help: help}, []string{"plugin"})
		reg.MustRegister(v)
		return v
	}
	reg.MustRegister(instances{current})
	return &metrics{
		started:   counter("streams_started", "Streams that the proxy has opened, one per exchange."),
		received:  counter("stream_msgs_received", "Messages received from the proxy."),
		sent:      counter("stream_msgs_sent", "Messages sent to the proxy."),
		failed:    counter("streams_failed", "Streams that ended with a failure."),
		allowed:   counter("failure_mode_allowed", "Exchanges that went on although their plugin failed."),
		rejected:  counter("rejected_header_mutations", "Changes of headers or trailers that were not passed on."),
		cut:       counter("streams_cut", "Exchanges that failed after their response had begun, so that the proxy breaks it off."),
		refused:   counter("streams_refused", "Streams beyond the limit of streams."),
		starved:   counter("streams_starved", "Times that an exchange had to wait because of the bodies that all hold."),
		exchanges: vector("exchanges_total", "Exchanges that the plugin has seen."),
		failures:  vector("failures_total", "Exchanges in which the plugin failed, for whatever reason."),
		traps:     vector("traps_total", "Exchanges in which the plugin trapped."),
		timeouts:  vector("timeouts_total", "Exchanges in which the plugin ran too long."),
		reloads:   vector("reloads_total", "Times that the plugin's instances were replaced as FAIL_RELOAD says."),
		backoffs:  vector("reload_backoffs_total", "Failures after which they were not, as they had been a moment before."),
		seconds:   vector("seconds_total", "Time spent in the plugin."),
		meters:    map[string]*meter{},
	}
}

// gauge registers a number that is there to be read.
func gauge(reg prometheus.Registerer, name, help string, read func() int64) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "extproc", Name: name, Help: help}, func() float64 { return float64(read()) }))
}

// plugin is the meter of a plugin; it outlives reloads.
func (m *metrics) plugin(name string) *meter {
	m.mu.RLock()
	one := m.meters[name]
	m.mu.RUnlock()
	if one != nil {
		return one
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if one = m.meters[name]; one == nil {
		one = &meter{
			exchanges: m.exchanges.WithLabelValues(name),
			failures:  m.failures.WithLabelValues(name),
			traps:     m.traps.WithLabelValues(name),
			timeouts:  m.timeouts.WithLabelValues(name),
			reloads:   m.reloads.WithLabelValues(name),
			backoffs:  m.backoffs.WithLabelValues(name),
			seconds:   m.seconds.WithLabelValues(name),
		}
		m.meters[name] = one
	}
	return one
}

// instances collects what the modules of the current plugins say of themselves.
type instances struct{ current *plugin.Current }

var (
	busyDesc = prometheus.NewDesc("extproc_plugin_instances_busy", "Instances at work on an exchange.", []string{"plugin"}, nil)
	idleDesc = prometheus.NewDesc("extproc_plugin_instances_idle", "Instances that wait for an exchange.", []string{"plugin"}, nil)
)

// Describe implements prometheus.Collector.
func (i instances) Describe(ch chan<- *prometheus.Desc) { ch <- busyDesc; ch <- idleDesc }

// Collect implements prometheus.Collector.
func (i instances) Collect(ch chan<- prometheus.Metric) {
	set := i.current.Acquire()
	if set == nil {
		return
	}
	defer set.Release()
	for _, p := range set.Plugins {
		counted, ok := p.Module.(plugin.Counted)
		if !ok {
			continue
		}
		busy, idle := counted.Instances()
		ch <- prometheus.MustNewConstMetric(busyDesc, prometheus.GaugeValue, float64(busy), p.Spec.Name)
		ch <- prometheus.MustNewConstMetric(idleDesc, prometheus.GaugeValue, float64(idle), p.Spec.Name)
	}
}
