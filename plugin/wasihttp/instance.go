package wasihttp

import (
	"context"
	"iter"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
)

// instance is an instance of a plugin with the goroutine it runs on. The two
// goroutines that meet here pass a baton: of the stream's and the guest's one
// runs, and the other waits. iter.Pull switches between them without the
// scheduler.
type instance struct {
	abi     *abi.Instance
	handler *abi.Func
	guest   *guest // whose exchange it works on
	watch   plugin.Watchdog
	age     uint64 // of the module when it was made

	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
}

func newInstance(i *abi.Instance, handler *abi.Func) *instance {
	inst := &instance{abi: i, handler: handler}
	inst.watch.Stop = i.Stop
	inst.next, inst.stop = iter.Pull(inst.run)
	return inst
}

// run is the guest's goroutine: one exchange after the other.
func (i *instance) run(yield func(struct{}) bool) {
	i.yield = yield
	for {
		i.guest.handle()
		if !yield(struct{}{}) {
			return
		}
	}
}

// resume lets the guest run until it waits or its handler has returned.
func (i *instance) resume(g *guest, now plugin.Instant) {
	var due plugin.Instant
	if g.ex != nil {
		due = g.ex.Due
	}
	i.abi.Rest()
	if now == 0 {
		now = plugin.Now()
	}
	limit, by := g.mod.spec.Limits.Allowance(g.used, now, due)
	if by == plugin.Unbound {
		i.next()
		return
	}
	g.by = by
	i.watch.Begin(now, limit)
	i.next()
	g.used += i.watch.End(plugin.Now())
}

// unwind ends a guest that waits: the host function it waits in fails.
func (i *instance) unwind() { i.stop() }

// overran reports whether the guest was stopped for running too long.
func (i *instance) overran() bool { return i.watch.Fired() }

// close ends the instance and its goroutine.
func (i *instance) close() {
	i.stop()
	i.abi.Close(context.Background())
}
