package host

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/extproc/extproc/plugin"
)

// counted opens stores that are memory too, and counts those that are open.
type counted map[string]int

func (c counted) open(config plugin.Store, _ *StoreMetrics) (*Store, error) {
	if config.URL == "bad" {
		return nil, errors.New("no such store")
	}
	c[config.URL]++
	return &Store{
		Data: NewMemoryData(DataLimits{}), Queues: NewMemoryQueues(QueueLimits{}),
		Close: func() error { c[config.URL]--; return nil },
	}, nil
}

// TestStoresInUse: plugins of one configuration have one store; it ends with the last
// of them, memory never does.
func TestStoresInUse(t *testing.T) {
	open := counted{}
	services := NewServices(open.open)
	spec := func(url, vmID string) *plugin.Spec {
		return &plugin.Spec{Store: plugin.Store{URL: url}, VM: plugin.VM{ID: vmID}}
	}
	a, b := using(t, services, spec("one", "a")), using(t, services, spec("one", "b"))
	if open["one"] != 1 || a.Store != b.Store {
		t.Errorf("%d stores for one configuration", open["one"])
	}
	if err := a.Data.Put(t.Context(), "k", nil, Always); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Data.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another vm_id sees the key: %v", err)
	}
	next := using(t, services, spec("two", "a"))
	a.Close()
	a.Close()
	if open["one"] != 1 || open["two"] != 1 {
		t.Errorf("after a reload: %v are open", open)
	}
	b.Close()
	if open["one"] != 0 {
		t.Error("a store that nobody uses is open")
	}
	next.Close()
	if _, err := services.For(spec("bad", "")); err == nil {
		t.Error("a store that can't be opened is opened")
	}
	if _, err := NewServices(nil).For(spec("one", "")); err == nil {
		t.Error("a store is opened that nobody knows how to open")
	}
}

// TestMemoryOutlivesReloads: what was shared in memory stays as long as somebody has
// the vm_id, also with other limits.
func TestMemoryOutlivesReloads(t *testing.T) {
	services := NewServices(nil)
	spec := func(entries int) *plugin.Spec {
		return &plugin.Spec{Store: plugin.Store{Limits: plugin.StoreLimits{Entries: entries}}}
	}
	old := using(t, services, spec(5))
	_ = old.Data.Put(t.Context(), "k", []byte("x"), Always)
	fresh := using(t, services, spec(1))
	old.Close()
	if e, err := fresh.Data.Get(t.Context(), "k"); err != nil || string(e.Value) != "x" {
		t.Errorf("after a reload: %q, %v", e.Value, err)
	}
	if err := fresh.Data.Put(t.Context(), "more", nil, Always); !errors.Is(err, ErrFull) {
		t.Errorf("with a limit of 1 entry: %v", err)
	}
	fresh.Close()
	if _, err := using(t, services, spec(5)).Data.Get(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after the last has gone: %v", err)
	}
}

// TestStoreMetrics: what memory holds is shown.
func TestStoreMetrics(t *testing.T) {
	services := NewServices(nil)
	own := using(t, services, &plugin.Spec{})
	_ = own.Data.Put(t.Context(), "k", []byte("x"), Always)
	q, _ := own.Store.Queues.Open(t.Context(), "", "q")
	_ = q.Enqueue(t.Context(), []byte("x"))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(services.StoreMetrics)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		m := f.GetMetric()[0]
		got = append(got, fmt.Sprint(f.GetName(), " ", m.GetGauge().GetValue()+m.GetCounter().GetValue()))
	}
	want := fmt.Sprintf("extproc_store_memory_bytes %d\nextproc_store_memory_entries 1\nextproc_store_memory_evicted_total 0\nextproc_store_memory_expired_total 0\nextproc_store_memory_items 1",
		2+entryCost+1+itemCost)
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
