package host

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

func TestSharedData(t *testing.T) {
	d := NewSharedData(DataLimits{})
	if _, cas, ok := d.Get("vm", "k"); ok || cas != 0 {
		t.Error("a key before it is set")
	}
	buffer := []byte("one")
	if err := d.Set("vm", "k", buffer, 0); err != nil {
		t.Fatal(err)
	}
	copy(buffer, "two") // the guest's memory changes
	if v, cas, ok := d.Get("vm", "k"); !ok || string(v) != "one" || cas != 1 {
		t.Errorf("%s %d %t", v, cas, ok)
	}
	if _, _, ok := d.Get("other", "k"); ok {
		t.Error("another vm_id sees the key")
	}
	if err := d.Set("vm", "k", buffer, 7); !errors.Is(err, ErrCasMismatch) {
		t.Errorf("set with a wrong version: %v", err)
	}
	if err := d.Set("vm", "k", buffer, 1); err != nil {
		t.Errorf("set with the right version: %v", err)
	}
	if err := d.Set("vm", "k", nil, 1); !errors.Is(err, ErrCasMismatch) {
		t.Errorf("set with the old version: %v", err)
	}
	if err := d.Set("vm", "empty", nil, 9); err != nil { // as in Envoy
		t.Errorf("set without a value: %v", err)
	}
	keys := d.Keys("vm")
	slices.Sort(keys)
	if !slices.Equal(keys, []string{"empty", "k"}) || d.Keys("other") != nil {
		t.Errorf("keys %q", keys)
	}
	_, cas, _ := d.Get("vm", "k")
	if err := d.Remove("vm", "k", cas+1); !errors.Is(err, ErrCasMismatch) {
		t.Errorf("remove with a wrong version: %v", err)
	}
	if err := d.Remove("vm", "k", cas); err != nil {
		t.Errorf("remove: %v", err)
	}
	for _, vm := range []string{"vm", "other"} {
		if err := d.Remove(vm, "k", 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("remove what is gone: %v", err)
		}
	}
	_ = d.Set("vm", "k", nil, 0)
	if _, again, _ := d.Get("vm", "k"); again <= cas {
		t.Errorf("version %d after %d", again, cas)
	}
	d.Forget("vm")
	if d.Keys("vm") != nil {
		t.Error("keys after Forget")
	}
}

func TestSharedDataVersionWraps(t *testing.T) {
	d := NewSharedData(DataLimits{})
	d.version = 1<<32 - 2
	for range 3 {
		_ = d.Set("vm", "k", nil, 0)
		if _, cas, _ := d.Get("vm", "k"); cas == 0 {
			t.Error("version 0")
		}
	}
}

func TestSharedDataLimits(t *testing.T) {
	d := NewSharedData(DataLimits{Bytes: 10 * (entryCost + 2), Entries: 5})
	for i := range 5 {
		if err := d.Set("vm", strconv.Itoa(i), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Set("vm", "5", nil, 0); !errors.Is(err, ErrFull) {
		t.Errorf("the sixth entry: %v", err)
	}
	if err := d.Set("other", "5", nil, 0); err != nil {
		t.Errorf("another vm_id: %v", err)
	}
	for _, size := range []int{5*(entryCost+2) + 2, 1 << 20} {
		if err := d.Set("vm", "0", make([]byte, size), 0); !errors.Is(err, ErrFull) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if v, _, _ := d.Get("vm", "0"); string(v) != "x" {
		t.Errorf("the value is %q after a failure", v)
	}
	if err := d.Set("vm", "0", make([]byte, 5*(entryCost+2)+1), 0); err != nil {
		t.Errorf("what just fits: %v", err)
	}
	if err := d.Set("vm", "1", []byte("y"), 0); err != nil {
		t.Errorf("of the same size, in a full store: %v", err)
	}
	for i := range 5 {
		if err := d.Remove("vm", strconv.Itoa(i), 0); err != nil {
			t.Error(err)
		}
	}
	if n := d.spaces["vm"].bytes; n != 0 {
		t.Errorf("%d bytes in an empty store", n)
	}
}

func TestSharedDataExpires(t *testing.T) {
	d := NewSharedData(DataLimits{Entries: 3})
	now := time.Now()
	d.now = func() time.Time { return now }
	set := func(key string, lifetime time.Duration) {
		t.Helper()
		if err := d.SetFor("vm", key, nil, 0, lifetime); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	set("b", 2*time.Second)
	set("a", time.Second)
	set("ever", 0)
	now = now.Add(time.Second)
	if keys := d.Keys("vm"); len(keys) != 2 || slices.Contains(keys, "a") {
		t.Errorf("after a second: %q", keys)
	}
	if _, _, ok := d.Get("vm", "a"); ok {
		t.Error("a is still there")
	}
	set("c", time.Hour) // there is room again
	set("b", time.Hour) // lives longer
	now = now.Add(time.Minute)
	if keys := d.Keys("vm"); len(keys) != 3 {
		t.Errorf("after a minute: %q", keys)
	}
	set("b", 0)
	now = now.Add(24 * time.Hour)
	_ = d.Remove("vm", "none", 0)
	if keys := d.Keys("vm"); len(keys) != 2 || len(d.spaces["vm"].expiry) != 0 || d.expired != 2 {
		t.Errorf("after a day: %q, %d to expire, %d expired", keys, len(d.spaces["vm"].expiry), d.expired)
	}
}

// TestSharedDataCounts: with compare-and-swap no increment is lost, however many
// count at once; and of two sets with one version one wins.
func TestSharedDataCounts(t *testing.T) {
	d := NewSharedData(DataLimits{})
	_ = d.Set("vm", "n", []byte("0"), 0)
	const workers, each = 8, 500
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for done := 0; done < each; {
				value, cas, _ := d.Get("vm", "n")
				n, _ := strconv.Atoi(string(value))
				if d.Set("vm", "n", strconv.AppendInt(nil, int64(n+1), 10), cas) == nil {
					done++
				}
			}
		})
	}
	all.Wait()
	if v, cas, _ := d.Get("vm", "n"); string(v) != strconv.Itoa(workers*each) || cas != workers*each+1 {
		t.Errorf("%s, version %d", v, cas)
	}
}

// TestSharedDataModel: any sequence of operations does what a plain map would.
func TestSharedDataModel(t *testing.T) {
	type known struct {
		value string
		cas   uint32
	}
	random := rand.New(rand.NewPCG(1, 2))
	d := NewSharedData(DataLimits{Entries: 20, Bytes: 4000})
	model := map[string]known{}
	versions := map[uint32]bool{}
	for step := range 20_000 {
		key := fmt.Sprint("k", random.IntN(30))
		want, exists := model[key]
		cas := []uint32{0, want.cas, want.cas + 1}[random.IntN(3)]
		mismatch := exists && cas != 0 && cas != want.cas
		switch random.IntN(3) {
		case 0:
			value, version, ok := d.Get("vm", key)
			if ok != exists || string(value) != want.value || version != want.cas {
				t.Fatalf("step %d: get %s: %q %d %t, expected %v", step, key, value, version, ok, want)
			}
		case 1:
			value := fmt.Sprintf("%*d", random.IntN(100), step)
			bytes := 0
			for k, v := range model {
				if k != key {
					bytes += len(k) + len(v.value) + entryCost
				}
			}
			bytes += len(key) + len(value) + entryCost
			full := !exists && len(model) == 20 || bytes > 4000 && len(value) > len(want.value)
			err := d.Set("vm", key, []byte(value), cas)
			if errors.Is(err, ErrCasMismatch) != mismatch || !mismatch && errors.Is(err, ErrFull) != full {
				t.Fatalf("step %d: set %s: %v, mismatch %t, full %t", step, key, err, mismatch, full)
			}
			if err == nil {
				_, version, _ := d.Get("vm", key)
				if versions[version] {
					t.Fatalf("step %d: version %d repeats", step, version)
				}
				versions[version] = true
				model[key] = known{value, version}
			}
		case 2:
			err := d.Remove("vm", key, cas)
			if errors.Is(err, ErrCasMismatch) != mismatch || errors.Is(err, ErrNotFound) == exists {
				t.Fatalf("step %d: remove %s: %v", step, key, err)
			}
			if err == nil {
				delete(model, key)
			}
		}
	}
}

func BenchmarkSharedDataGet(b *testing.B) {
	d := NewSharedData(DataLimits{})
	_ = d.Set("vm", "key", make([]byte, 64), 0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d.Get("vm", "key")
		}
	})
}

func BenchmarkSharedDataSet(b *testing.B) {
	d := NewSharedData(DataLimits{})
	value := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		_ = d.Set("vm", "key", value, 0)
	}
}
