package server

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/extproc/extproc/plugin"
)

// metrics are the server's. Those of the protocol have the names of the proxy's
// own, so that the two sides can be subtracted.
type metrics struct {
	started, received, sent, failed, allowed, rejected prometheus.Counter
	cut, refused, starved                              prometheus.Counter

	// bodies counts bytes by direction, and by whether they came or went.
	bodies [2][2]prometheus.Counter

	exchanges, traps, timeouts, failures *prometheus.CounterVec
	reloaded, unreloaded, backedOff      *prometheus.CounterVec
	seconds, durations, calls            *prometheus.HistogramVec
	callOK                               prometheus.Observer

	mu     sync.RWMutex
	meters map[string]*meter
	routes map[string]*routeMeter
}

// meter is the metrics of one plugin.
type meter struct {
	all                         *metrics
	name                        string
	exchanges, traps, timeouts  prometheus.Counter
	reloaded, unreloaded, spare prometheus.Counter
	steps                       [steps]atomic.Pointer[prometheus.Observer]

	failures atomic.Uint64
	last     atomic.Pointer[LastFailure]
}

// LastFailure is the latest failure of a plugin.
type LastFailure struct {
	When time.Time
	Err  error
}

// steps are what a plugin may be stepped for: a message of each phase, or that
// something it waits for has come.
const (
	woken = 6
	steps = 7
)

var stepNames = func() (names [steps]string) {
	for d := range plugin.Direction(2) {
		for part := range plugin.Part(3) {
			names[step(plugin.Phase{Direction: d, Part: part})] = strings.ReplaceAll(plugin.Phase{Direction: d, Part: part}.String(), " ", "_")
		}
	}
	names[woken] = "wake"
	return names
}()

func step(p plugin.Phase) int { return int(p.Direction)*3 + int(p.Part) }

// outcome is how an exchange has ended.
type outcome uint8

const (
	outcomePassed  outcome = iota // plugins had it as they wanted
	outcomeLocal                  // a plugin answered in the upstream's place
	outcomeRefused                // a plugin's policy did
	outcomeBroken                 // the stream ended with an error
	outcomes
)

var outcomeNames = [outcomes]string{"passed", "local", "refused", "broken"}

// routeMeter is the metrics of a route, each made when it is first needed.
type routeMeter [outcomes]prometheus.Observer

// Buckets in seconds. A step of a plugin is a matter of microseconds.
var (
	stepBuckets = []float64{1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, .1, .25, 1, 10}
	// Those of OpenTelemetry's semantic conventions, and some for long exchanges.
	callBuckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60, 300}
)

func newMetrics(reg prometheus.Registerer, current *plugin.Current) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "extproc", Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		reg.MustRegister(v)
		return v
	}
	reg.MustRegister(instances{current})
	m := &metrics{
		started:    counter("streams_started", "Streams that the proxy has opened, one per exchange."),
		received:   counter("stream_msgs_received", "Messages received from the proxy."),
		sent:       counter("stream_msgs_sent", "Messages sent to the proxy."),
		failed:     counter("streams_failed", "Streams that ended with a failure."),
		allowed:    counter("failure_mode_allowed", "Exchanges that went on although their plugin failed."),
		rejected:   counter("rejected_header_mutations", "Changes of headers or trailers that were not passed on."),
		cut:        counter("streams_cut", "Exchanges that failed after their response had begun, so that the proxy breaks it off."),
		refused:    counter("streams_refused", "Streams beyond the limit of streams."),
		starved:    counter("streams_starved", "Times that an exchange had to wait because of the bodies that all hold."),
		exchanges:  vector("extproc_plugin_exchanges_total", "Exchanges that the plugin has seen.", "plugin"),
		failures:   vector("extproc_plugin_failures_total", "Exchanges in which the plugin failed, by how it did and what became of them.", "plugin", "kind", "remedy"),
		traps:      vector("extproc_plugin_traps_total", "Exchanges in which the plugin trapped.", "plugin"),
		timeouts:   vector("extproc_plugin_timeouts_total", "Exchanges in which the plugin ran too long.", "plugin"),
		reloaded:   vector("wasm_vm_reload_success", "Times that the plugin's instances were replaced as FAIL_RELOAD says.", "plugin"),
		unreloaded: vector("wasm_vm_reload_failure", "Exchanges for which no instance was to be had.", "plugin"),
		backedOff:  vector("wasm_vm_reload_backoff", "Failures after which instances were not replaced, as they had been a moment before.", "plugin"),
		seconds:    histogram("extproc_plugin_step_seconds", "Time that the plugin took for a step, by what it was stepped for.", stepBuckets, "plugin", "phase"),
		durations:  histogram("extproc_exchange_seconds", "How long exchanges took, by route and how they ended.", callBuckets, "route", "outcome"),
		calls: histogram("rpc_server_call_duration_seconds", "How long calls took: one is an exchange.", callBuckets,
			"rpc_system_name", "rpc_method", "rpc_response_status_code"),
		meters: map[string]*meter{},
		routes: map[string]*routeMeter{},
	}
	bodies := vector("extproc_body_bytes_total", "Bytes of bodies that came from the proxy and went to it.", "message", "way")
	for d, message := range [...]string{"request", "response"} {
		for way, name := range [...]string{"received", "sent"} {
			m.bodies[d][way] = bodies.WithLabelValues(message, name)
		}
	}
	m.callOK = m.call("OK")
	return m
}

// callMethod is the one method of the service, as OpenTelemetry names it.
const callMethod = "envoy.service.ext_proc.v3.ExternalProcessor/Process"

func (m *metrics) call(code string) prometheus.Observer {
	return m.calls.WithLabelValues("grpc", callMethod, code)
}

// ended takes note of an exchange's end.
func (m *metrics) ended(route string, how outcome, code string, took time.Duration) {
	m.route(route)[how].Observe(took.Seconds())
	if code == "OK" {
		m.callOK.Observe(took.Seconds())
		return
	}
	m.call(code).Observe(took.Seconds())
}

func (m *metrics) route(name string) *routeMeter {
	return remembered(&m.mu, m.routes, name, func() *routeMeter {
		r := &routeMeter{}
		for i, o := range outcomeNames {
			r[i] = m.durations.WithLabelValues(name, o)
		}
		return r
	})
}

// gauge registers a number that is there to be read.
func gauge(reg prometheus.Registerer, name, help string, read func() int64) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "extproc", Name: name, Help: help}, func() float64 { return float64(read()) }))
}

// plugin is the meter of a plugin; it outlives reloads.
func (m *metrics) plugin(name string) *meter {
	return remembered(&m.mu, m.meters, name, func() *meter {
		return &meter{
			all: m, name: name,
			exchanges:  m.exchanges.WithLabelValues(name),
			traps:      m.traps.WithLabelValues(name),
			timeouts:   m.timeouts.WithLabelValues(name),
			reloaded:   m.reloaded.WithLabelValues(name),
			unreloaded: m.unreloaded.WithLabelValues(name),
			spare:      m.backedOff.WithLabelValues(name),
		}
	})
}

// remembered is what a map has under a name, or what it is to have.
func remembered[T any](mu *sync.RWMutex, all map[string]*T, name string, fresh func() *T) *T {
	mu.RLock()
	one := all[name]
	mu.RUnlock()
	if one != nil {
		return one
	}
	mu.Lock()
	defer mu.Unlock()
	if one = all[name]; one == nil {
		one = fresh()
		all[name] = one
	}
	return one
}

// ran takes note of a step. Most plugins are never stepped for most phases: their
// histograms are made when they are.
func (m *meter) ran(step int, took time.Duration) {
	h := m.steps[step].Load()
	if h == nil {
		fresh := m.all.seconds.WithLabelValues(m.name, stepNames[step])
		h = &fresh
		m.steps[step].Store(h)
	}
	(*h).Observe(took.Seconds())
}

var remedyNames = [...]string{plugin.Finished: "finished", plugin.Passed: "passed", plugin.Refused: "refused"}

// failed takes note of a failure.
func (m *meter) failed(err error, then plugin.Remedy) {
	kind := "other" // of what it wants and the proxy can't be sent
	var f *plugin.Failure
	switch {
	case errors.As(err, &f):
		kind = strings.ReplaceAll(f.Kind.String(), " ", "_")
	case errors.Is(err, plugin.ErrTrap):
		kind = plugin.Trapped.String()
	case errors.Is(err, plugin.ErrNoInstance):
		kind = "no_instance"
		m.unreloaded.Inc()
	}
	m.all.failures.WithLabelValues(m.name, kind, remedyNames[then]).Inc()
	m.failures.Add(1)
	m.last.Store(&LastFailure{time.Now(), err})
	switch {
	case errors.Is(err, plugin.ErrTimeout):
		m.timeouts.Inc()
	case errors.Is(err, plugin.ErrTrap):
		m.traps.Inc()
	}
}

// Failures is how often a plugin has failed, and when it did last; nil if never.
func (s *Service) Failures(name string) (uint64, *LastFailure) {
	s.metrics.mu.RLock()
	m := s.metrics.meters[name]
	s.metrics.mu.RUnlock()
	if m == nil {
		return 0, nil
	}
	return m.failures.Load(), m.last.Load()
}

// instances collects what the modules of the current plugins say of themselves.
type instances struct{ current *plugin.Current }

var (
	busyDesc   = prometheus.NewDesc("extproc_plugin_instances_busy", "Instances at work on an exchange.", []string{"plugin"}, nil)
	idleDesc   = prometheus.NewDesc("extproc_plugin_instances_idle", "Instances that wait for an exchange.", []string{"plugin"}, nil)
	memoryDesc = prometheus.NewDesc("extproc_plugin_memory_bytes", "Memory of all instances; of VMs that plugins share, each tells the whole.", []string{"plugin"}, nil)
	activeDesc = prometheus.NewDesc("wasm_vm_active", "Instances of all plugins; of VMs that plugins share, each plugin counts.", nil, nil)
)

// Describe implements prometheus.Collector.
func (i instances) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{busyDesc, idleDesc, memoryDesc, activeDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (i instances) Collect(ch chan<- prometheus.Metric) {
	set := i.current.Acquire()
	if set == nil {
		return
	}
	defer set.Release()
	active := 0
	for _, p := range set.Plugins {
		gauge := func(desc *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, p.Spec.Name)
		}
		if counted, ok := p.Module.(plugin.Counted); ok {
			busy, idle := counted.Instances()
			gauge(busyDesc, float64(busy))
			gauge(idleDesc, float64(idle))
			gauge(memoryDesc, float64(counted.Memory()))
			active += busy + idle
		}
	}
	ch <- prometheus.MustNewConstMetric(activeDesc, prometheus.GaugeValue, float64(active))
}
