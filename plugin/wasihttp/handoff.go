package wasihttp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// errClosed unwinds a guest whose exchange is over.
var errClosed = errors.New("the exchange is over")

// guest is what a guest has of one exchange, and memory for the next. It is used
// by one goroutine at a time: the stream's, which steps it, or the guest's own,
// which runs while a step waits for it.
type guest struct {
	work
	mod *Module

	fieldSets slab[fields]
	pollables slab[pollable]
	pumps     []*outgoingBody
	calls     []*host.Call
	lists     []plugin.Headers
	text      plugin.Copies
	buffer    []byte

	stdout, stderr lines

	wake  *plugin.Bell
	timer *time.Timer
}

// work is what a guest has of one exchange alone.
type work struct {
	ex   *plugin.Exchange
	task func() error     // what to do if there is no exchange
	told *plugin.Exchange // whose properties can be asked for then
	inst *instance        // leased from the first step until handle has returned

	in       [2]incoming // by direction
	bound    [2]*outgoingBody
	made     [2]outgoing // the first messages the guest makes
	makes    int         // how many it has made
	chain    futureResponse
	answered bool       // response-outparam was set
	code     *errorCode // what it was set to, if not a response

	read   plugin.Chunk // what it was last given of a body
	held   int          // bytes in changed fields
	logged int
	pseudo [4]plugin.Field

	ctx    context.Context // of callouts; nil before the first
	cancel context.CancelFunc
	wakeAt int64 // when the guest wants to be stepped by itself
	idled  int   // answers in a row that told the guest to come back later

	used   time.Duration // running time so far
	by     plugin.Bound  // what it is stopped by
	waited time.Duration // for the store so far
	items  int           // of queues that it holds
	result error         // of handle, or of the task
	ended  bool          // handle returned, or never will
	fault  error         // a broken rule that the guest is told of at its next call
}

// Step implements plugin.Guest.
func (g *guest) step(ctx context.Context) (plugin.Status, error) {
	if !g.ended {
		if !g.ex.Request.Arrived {
			return g.skip(), nil
		}
		began := g.ex.Began
		if g.inst == nil {
			if q := &g.ex.Request; q.Unseen && len(q.Original) == 0 {
				return plugin.Status{}, &plugin.Failure{Plugin: g.mod.spec.Name, Kind: plugin.Unanswered, Message: "can't be shown a request of which the proxy sends neither headers (mode SKIP) nor attributes"}
			}
			if err := g.begin(ctx); err != nil {
				return plugin.Status{}, err
			}
			began = 0 // an instance may have been waited for
		}
		g.inst.resume(g, began)
		if g.ended {
			if err := g.conclude(ctx); err != nil {
				return plugin.Status{}, err
			}
		}
	} else {
		g.pump()
	}
	if b := g.bound[plugin.Response]; g.ended && b != nil && b.aborted {
		return plugin.Status{}, &plugin.Failure{
			Plugin: g.mod.spec.Name, Kind: plugin.Unanswered, Message: "the body handed on as that of the response broke off", Err: b.source.err,
		}
	}
	return g.status(), nil
}

// skip lets an exchange pass that begins with its response, as when an earlier
// filter has answered, if nothing is told of the request: there is none to handle.
func (g *guest) skip() plugin.Status {
	m := &g.ex.Response
	if !m.Arrived {
		return plugin.Status{}
	}
	m.Headers, m.Plan, m.Released = m.Original, plugin.Untouched, true
	g.ended = true
	return plugin.Status{Done: true}
}

// begin leases an instance and readies it for the exchange.
func (g *guest) begin(ctx context.Context) error {
	inst, err := g.mod.pool.LeaseBy(ctx, g.ex.Due)
	if err != nil {
		return fmt.Errorf("plugin %s: %w: %w", g.mod.spec.Name, plugin.ErrNoInstance, err)
	}
	g.inst = inst
	g.in[plugin.Request].arrive(&g.ex.Request)
	g.wakeAt = never
	inst.guest = g
	inst.abi.SetData(g)
	return nil
}

// swap hands over to the stream's goroutine, until the exchange has gone on.
// What the guest has left open so far is decided.
func (g *guest) swap() error {
	g.gaveOut(plugin.Chunk{}) // it may wait for long
	for _, b := range g.bound {
		if b != nil {
			b.mustDecide(g)
			b.flush()
		}
	}
	for _, c := range g.calls {
		c.Flush()
	}
	if !g.inst.yield(struct{}{}) {
		return errClosed
	}
	g.wakeAt, g.idled = never, 0
	g.pump()
	return g.fault
}

// await waits for something.
func (g *guest) await(w waitable) error {
	for !w.ready(g) {
		if g.vain(w) {
			return errAskedFirst
		}
		if err := g.swap(); err != nil {
			return err
		}
	}
	return nil
}

// vain reports a wait for the response to a request that will not be sent: the
// body that is made for one that came without goes with its headers.
func (g *guest) vain(w waitable) bool {
	if p, ok := w.(*pollable); ok {
		w = p.on
	}
	b := g.bound[plugin.Request]
	return w == waitable(&g.chain) && b != nil && b.msg.NoBody && b.state != fresh && !b.finished && !b.aborted
}

const (
	idleMaximum = 16
	idlePause   = time.Millisecond
)

// idle is called for every answer that tells a guest to come back later. One
// that does so in a loop would never let the exchange go on: it is made to wait.
func (g *guest) idle() error {
	if g.idled++; g.idled < idleMaximum {
		return nil
	}
	g.wakeAt = min(g.wakeAt, monotonic()+int64(idlePause))
	return g.swap()
}

// wakeSoon has the guest stepped again as soon as its body was taken.
func (g *guest) wakeSoon(b *outgoingBody) {
	if b.call == nil {
		g.wake.Ring()
	}
}

// pump moves what arrived for bodies that the guest left to the host, and
// forgets what it doesn't want.
func (g *guest) pump() {
	for i := 0; i < len(g.pumps); {
		b := g.pumps[i]
		b.move(g)
		if b.moved || b.aborted {
			g.unpump(b)
			continue
		}
		i++
	}
	for _, c := range g.calls {
		c.Flush()
	}
	for i := range g.in {
		g.in[i].body.discard()
	}
}

func (g *guest) unpump(b *outgoingBody) {
	for i := range g.pumps {
		if g.pumps[i] == b {
			g.pumps = append(g.pumps[:i], g.pumps[i+1:]...)
			return
		}
	}
}

// status is how a step has ended.
func (g *guest) status() plugin.Status {
	if g.ended && len(g.pumps) == 0 {
		g.finish()
		return plugin.Status{Done: true}
	}
	if g.wakeAt != never {
		g.arm(time.Duration(g.wakeAt - monotonic()))
	}
	if g.wakeAt != never || len(g.calls) > 0 || g.wake.Ringing() {
		return plugin.Status{Wake: g.wake}
	}
	return plugin.Status{}
}

func (g *guest) arm(d time.Duration) {
	if g.timer == nil {
		g.timer = time.AfterFunc(d, g.wake.Ring)
		return
	}
	g.timer.Reset(d)
}

// handle runs the guest's handler, or its task, on the guest's goroutine.
func (g *guest) handle() {
	defer func() {
		if r := recover(); r != nil {
			g.result = fmt.Errorf("host function panicked: %v", r)
		}
		g.ended = true
	}()
	if g.task != nil {
		g.result = g.task()
		return
	}
	args := [2]abi.Value{{Obj: &g.in[plugin.Request]}, {Obj: &outparam{}}}
	g.result = g.inst.handler.Call(context.Background(), args[:], nil)
}

// conclude takes stock after handle has returned, and gives back the instance.
func (g *guest) conclude(ctx context.Context) error {
	for _, b := range g.bound {
		if b == nil {
			continue
		}
		if g.result == nil && !b.finished {
			b.finish(g, nil) // its handle was left behind
		}
		b.unstage()
	}
	if g.result == nil {
		g.result = g.fault
	}
	g.endLog()
	err := g.failure(g.result, g.inst.overran())
	if err == nil && g.code != nil {
		g.mod.logDebug("the plugin answered with an error", "code", g.code.Error())
	}
	g.release(ctx)
	return err
}

// failure is the error of an exchange whose guest ended with err.
func (g *guest) failure(err error, overran bool) error {
	response := g.bound[plugin.Response]
	whole := response != nil && response.released && response.finished
	if whole && err == nil {
		return nil
	}
	var exit *exitError
	if whole {
		if !errors.As(err, &exit) {
			g.mod.logWarn("the plugin failed after it had answered", "exchange", g.ex.ID, "error", err)
		}
		return nil
	}
	f := &plugin.Failure{Plugin: g.mod.spec.Name, Err: err}
	var trap *abi.Trap
	switch {
	case err == nil && !g.answered:
		f.Kind, f.Message = plugin.Unanswered, "returned without setting response-outparam"
	case err == nil:
		f.Kind, f.Message = plugin.Unanswered, "dropped the body of its response before it was finished"
	case errors.As(err, &exit):
		f.Kind, f.Message = plugin.Exited, fmt.Sprintf("ended itself with exit code %d before it had answered", exit.code)
	case overran:
		f.Kind, f.Message = g.by.Kind(), g.mod.spec.Limits.Overran(g.by)
	case errors.As(err, &trap) && trap.OutOfMemory:
		f.Kind, f.Message = plugin.OutOfMemory, "out of memory: "+err.Error()
	default:
		f.Kind, f.Message = plugin.Trapped, err.Error()
	}
	if errors.As(err, &trap) {
		f.Stack = trap.Stack
	}
	return f
}

// release gives back the instance: for the next exchange if it can be made as
// new.
func (g *guest) release(ctx context.Context) {
	inst := g.inst
	g.inst = nil
	inst.guest = nil
	if g.result == nil && !inst.overran() && inst.age == g.mod.age.Load() && inst.abi.Reset(ctx) {
		g.mod.pool.Return(inst)
	} else {
		g.mod.pool.Discard(inst)
	}
}

// finish lets go of what outlives no exchange.
func (g *guest) finish() {
	g.gaveOut(plugin.Chunk{})
	if g.cancel != nil {
		for _, c := range g.calls {
			c.Close()
		}
		g.cancel()
		g.ctx, g.cancel = nil, nil
	}
	if g.timer != nil {
		g.timer.Stop()
	}
}

// close ends the guest's work wherever it stands.
func (g *guest) close() {
	if inst := g.inst; inst != nil {
		g.ended = true
		g.inst = nil
		inst.unwind()
		g.endLog()
		g.mod.pool.Discard(inst)
	}
	g.finish()
}

// scratch is a buffer of n bytes, valid until it is next asked for.
func (g *guest) scratch(n int) []byte {
	if cap(g.buffer) < n {
		g.buffer = make([]byte, n)
	}
	return g.buffer[:n]
}
