package proxywasm

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// distant is a store that takes its time, or isn't there.
type distant struct {
	host.Data
	near  host.Bucket
	delay time.Duration
	gone  bool
	// apart is how far revisions are apart, as they are where they are times; 0 is 1.
	apart uint64
}

func (d *distant) Bucket(space string, lifetime time.Duration) host.Bucket {
	return &distant{near: d.Data.Bucket(space, lifetime), delay: d.delay, gone: d.gone, apart: max(d.apart, 1)}
}

func (d *distant) Get(ctx context.Context, key string) (host.Entry, error) {
	time.Sleep(d.delay)
	if d.gone {
		return host.Entry{}, fmt.Errorf("%w: as it happens", host.ErrUnavailable)
	}
	e, err := d.near.Get(ctx, key)
	e.Revision *= d.apart
	return e, err
}

func (d *distant) Put(ctx context.Context, key string, value []byte, on host.Condition) error {
	if d.gone {
		return host.ErrUnavailable
	}
	if on != host.Always && on != host.Absent {
		if uint64(on)%d.apart != 0 {
			return host.ErrCasMismatch
		}
		on /= host.Condition(d.apart)
	}
	return d.near.Put(ctx, key, value, on)
}

func (d *distant) Remove(ctx context.Context, key string, on host.Condition) error {
	return d.near.Remove(ctx, key, on)
}

func (d *distant) Add(ctx context.Context, key string, by int64) (int64, error) {
	return d.near.Add(ctx, key, by)
}

func (d *distant) Keys(ctx context.Context, from string, most int) ([]string, error) {
	return d.near.Keys(ctx, from, most)
}

// far has plugins use a store that is not this process's memory.
func far(t *testing.T, d *distant, timeout time.Duration) (*ABI, func(*plugin.Spec)) {
	t.Helper()
	d.Data = host.NewMemoryData(host.DataLimits{})
	services := host.NewServices(func(plugin.Store, *host.StoreMetrics) (*host.Store, error) {
		return &host.Store{Data: d, Queues: host.NewMemoryQueues(host.QueueLimits{}), Timeout: timeout, Close: func() error { return nil }}, nil
	})
	return newABI(t, Config{Services: services}), func(s *plugin.Spec) { s.Store.URL = "far" }
}

// TestStoreWaits: waiting for a store is not running time, but doesn't go on for ever.
func TestStoreWaits(t *testing.T) {
	const delay = 200 * time.Millisecond
	a, spec := far(t, &distant{delay: delay}, delay)
	answered, refused := 0, 0
	m, _ := perform(t, a, script{onRequestHeaders: func(p *player) uint32 {
		for range 10 * patience {
			if p.call("get_shared_data", "k").Status == InternalFailure {
				refused++
			} else {
				answered++
			}
		}
		return 0
	}}, spec, func(s *plugin.Spec) { s.Limits.Timeout = 3 * delay })
	begin(t, m).request(true).ok()
	// Each has waited for the timeout or, on a slow machine, longer.
	if answered < 1 || answered > patience || refused != 10*patience-answered {
		t.Errorf("%d calls were answered, %d refused; expected %d answers", answered, refused, patience)
	}
}

// TestStoreGone: a guest is told.
func TestStoreGone(t *testing.T) {
	a, spec := far(t, &distant{gone: true}, time.Second)
	m, _ := perform(t, a, script{onRequestHeaders: func(p *player) uint32 {
		for _, c := range [][]any{{"get_shared_data", "k"}, {"set_shared_data", "k", "v", 0}, {"set_shared_data", "k", "v", 7}} {
			if got := p.call(c[0].(string), c[1:]...); got.Status != InternalFailure {
				t.Errorf("%v: %v, expected INTERNAL_FAILURE", c, got.Status)
			}
		}
		return 0
	}}, spec)
	begin(t, m).request(true).ok()
}

// TestVersions: a guest's 32 bits stand for the revision it has seen, at any height.
func TestVersions(t *testing.T) {
	for _, start := range []uint64{1, span - 2, span, 3*span - 2, 1795885683678499114, math.MaxUint64/2 - 100} {
		var r revisions
		seen := map[uint32]bool{}
		for revision := start; revision < start+5; revision++ {
			version := r.of(revision)
			if version == 0 || seen[version] {
				t.Errorf("revision %d has the version %d", revision, version)
			}
			seen[version] = true
			if got := r.revision(version); got != revision {
				t.Errorf("version %d stands for %d, expected %d", version, got, revision)
			}
		}
		if got := r.revision(r.of(start)); got != start {
			t.Errorf("%d, of before the last, comes back as %d", start, got)
		}
	}
	var none revisions
	for _, version := range []uint32{1, 2, math.MaxUint32} {
		if got := none.revision(version); got != never {
			t.Errorf("version %d, which nobody has seen, stands for %d", version, got)
		}
	}
}

// TestLifetime: what plugins write goes after the time that each has for it.
func TestLifetime(t *testing.T) {
	a := newABI(t, Config{})
	write := script{onRequestHeaders: func(p *player) uint32 {
		p.must("set_shared_data", p.cx.plugin.spec.Name, "x", 0)
		return 0
	}}
	short, _ := perform(t, a, write, func(s *plugin.Spec) { s.Name, s.SharedData.Lifetime = "short", time.Second })
	long, _ := perform(t, a, write, func(s *plugin.Spec) { s.Name = "long" })
	begin(t, short).request(true).ok()
	begin(t, long).request(true).ok()
	data := a.services.Store.Data.Bucket("", 0)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		keys, err := data.Keys(t.Context(), "", 10)
		if err != nil || len(keys) == 1 && keys[0] == "long" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after 20 s there are %q", keys)
		}
	}
}

// TestOldVersions: what was written long ago can be compared and swapped, whatever
// else was read since.
func TestOldVersions(t *testing.T) {
	a, spec := far(t, &distant{apart: 3 << 32}, time.Second)
	m, _ := perform(t, a, script{onRequestHeaders: func(p *player) uint32 {
		p.must("set_shared_data", "old", "x", 0)
		p.must("set_shared_data", "new", "x", 0)
		version := int(p.must("get_shared_data", "old").num[0])
		p.must("get_shared_data", "new")
		p.must("set_shared_data", "old", "y", version)
		if got := p.call("set_shared_data", "old", "z", version); got.Status != CasMismatch {
			t.Errorf("with the version of before: %v, expected CAS_MISMATCH", got.Status)
		}
		return 0
	}}, spec)
	begin(t, m).request(true).ok()
}

// TestRegisterAgain: a guest that registers a queue again and again is one subscriber.
func TestRegisterAgain(t *testing.T) {
	m, _ := perform(t, newABI(t, Config{}), script{onRequestHeaders: func(p *player) uint32 {
		for range 100 {
			p.must("register_shared_queue", "q")
		}
		if n := len(p.cx.root.queues); n != 1 {
			t.Errorf("%d subscriptions", n)
		}
		return 0
	}})
	begin(t, m).request(true).ok()
}
