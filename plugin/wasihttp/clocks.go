package wasihttp

import (
	"math"
	"time"

	"github.com/extproc/extproc/abi"
)

// start is the monotonic clock's zero.
var start = time.Now()

// monotonic is the monotonic clock, in nanoseconds.
func monotonic() int64 { return int64(time.Since(start)) }

func monotonicNow(_ *guest, c *abi.Call) error {
	c.Result = abi.U64(uint64(monotonic()))
	return nil
}

func monotonicResolution(_ *guest, c *abi.Call) error {
	c.Result = abi.U64(1)
	return nil
}

func subscribeInstant(g *guest, c *abi.Call) error {
	p := g.pollableFor(nil, nil)
	p.instant = int64(min(c.Args[0].Num, math.MaxInt64))
	c.ReturnOwn(p)
	return g.full()
}

func subscribeDuration(g *guest, c *abi.Call) error {
	p := g.pollableFor(nil, nil)
	now := uint64(monotonic())
	p.instant = int64(now + min(c.Args[0].Num, math.MaxInt64-now))
	c.ReturnOwn(p)
	return g.full()
}

func datetime(c *abi.Call, seconds int64, nanoseconds int) abi.Value {
	l := c.List(2)
	l[0], l[1] = abi.U64(uint64(seconds)), abi.U32(uint32(nanoseconds))
	return abi.Value{List: l}
}

func wallNow(_ *guest, c *abi.Call) error {
	now := time.Now()
	c.Result = datetime(c, now.Unix(), now.Nanosecond())
	return nil
}

func wallResolution(_ *guest, c *abi.Call) error {
	c.Result = datetime(c, 0, 1)
	return nil
}

// timezoneDisplay answers for UTC, the only time zone of guests.
func timezoneDisplay(_ *guest, c *abi.Call) error {
	l := c.List(3)
	l[0], l[1], l[2] = abi.Value{}, abi.String("UTC"), abi.Bool(false)
	c.Result = abi.Value{List: l}
	return nil
}

func timezoneOffset(_ *guest, c *abi.Call) error {
	c.Result = abi.Value{}
	return nil
}
