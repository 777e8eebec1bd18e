package proxywasm

import (
	"slices"

	"github.com/extproc/extproc/plugin/host"
)

func sharedData(c *call) Status {
	value, cas, ok := c.cx.vm.services().Data.Get(c.cx.vm.machine.vmID, string(c.bytes(0)))
	if !ok {
		return NotFound
	}
	c.data, c.num[0] = value, uint64(cas)
	return OK
}

func setSharedData(c *call) Status {
	return statusOf(c.cx.vm.services().Data.Set(c.cx.vm.machine.vmID, string(c.bytes(0)), slices.Clone(c.bytes(1)), c.u32(2)))
}

func registerQueue(c *call) Status {
	root := c.cx.root
	if root.id == 0 {
		return InternalFailure
	}
	id, unregister := root.vm.services().Queues.Register(root.vm.machine.vmID, string(c.bytes(0)), func(id uint32) {
		root.vm.post(func() { root.queueReady(id) })
	})
	if id == 0 {
		return InternalFailure
	}
	root.queues = append(root.queues, unregister)
	c.num[0] = uint64(id)
	return OK
}

func (cx *Context) queueReady(id uint32) {
	if cx.gone() {
		return
	}
	cx.lines = 0
	_, _ = cx.vm.invoke(cx, onQueueReady, uint64(cx.id), uint64(id)) // a failed VM has taken note
}

func resolveQueue(c *call) Status {
	vmID := c.cx.vm.machine.vmID
	if other := c.bytes(0); len(other) > 0 {
		vmID = string(other)
	}
	id, ok := c.cx.vm.services().Queues.Resolve(vmID, string(c.bytes(1)))
	if !ok {
		return NotFound
	}
	c.num[0] = uint64(id)
	return OK
}

func enqueue(c *call) Status {
	return statusOf(c.cx.vm.services().Queues.Enqueue(c.u32(0), slices.Clone(c.bytes(1))))
}

func dequeue(c *call) Status {
	data, err := c.cx.vm.services().Queues.Dequeue(c.u32(0))
	c.data = data
	return statusOf(err)
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
