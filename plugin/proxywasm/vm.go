package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/extproc/extproc/abi/memory"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// vm is an instance of a module with the contexts in it. Whoever calls into it or
// looks at its contexts holds its lock.
type vm struct {
	machine *machine

	mu       sync.Mutex
	mod      api.Module
	memory   api.Memory
	memories *memory.Set
	funcs    [callbackCount]api.Function // nil where the module exports none
	alloc    api.Function
	globals  []api.MutableGlobal // what image restores
	watch    plugin.Watchdog

	ctx        callContext
	stack      [8]uint64
	allocStack [1]uint64
	calls      [2]call // the one in its allocator comes second
	allocating bool
	starting   bool          // the module, or the root context of a plugin
	bound      plugin.Bound  // what the last call was limited by
	waited     time.Duration // for the store, in the call that runs

	base      Context // the VM context, of start functions and the allocator
	current   *Context
	effective uint32
	contexts  map[uint32]*Context
	roots     map[*Module]*Context
	next      uint32 // the id given out last
	stepping  *stream
	now       plugin.Instant // about, while it steps a stream; 0 if that is not known

	stdout, stderr lines
	path           []byte // of the property that is asked for
	names          map[string]string
	callout        uint32 // counts the callouts
	saved          *state // what the VM can be taken back to
	dead           error  // why it can't be called any more
	active         atomic.Int32
	retired        atomic.Bool // another has taken its place
	age            uint64      // of its pool when it was made
	closing        sync.Once
	events         events
}

// callContext is what wazero hands to host functions.
type callContext struct {
	context.Context
	vm *vm
	// values holds what wazero looks for while it instantiates, else nil.
	values context.Context
}

func (c *callContext) Value(key any) any {
	if c.values == nil {
		return nil
	}
	return c.values.Value(key)
}

var errClosed = errors.New("the VM is closed")

// brokenRule is a rule of the ABI that a guest broke; it ends the VM.
type brokenRule string

func (b brokenRule) Error() string { return "the guest " + string(b) }

// exitError ends a guest that called proc_exit.
type exitError uint32

func (e exitError) Error() string { return fmt.Sprintf("exited with code %d", uint32(e)) }

// invoke calls a callback for a context and returns its result, or what counts as
// such when the module has no such callback. An error is a *plugin.Failure, and
// the VM is finished.
func (v *vm) invoke(cx *Context, id callbackID, args ...uint64) (uint32, error) {
	if v.dead != nil {
		return 0, v.dead
	}
	f, row := v.funcs[id], &callbacks[id]
	if f == nil {
		return row.missing, nil
	}
	stack := v.stack[:max(v.machine.code.params[id], 1)]
	stack[0] = 0
	copy(stack, args)
	if err := v.run(cx, f, stack[:max(len(stack), 1)], row.name); err != nil {
		return 0, err
	}
	if !v.machine.code.results[id] {
		return row.missing, nil
	}
	return uint32(stack[0]), nil
}

// run runs one of the module's functions on behalf of a context.
func (v *vm) run(cx *Context, f api.Function, stack []uint64, name string) error {
	v.current, v.effective, v.waited = cx, 0, 0
	limited := v.limit(cx)
	v.memories.Rest()
	err := f.CallWithStack(&v.ctx, stack)
	if limited {
		v.now = plugin.Now()
		used := v.watch.End(v.now)
		if cx.stream != nil {
			cx.stream.used += used
		}
	}
	v.flushLog()
	v.current, v.effective, v.allocating = &v.base, 0, false
	if err == nil || cx == &v.base && exitedWell(err) {
		return nil
	}
	return v.fail(cx, name, err)
}

func exitedWell(err error) bool {
	var exit exitError
	return errors.As(err, &exit) && exit == 0
}

// mercy is how long a call in a shared VM may take however late its exchange is:
// what it costs the others to lose the VM is worth that.
const mercy = 10 * time.Millisecond

// limit starts the clock for a call, if its time is limited: by what an exchange
// has left of its time, or by what a start may take.
func (v *vm) limit(cx *Context) bool {
	limits, now := v.limits(), v.now
	if now == 0 || v.stepping == nil {
		now = plugin.Now()
	}
	var limit time.Duration
	if s := cx.stream; s != nil {
		limit, v.bound = limits.Allowance(s.used, now, s.due)
	} else {
		limit, v.bound = limits.Allowance(0, now, 0)
	}
	if v.bound == plugin.Unbound {
		return false
	}
	if v.bound == plugin.ByDue && v.machine.pool == nil {
		limit = max(limit, mercy)
	}
	v.watch.Begin(now, limit)
	return true
}

// limits are those in force: a start has its own.
func (v *vm) limits() *plugin.Limits {
	if v.starting {
		return &plugin.Limits{Timeout: v.machine.abi.cfg.StartLimit}
	}
	return &v.machine.limits
}

// lockBy locks the VM, unless the others who use it keep it until due.
func (v *vm) lockBy(due plugin.Instant) bool {
	if longest := v.machine.limits.Longest(); due == 0 || longest != 0 && longest < due.Left() {
		v.mu.Lock() // who has it is stopped in time
		return true
	}
	got := make(chan struct{})
	var decided atomic.Bool // one of the two has
	go func() {
		v.mu.Lock()
		if !decided.CompareAndSwap(false, true) {
			v.mu.Unlock()
			return
		}
		close(got)
	}()
	timer := time.NewTimer(due.Left())
	defer timer.Stop()
	select {
	case <-got:
		return true
	case <-timer.C:
	}
	if decided.CompareAndSwap(false, true) {
		return false
	}
	<-got
	return true
}

// patience is for how many timeouts of the store one callback may wait altogether:
// waiting doesn't count as running time.
const patience = 5

// wait makes a hostcall that may have to wait for the store.
func (v *vm) wait(row *hostcall, c *call) Status {
	timeout := v.machine.store.Timeout
	switch {
	case timeout == 0:
		return row.call(c)
	case v.waited >= patience*timeout:
		return InternalFailure
	}
	v.watch.Pause()
	status := row.call(c)
	v.waited += v.watch.Resume()
	return status
}

// maxNames is how many names a VM keeps as strings.
const maxNames = 64

// name is a key or the name of a queue as a string. Guests use the same few again
// and again, which are not to be allocated each time.
func (v *vm) name(b []byte) string {
	if name, ok := v.names[string(b)]; ok {
		return name
	}
	if len(v.names) >= maxNames {
		clear(v.names)
	}
	if v.names == nil {
		v.names = map[string]string{}
	}
	name := string(b)
	if len(name) <= host.MaxQueueName {
		v.names[name] = name
	}
	return name
}

// allocate makes room in the guest's memory. The bytes are those of the guest.
func (v *vm) allocate(n int) ([]byte, uint32, bool) {
	v.allocStack[0] = uint64(n)
	cx, effective := v.current, v.effective
	v.allocating, v.current, v.effective = true, &v.base, 0
	err := v.alloc.CallWithStack(&v.ctx, v.allocStack[:])
	v.allocating, v.current, v.effective = false, cx, effective
	if err != nil {
		panic(fmt.Errorf("its allocator: %w", err))
	}
	at := uint32(v.allocStack[0])
	if at == 0 {
		return nil, 0, false
	}
	mem, ok := v.memory.Read(at, uint32(n))
	return mem, at, ok
}

// fail ends the VM: every exchange on it fails with the same error.
func (v *vm) fail(cx *Context, name string, err error) error {
	f := &plugin.Failure{Kind: plugin.Trapped, Err: err}
	if cx.plugin != nil {
		f.Plugin = cx.plugin.spec.Name
	}
	text, rest, _ := strings.Cut(err.Error(), "\n")
	text = strings.TrimSuffix(text, " (recovered by wazero)")
	f.Stack = guestStack(rest)
	var exit exitError
	switch {
	case v.watch.Fired():
		f.Kind, text = v.bound.Kind(), v.limits().Overran(v.bound)
	case errors.As(err, &exit):
		f.Kind = plugin.Exited
	case v.memories.Refused():
		f.Kind, text = plugin.OutOfMemory, "out of memory: "+text
	}
	f.Message = name + ": " + text
	v.die(f)
	return f
}

// die marks the VM as finished and has its exchanges take note.
func (v *vm) die(err error) {
	if v.dead != nil {
		return
	}
	v.dead = err
	for _, cx := range v.contexts {
		if cx.stream != nil {
			cx.stream.notify()
		} else {
			cx.end()
		}
	}
	v.machine.lost(v, err)
}

// guestStack takes the frames out of wazero's rendering of a trap.
func guestStack(text string) []string {
	_, text, _ = strings.Cut(text, "wasm stack trace:\n")
	var frames []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			break
		}
		frames = append(frames, line)
	}
	return frames
}

// close frees the VM. The caller does not hold the lock.
func (v *vm) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.die(errClosed)
	v.closing.Do(func() {
		v.watch.Close()
		if v.mod != nil {
			_ = v.mod.Close(context.Background()) // it has nothing to fail with
		}
		v.memories.Free()
	})
}

// events are calls that something outside asks for: timers, queues, callouts.
type events struct {
	mu      sync.Mutex
	waiting []func()
	running bool
}

// post has f run soon, holding the VM's lock and even if the VM is finished. It
// does not block and may be called from any goroutine.
func (v *vm) post(f func()) {
	e := &v.events
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = append(e.waiting, f)
	if !e.running {
		e.running = true
		go v.serve()
	}
}

// serve runs events until there are none.
func (v *vm) serve() {
	e := &v.events
	for {
		e.mu.Lock()
		batch := e.waiting
		e.waiting = nil
		e.running = len(batch) > 0
		e.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, f := range batch {
			v.mu.Lock()
			f()
			v.mu.Unlock()
		}
	}
}
