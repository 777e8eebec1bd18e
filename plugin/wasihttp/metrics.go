package wasihttp

import (
	"errors"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin/host"
)

// metric is the functions for metrics of one kind.
type metric host.MetricKind

const (
	counting  = metric(host.Counter)
	gauging   = metric(host.Gauge)
	observing = metric(host.Histogram)
)

// define finds or makes the metric that the first argument names. Otherwise it
// sets the call's result.
func (m metric) define(g *guest, c *abi.Call) (id uint32, ok bool) {
	name := c.Args[0].Str
	if name == "" {
		c.Result = c.ErrCase("invalid-name")
		return 0, false
	}
	id, err := g.mod.services.Metrics.Define(host.MetricKind(m), name)
	switch {
	case errors.Is(err, host.ErrFull):
		c.Result = c.ErrCase("too-many")
	case err != nil:
		c.Result = c.ErrCase("invalid-name")
	}
	return id, err == nil
}

// record adds to a counter, sets a gauge, or adds an observation to a histogram.
func (m metric) record(g *guest, c *abi.Call) error {
	id, ok := m.define(g, c)
	if !ok {
		return nil
	}
	c.ReturnOk()
	return g.mod.services.Metrics.Record(id, c.Args[1].Num)
}

func (m metric) adjust(g *guest, c *abi.Call) error {
	id, ok := m.define(g, c)
	if !ok {
		return nil
	}
	c.ReturnOk()
	return g.mod.services.Metrics.Increment(id, int64(c.Args[1].Num))
}

// read is a metric's value, 0 if there is none. It makes none.
func (m metric) read(g *guest, c *abi.Call) error {
	metrics := g.mod.services.Metrics
	if id, ok := metrics.Lookup(host.MetricKind(m), c.Args[0].Str); ok {
		value, err := metrics.Get(id)
		c.Result = abi.U64(value)
		return err
	}
	c.Result = abi.U64(0)
	return nil
}
