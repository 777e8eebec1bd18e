package proxywasm

import (
	"time"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// Context is a root or stream context of a VM (specification, "Terminology"). It
// is used by whoever holds the VM's lock.
type Context struct {
	id     uint32
	vm     *vm
	plugin *Module
	root   *Context // of a root context itself
	stream *stream  // what a stream context works on, else nil
	lines  int      // logged so far
	// foreign is what foreign functions keep.
	foreign foreignState

	// The rest is of root contexts.

	configuring bool // pluginConfig is there to be read
	readRootID  bool
	leaving     bool // on_done has answered that it is not done
	left        bool // proxy_done was called since
	tick        tick
	calls       map[uint32]*callout
	queues      map[uint32]func() // by id: unregister
	// What the callback that runs was called for.
	response          *host.HTTPResponse
	initial, trailing plugin.Headers
	message           []byte
	foreignArguments  []byte
	status            uint32
	statusMessage     string
}

// tick is the timer of a root context.
type tick struct {
	period time.Duration
	timer  *time.Timer
	due    bool // an event is on its way
}

// effectiveContext is the context that hostcalls are about: the one the callback
// that runs was called with, unless the guest has chosen another.
func (v *vm) effectiveContext() *Context {
	if v.effective != 0 {
		if cx := v.contexts[v.effective]; cx != nil {
			return cx
		}
	}
	return v.current
}

// newContext gives out an id. Ids are never used twice.
func (v *vm) newContext(cx *Context) {
	v.next++
	cx.id, cx.vm = v.next, v
	v.contexts[cx.id] = cx
}

func setEffectiveContext(c *call) Status {
	v := c.cx.vm
	id := c.u32(0)
	if id != 0 && v.contexts[id] == nil {
		return BadArgument
	}
	v.effective = id
	return OK
}

func done(c *call) Status {
	root := c.cx.root
	if !root.leaving || root.left {
		return NotFound
	}
	root.left = true
	return OK
}

func currentTime(c *call) Status {
	c.num[0] = uint64(time.Now().UnixNano())
	return OK
}

// configuration is what 0.1.0 has in place of two buffers.
func configuration(c *call) Status {
	if c.cx.root.configuring {
		c.data = c.cx.plugin.spec.Config
	} else {
		c.data = c.cx.vm.machine.config
	}
	return OK
}

// setTickPeriod starts, changes or stops the timer of the root context.
func setTickPeriod(c *call) Status {
	root := c.cx.root
	if root.id == 0 {
		return InternalFailure
	}
	root.setTick(time.Duration(c.u32(0)) * time.Millisecond)
	return OK
}

func (cx *Context) setTick(period time.Duration) {
	t := &cx.tick
	t.period = period
	switch {
	case period == 0:
		if t.timer != nil {
			t.timer.Stop()
		}
	case t.timer == nil:
		t.timer = time.AfterFunc(period, cx.postTick)
	case !t.due:
		t.timer.Reset(period)
	}
}

// postTick is called by the timer.
func (cx *Context) postTick() { cx.vm.post(cx.runTick) }

func (cx *Context) runTick() {
	if cx.tick.period == 0 || cx.gone() {
		return
	}
	cx.tick.due = true
	cx.lines = 0
	_, _ = cx.vm.invoke(cx, onTick, uint64(cx.id)) // a failed VM has taken note
	cx.tick.due = false
	if cx.tick.period > 0 && !cx.gone() {
		cx.tick.timer.Reset(cx.tick.period)
	}
}

// gone says whether the context is not to be called any more.
func (cx *Context) gone() bool { return cx.vm.dead != nil || cx.left || cx.vm.contexts[cx.id] != cx }

// end lets go of what the host holds for a root context.
func (cx *Context) end() {
	cx.tick.period = 0
	if cx.tick.timer != nil {
		cx.tick.timer.Stop()
	}
	for _, c := range cx.calls {
		c.cancel()
	}
	clear(cx.calls)
	for _, unregister := range cx.queues {
		unregister()
	}
	cx.queues = nil
}
