package host

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// MetricKind is a kind of metric, numbered as proxy-wasm numbers them.
type MetricKind uint32

// The kinds of metrics.
const (
	Counter MetricKind = iota
	Gauge
	Histogram
	kindCount
)

// kindBits are the bits of an id that tell the kind, as in Envoy.
const kindBits = 2

// Bounds of what guests may define.
const (
	maxMetrics    = 10_000
	maxMetricName = 1024
)

// buckets are Envoy's default histogram buckets, upper bounds included.
var buckets = [...]float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000,
	300000, 600000, 1800000, 3600000}

// Metrics are those that guests define. All plugins share them by name, as in
// Envoy. They are safe for concurrent use and a prometheus.Collector.
type Metrics struct {
	mu       sync.Mutex
	ids      map[metricKey]uint32
	exported map[string]bool
	alike    map[string]int // how many share a name but for a number
	count    int
	byKind   [kindCount]atomic.Pointer[[]*metric]
}

type metricKey struct {
	kind MetricKind
	name string
}

type metric struct {
	desc   *prometheus.Desc
	value  atomic.Uint64
	sum    atomic.Uint64 // the bits of a float64
	counts []atomic.Uint64
}

// NewMetrics makes a set of metrics without any.
func NewMetrics() *Metrics {
	return &Metrics{ids: map[metricKey]uint32{}, exported: map[string]bool{}, alike: map[string]int{}}
}

// Define finds or makes a metric. Ids are never 0. The errors are ErrBadArgument
// for a kind or a name that can't be, and ErrFull.
func (m *Metrics) Define(kind MetricKind, name string) (id uint32, err error) {
	if kind >= kindCount || len(name) > maxMetricName {
		return 0, ErrBadArgument
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := metricKey{kind, name}
	if id, ok := m.ids[key]; ok {
		return id, nil
	}
	key.name = strings.Clone(name) // it may lie in a guest's memory
	if m.count >= maxMetrics {
		return 0, ErrFull
	}
	fresh := &metric{desc: prometheus.NewDesc(m.export(kind, name), "Defined by a plugin.", nil, nil)}
	if kind == Histogram {
		fresh.counts = make([]atomic.Uint64, len(buckets)+1)
	}
	list := append(m.list(kind), fresh)
	m.byKind[kind].Store(&list)
	id = uint32(len(list))<<kindBits | uint32(kind)
	m.ids[key] = id
	m.count++
	return id, nil
}

// Lookup finds a metric.
func (m *Metrics) Lookup(kind MetricKind, name string) (id uint32, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, ok = m.ids[metricKey{kind, name}]
	return id, ok
}

// export finds a name for a metric under which no other is exported: guests may
// give the same name to metrics of two kinds, and names that differ only in what
// Prometheus doesn't allow.
func (m *Metrics) export(kind MetricKind, name string) string {
	exported := "wasmcustom_" + strings.Map(func(c rune) rune {
		if c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			return c
		}
		return '_'
	}, name)
	if m.reserve(kind, exported) {
		return exported
	}
	exported += [kindCount]string{"_counter", "_gauge", "_histogram"}[kind]
	numbered := exported
	for !m.reserve(kind, numbered) {
		// A guest may choose names so that all but their numbers are alike.
		m.alike[exported]++
		numbered = fmt.Sprintf("%s_%d", exported, m.alike[exported])
	}
	return numbered
}

// reserve takes a name and the ones that Prometheus derives from it.
func (m *Metrics) reserve(kind MetricKind, name string) bool {
	names := []string{name}
	if kind == Histogram {
		names = append(names, name+"_bucket", name+"_count", name+"_sum")
	}
	for _, n := range names {
		if m.exported[n] {
			return false
		}
	}
	for _, n := range names {
		m.exported[n] = true
	}
	return true
}

func (m *Metrics) list(kind MetricKind) []*metric {
	if list := m.byKind[kind].Load(); list != nil {
		return *list
	}
	return nil
}

func (m *Metrics) find(id uint32) (*metric, MetricKind) {
	kind := MetricKind(id & (1<<kindBits - 1))
	if kind >= kindCount {
		return nil, kind
	}
	list := m.list(kind)
	if i := id >> kindBits; i > 0 && int(i) <= len(list) {
		return list[i-1], kind
	}
	return nil, kind
}

// Increment adds to a counter or gauge. ErrBadArgument says that a counter was
// to be changed by less than 1, or that the metric is a histogram.
func (m *Metrics) Increment(id uint32, delta int64) error {
	found, kind := m.find(id)
	switch {
	case kind >= Histogram:
		return ErrBadArgument
	case found == nil:
		return ErrNotFound
	case kind == Counter && delta <= 0:
		return ErrBadArgument
	}
	found.value.Add(uint64(delta))
	return nil
}

// Record sets a gauge, adds an observation to a histogram, and adds to a
// counter.
func (m *Metrics) Record(id uint32, value uint64) error {
	found, kind := m.find(id)
	if found == nil {
		return ErrNotFound
	}
	switch kind {
	case Counter:
		found.value.Add(value)
	case Gauge:
		found.value.Store(value)
	default:
		found.observe(float64(value))
	}
	return nil
}

func (m *metric) observe(v float64) {
	i := 0
	for i < len(buckets) && v > buckets[i] {
		i++
	}
	for {
		old := m.sum.Load()
		if m.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			break
		}
	}
	m.counts[i].Add(1)
}

// Get is the value of a counter or gauge; a gauge below 0 is its two's
// complement. ErrBadArgument says that the metric is a histogram.
func (m *Metrics) Get(id uint32) (uint64, error) {
	found, kind := m.find(id)
	switch {
	case kind >= Histogram:
		return 0, ErrBadArgument
	case found == nil:
		return 0, ErrNotFound
	}
	return found.value.Load(), nil
}

// Describe implements prometheus.Collector: which metrics there are is not known
// beforehand.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.list(Counter) {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(c.value.Load()))
	}
	for _, g := range m.list(Gauge) {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(int64(g.value.Load())))
	}
	for _, h := range m.list(Histogram) {
		ch <- h.histogram()
	}
}

func (m *metric) histogram() prometheus.Metric {
	upTo := make(map[float64]uint64, len(buckets))
	var count uint64
	for i, bound := range buckets {
		count += m.counts[i].Load()
		upTo[bound] = count
	}
	count += m.counts[len(buckets)].Load()
	return prometheus.MustNewConstHistogram(m.desc, count, math.Float64frombits(m.sum.Load()), upTo)
}
