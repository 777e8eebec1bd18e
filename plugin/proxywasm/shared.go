package proxywasm

import (
	"errors"
	"sync/atomic"

	"github.com/extproc/extproc/plugin/host"
)

func sharedData(c *call) Status {
	m := c.cx.vm.machine
	e, err := c.cx.plugin.services.Data.Get(m.ctx, c.cx.vm.name(c.bytes(0)))
	if err != nil {
		return statusOf(err)
	}
	c.data, c.num[0] = e.Value, uint64(m.revisions.of(e.Revision))
	return OK
}

// setSharedData sets a key without a value whatever version is given, as Envoy
// does.
func setSharedData(c *call) Status {
	m := c.cx.vm.machine
	data, key, value := c.cx.plugin.services.Data, c.cx.vm.name(c.bytes(0)), c.bytes(1)
	version := c.u32(2)
	if version == 0 {
		return statusOf(data.Put(m.ctx, key, value, host.Always))
	}
	err := data.Put(m.ctx, key, value, host.Condition(m.revisions.revision(version)))
	if !errors.Is(err, host.ErrCasMismatch) {
		return statusOf(err)
	}
	now, gone := data.Get(m.ctx, key)
	switch {
	case errors.Is(gone, host.ErrNotFound):
		return statusOf(data.Put(m.ctx, key, value, host.Absent))
	case gone != nil:
		return statusOf(errors.Join(err, gone))
	case versionOf(now.Revision) == version: // an older one than was tried
		return statusOf(data.Put(m.ctx, key, value, host.Condition(now.Revision)))
	}
	return CasMismatch
}

// revisions maps those of a store, which have 64 bits, to the 32 that a guest has for
// them, of which 0 stands for none.
type revisions struct{ last atomic.Uint64 }

const (
	// span is how many versions there are.
	span = 1<<32 - 1
	// never is a revision that no key reaches.
	never = 1 << 63
)

// of is the version of a revision that a guest gets to see.
func (v *revisions) of(revision uint64) uint32 {
	for {
		last := v.last.Load()
		if revision <= last || v.last.CompareAndSwap(last, revision) {
			return versionOf(revision)
		}
	}
}

func versionOf(revision uint64) uint32 { return uint32(revision%span) + 1 }

// revision is the latest one of those seen that has a version. Where revisions are
// times, or others have written span times since, the key may have an older one.
func (v *revisions) revision(version uint32) uint64 {
	last := v.last.Load()
	revision := last - last%span + uint64(version-1)
	if revision > last && revision >= span {
		revision -= span
	}
	if revision > last || revision == 0 {
		return never
	}
	return revision
}

func defineMetric(c *call) Status {
	id, err := c.cx.vm.services().Metrics.Define(host.MetricKind(c.u32(0)), string(c.bytes(1)))
	c.num[0] = uint64(id)
	return statusOf(err)
}

func incrementMetric(c *call) Status {
	return statusOf(c.cx.vm.services().Metrics.Increment(c.u32(0), int64(c.u64(1))))
}

func recordMetric(c *call) Status {
	return statusOf(c.cx.vm.services().Metrics.Record(c.u32(0), c.u64(1)))
}

func metricValue(c *call) Status {
	value, err := c.cx.vm.services().Metrics.Get(c.u32(0))
	c.num[0] = value
	return statusOf(err)
}

func (v *vm) services() *host.Services { return v.machine.abi.services }
