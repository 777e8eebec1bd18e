package wasihttp

import (
	"errors"
	"math"

	"github.com/extproc/extproc/abi"
)

var (
	errPollNothing   = errors.New("poll: the list is empty")
	errTooManyHandle = errors.New("more handles held at once than an exchange may need")
)

const maxPollables = 1 << 16

// waitable is what a guest may wait for. ready reports whether the wait is
// over; if not, it sees to it that the guest is stepped when that may have
// changed.
type waitable interface {
	ready(g *guest) bool
}

// always is a waitable that is ready.
type always struct{}

func (always) ready(*guest) bool { return true }

// pollable is the resource of that name: it waits for something, or until an
// instant when on is nil.
type pollable struct {
	on       waitable
	instant  int64
	siblings *int // number of pollables of the resource it is a child of
}

func (g *guest) pollableFor(on waitable, siblings *int) *pollable {
	p := g.pollables.take()
	p.on, p.siblings = on, siblings
	if siblings != nil {
		*siblings++
	}
	return p
}

func (p *pollable) ready(g *guest) bool {
	if p.on != nil {
		return p.on.ready(g)
	}
	if p.instant <= monotonic() {
		return true
	}
	g.wakeAt = min(g.wakeAt, p.instant)
	return false
}

func dropPollable(g *guest, p *pollable) {
	if p.siblings != nil {
		*p.siblings--
	}
	g.pollables.give(p)
}

// orphan takes note of a resource that is dropped while it has children.
func (g *guest) orphan(children int) {
	if children > 0 {
		g.fault = errChildren
	}
}

// full is the error of a guest that holds more than it may.
func (g *guest) full() error {
	switch {
	case g.pollables.live > maxPollables, g.fieldSets.live > maxFieldSets:
		return errTooManyHandle
	case g.held > maxHeldBytes:
		return errFieldsHeld
	}
	return nil
}

func pollableReady(g *guest, c *abi.Call) error {
	ready := c.Args[0].Obj.(*pollable).ready(g)
	c.Result = abi.Bool(ready)
	if !ready {
		return g.idle()
	}
	return nil
}

func pollableBlock(g *guest, c *abi.Call) error {
	return g.await(c.Args[0].Obj.(*pollable))
}

func poll(g *guest, c *abi.Call) error {
	list := c.Args[0].List
	if len(list) == 0 {
		return errPollNothing
	}
	ready := c.List(len(list))[:0]
	for {
		vain := true
		for i := range list {
			p := list[i].Obj.(*pollable)
			if p.ready(g) {
				ready = append(ready, abi.U32(uint32(i)))
			}
			vain = vain && g.vain(p)
		}
		if len(ready) > 0 {
			c.Result = abi.Value{List: ready}
			return nil
		}
		if vain {
			return errAskedFirst
		}
		if err := g.swap(); err != nil {
			return err
		}
	}
}

// never is an instant that doesn't come.
const never = math.MaxInt64
