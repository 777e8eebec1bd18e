package host

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	define := func(kind MetricKind, name string) uint32 {
		t.Helper()
		id, err := m.Define(kind, name)
		if again, _ := m.Define(kind, name); err != nil || again != id || id == 0 {
			t.Fatalf("%s: %d %d %v", name, id, again, err)
		}
		return id
	}
	counter, gauge, histogram := define(Counter, "a.b"), define(Gauge, "a-b"), define(Histogram, "tïme")
	define(Counter, "t__me_count") // free, but for the histogram's
	for _, tc := range []struct {
		what string
		err  error
		want error
	}{
		{"counter +3", m.Increment(counter, 3), nil},
		{"counter +0", m.Increment(counter, 0), ErrBadArgument},
		{"counter -1", m.Increment(counter, -1), ErrBadArgument},
		{"counter records", m.Record(counter, 4), nil},
		{"gauge +1", m.Increment(gauge, 1), nil},
		{"gauge -3", m.Increment(gauge, -3), nil},
		{"histogram +1", m.Increment(histogram, 1), ErrBadArgument},
		{"histogram records", m.Record(histogram, 5), nil},
		{"histogram records", m.Record(histogram, 6), nil},
		{"histogram records", m.Record(histogram, math.MaxUint64), nil},
		{"none +1", m.Increment(0, 1), ErrNotFound},
		{"none records", m.Record(counter+64, 1), ErrNotFound},
		{"a fourth kind records", m.Record(7, 1), ErrNotFound},
		{"a fourth kind +1", m.Increment(7, 1), ErrBadArgument},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: %v, expected %v", tc.what, tc.err, tc.want)
		}
	}
	if v, err := m.Get(counter); v != 7 || err != nil {
		t.Errorf("counter %d %v", v, err)
	}
	if v, err := m.Get(gauge); int64(v) != -2 || err != nil {
		t.Errorf("gauge %d %v", v, err)
	}
	if _, err := m.Get(histogram); !errors.Is(err, ErrBadArgument) {
		t.Errorf("histogram: %v", err)
	}
	if _, err := m.Get(1 << 20); !errors.Is(err, ErrNotFound) {
		t.Errorf("none: %v", err)
	}
	text := exposition(t, m)
	for _, line := range []string{"wasmcustom_a_b 7", "wasmcustom_a_b_gauge -2", `wasmcustom_t_me_bucket{le="5"} 1`, `wasmcustom_t_me_bucket{le="10"} 2`,
		`wasmcustom_t_me_bucket{le="+Inf"} 3`, "wasmcustom_t_me_count 3", "wasmcustom_t__me_count 0", "# TYPE wasmcustom_t_me histogram"} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
}

func exposition(t *testing.T, m *Metrics) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// TestMetricNames: whatever guests call their metrics, all can be exported.
func TestMetricNames(t *testing.T) {
	m := NewMetrics()
	names := []string{"", "a", "a_count", "a_sum", "a_bucket", "a.count", "a_histogram", "a_histogram_count", "a_count_histogram", "a\xff", "a\x00\n", "a{b=\"c\"}", strings.Repeat("n", maxMetricName)}
	n := 0
	for _, kind := range []MetricKind{Histogram, Counter, Gauge} {
		for _, name := range names {
			if _, err := m.Define(kind, name); err != nil {
				t.Errorf("%q: %v", name, err)
			}
			n++
		}
	}
	if got := strings.Count(exposition(t, m), "# TYPE wasmcustom_"); got != n {
		t.Errorf("%d of %d metrics are exported", got, n)
	}
	for _, bad := range []struct {
		kind MetricKind
		name string
	}{{kindCount, "a"}, {math.MaxUint32, "a"}, {Counter, strings.Repeat("n", maxMetricName+1)}} {
		if _, err := m.Define(bad.kind, bad.name); !errors.Is(err, ErrBadArgument) {
			t.Errorf("kind %d, %d bytes: %v", bad.kind, len(bad.name), err)
		}
	}
}

// TestMetricNamesAlike: names that can't be told apart once they are exported cost
// no more than others.
func TestMetricNamesAlike(t *testing.T) {
	m := NewMetrics()
	began := time.Now()
	for i := range maxMetrics {
		name := string([]byte{0x80 | byte(i)&0x7f, 0x80 | byte(i>>7)&0x7f})
		if _, err := m.Define(Counter, name); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestMetricsBound(t *testing.T) {
	m := NewMetrics()
	for i := range maxMetrics {
		if _, err := m.Define(Gauge, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Define(Gauge, "one more"); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := m.Define(Gauge, "7"); err != nil {
		t.Errorf("one that there is: %v", err)
	}
}

// TestMetricsConcurrently: nothing is lost while others define and collect.
func TestMetricsConcurrently(t *testing.T) {
	m := NewMetrics()
	id, _ := m.Define(Counter, "n")
	h, _ := m.Define(Histogram, "h")
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 1000 {
				_ = m.Increment(id, 1)
				_ = m.Record(h, 1)
				if i%50 == 0 {
					_, _ = m.Define(Counter, fmt.Sprint("x", w, i))
					exposition(t, m)
				}
			}
		})
	}
	all.Wait()
	if v, _ := m.Get(id); v != 4000 {
		t.Errorf("%d", v)
	}
	if text := exposition(t, m); !strings.Contains(text, "wasmcustom_h_sum 4000\n") || !strings.Contains(text, "wasmcustom_h_count 4000\n") {
		t.Error(text)
	}
}

func BenchmarkMetricIncrement(b *testing.B) {
	m := NewMetrics()
	id, _ := m.Define(Counter, "n")
	b.ReportAllocs()
	for b.Loop() {
		_ = m.Increment(id, 1)
	}
}
