package host

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// StoreMetrics are those of the stores of one server. It is a
// prometheus.Collector.
type StoreMetrics struct {
	up      *prometheus.GaugeVec
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	stores  *stores

	mu    sync.Mutex
	links map[*Link]bool // whether each is connected
}

// newStoreMetrics makes the metrics, of the memory among stores too.
func newStoreMetrics(s *stores) *StoreMetrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "extproc", Subsystem: "store", Name: name, Help: help}
	}
	histogram := prometheus.HistogramOpts{
		Namespace: "extproc", Subsystem: "store", Name: "call_seconds", Help: "How long calls of a store have taken.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	}
	return &StoreMetrics{
		up:      prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("connected", "Whether the store is to be reached; of several of a kind, whether all are.")), []string{"store"}),
		calls:   prometheus.NewCounterVec(prometheus.CounterOpts(opts("calls_total", "Calls of a store, by what came of them.")), []string{"store", "operation", "result"}),
		seconds: prometheus.NewHistogramVec(histogram, []string{"store", "operation"}),
		stores:  s,
		links:   map[*Link]bool{},
	}
}

func (m *StoreMetrics) connected(l *Link, yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.links[l] = yes
	m.show(l.name)
}

func (m *StoreMetrics) closed(l *Link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.links, l)
	m.show(l.name)
}

// show sets the gauge of the stores of a name: one that is closed may have a
// successor already. The lock is held.
func (m *StoreMetrics) show(name string) {
	some, value := false, 1.
	for l, up := range m.links {
		if l.name == name {
			some = true
			if !up {
				value = 0
			}
		}
	}
	if !some {
		m.up.DeleteLabelValues(name)
		return
	}
	m.up.WithLabelValues(name).Set(value)
}

// results are the words for what came of a call.
var results = []struct {
	err  error
	word string
}{
	{ErrUnavailable, "unavailable"}, {ErrNotFound, "not_found"}, {ErrEmpty, "empty"}, {ErrFull, "full"},
	{ErrTooMany, "too_many"}, {ErrCasMismatch, "cas_mismatch"}, {ErrBadArgument, "bad_argument"},
}

func (m *StoreMetrics) call(store, operation string, err error, took time.Duration) {
	word := "ok"
	for _, r := range results {
		if errors.Is(err, r.err) {
			word = r.word
			break
		}
	}
	m.calls.WithLabelValues(store, operation, word).Inc()
	if took > 0 {
		m.seconds.WithLabelValues(store, operation).Observe(took.Seconds())
	}
}

var (
	memoryEntries = prometheus.NewDesc("extproc_store_memory_entries", "Values in this process's memory.", nil, nil)
	memoryBytes   = prometheus.NewDesc("extproc_store_memory_bytes", "Bytes that values and items take in this process's memory.", nil, nil)
	memoryItems   = prometheus.NewDesc("extproc_store_memory_items", "Items of queues in this process's memory.", nil, nil)
	memoryExpired = prometheus.NewDesc("extproc_store_memory_expired_total", "Values in this process's memory whose time was up.", nil, nil)
	memoryEvicted = prometheus.NewDesc("extproc_store_memory_evicted_total", "Values in this process's memory that made room for others before their time was up.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m *StoreMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *StoreMetrics) Collect(ch chan<- prometheus.Metric) {
	m.up.Collect(ch)
	m.calls.Collect(ch)
	m.seconds.Collect(ch)
	data, items := m.stores.data.count(), m.stores.queues.count()
	gauge := func(d *prometheus.Desc, n int) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	gauge(memoryEntries, data.entries)
	gauge(memoryBytes, data.bytes+items.bytes)
	gauge(memoryItems, items.items)
	ch <- prometheus.MustNewConstMetric(memoryExpired, prometheus.CounterValue, float64(data.expired))
	ch <- prometheus.MustNewConstMetric(memoryEvicted, prometheus.CounterValue, float64(data.evicted))
}
