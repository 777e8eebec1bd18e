package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/extproc/extproc/abi/memory"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// machine is what plugins share that agree on vm_id, module and configuration of
// the VM: the compiled code, and the VMs that run it.
type machine struct {
	abi       *ABI
	key       machineKey
	code      *code
	memories  *memory.Allocator
	vmID      string
	config    []byte
	env       []string // "name=value"
	limits    plugin.Limits
	first     *Module // whose log tells what concerns no plugin
	ctx       context.Context
	cancel    context.CancelFunc
	store     *host.Store
	revisions revisions
	queues    queueIDs

	workers []*worker // without isolation by stream
	turn    atomic.Uint32
	pool    *pool // with it

	// growing is held while VMs are started and plugins added, so that every VM has
	// every plugin.
	growing sync.Mutex
	mu      sync.Mutex
	plugins []*Module // that have a root context in each VM
}

// idleMemories is how many memories of ended VMs are kept for new ones.
const idleMemories = 16

// newMachine makes a machine, which takes the code over.
func newMachine(c *compiled, key machineKey, p *Module) (*machine, error) {
	limit := key.limits.Memory
	if limit == 0 || limit > maxPages*wasmPage {
		limit = maxPages * wasmPage
	}
	if err := c.code.fits(limit); err != nil {
		return nil, err
	}
	m := &machine{
		abi: c.abi, key: key, code: c.code, vmID: key.vmID, config: []byte(key.config), limits: key.limits, first: p, store: p.services.Store,
		memories: memory.NewAllocator(memory.Config{MaxBytes: limit / wasmPage * wasmPage, Idle: idleMemories}),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	for name, value := range p.spec.Env {
		m.env = append(m.env, name+"="+value)
	}
	slices.Sort(m.env)
	if key.isolation == plugin.PerStream {
		m.pool = newPool(m)
		return m, nil
	}
	for range key.workers {
		w := &worker{machine: m}
		w.changed.L = &w.mu
		m.workers = append(m.workers, w)
	}
	return m, nil
}

// startVM makes a VM with a root context for every plugin.
func (m *machine) startVM(ctx context.Context) (*vm, error) {
	v, err := m.newVM(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	plugins := slices.Clone(m.plugins)
	m.mu.Unlock()
	for _, p := range plugins {
		if err := v.join(p); err != nil {
			v.close()
			return nil, err
		}
	}
	return v, nil
}

// join makes the root context of a plugin.
func (v *vm) join(p *Module) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	err := v.addRoot(p)
	if err == nil && v.roots[p].readRootID && p.odd.CompareAndSwap(true, false) {
		p.log(slog.LevelWarn, "the module reads its root id, but this one does not occur in it: the plugin may do nothing",
			slog.String("root_id", p.rootID))
	}
	return err
}

// join adds a plugin to all VMs, starting them if it is the first.
func (m *machine) join(ctx context.Context, p *Module) error {
	if m.pool != nil {
		m.plugins = []*Module{p}
		return m.pool.fill(ctx)
	}
	m.growing.Lock()
	defer m.growing.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range m.workers {
		group.Go(func() error { return w.join(ctx, p) })
	}
	if err := group.Wait(); err != nil {
		m.part(ctx, p)
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plugins = append(m.plugins, p)
	return nil
}

// partPause is how often a root context is asked whether it is done.
const partPause = 5 * time.Millisecond

// part takes a plugin out of all VMs. It waits until ctx ends for root contexts
// that have more to do.
func (m *machine) part(ctx context.Context, p *Module) {
	m.mu.Lock()
	m.plugins = slices.DeleteFunc(m.plugins, func(q *Module) bool { return q == p })
	m.mu.Unlock()
	for _, w := range m.workers {
		w.mu.Lock()
		v := w.vm
		w.mu.Unlock()
		if v != nil {
			v.part(ctx, p)
		}
	}
}

func (v *vm) part(ctx context.Context, p *Module) {
	for {
		v.mu.Lock()
		gone := v.removeRoot(p)
		v.mu.Unlock()
		if gone {
			return
		}
		select {
		case <-time.After(partPause):
		case <-ctx.Done():
			return
		}
	}
}

// lease finds a VM for an exchange: of two workers the one with less to do.
func (m *machine) lease(ctx context.Context, due plugin.Instant) (*vm, error) {
	if m.pool != nil {
		return m.pool.lease(ctx, due)
	}
	n := uint32(len(m.workers))
	turn := m.turn.Add(1)
	w, other := m.workers[turn%n], m.workers[(turn+1)%n]
	if w.load() > other.load() {
		w = other
	}
	return w.lease(ctx, due)
}

func (m *machine) giveBack(v *vm) {
	if v.active.Add(-1) == 0 && v.retired.Load() {
		v.close()
	}
	if m.pool != nil {
		m.pool.giveBack(v)
	}
}

// renew replaces all VMs.
func (m *machine) renew() {
	if m.pool != nil {
		m.pool.renew()
		return
	}
	for _, w := range m.workers {
		go w.renew()
	}
}

// lost takes note that a VM can't be called any more.
func (m *machine) lost(v *vm, err error) {
	for _, w := range m.workers {
		w.lost(v, err)
	}
}

func (m *machine) count() (busy, idle int) {
	if m.pool != nil {
		return m.pool.count()
	}
	for _, w := range m.workers {
		w.mu.Lock()
		switch {
		case w.vm == nil:
		case w.vm.active.Load() > 0:
			busy++
		default:
			idle++
		}
		w.mu.Unlock()
	}
	return busy, idle
}

func (m *machine) close(ctx context.Context) error {
	m.cancel()
	if m.pool != nil {
		m.pool.close()
	}
	for _, w := range m.workers {
		w.close()
	}
	m.memories.Close()
	return m.abi.codes.Drop(ctx, m.key.code)
}

// worker is the place of one VM.
type worker struct {
	machine *machine

	mu      sync.Mutex
	changed sync.Cond
	vm      *vm   // nil while there is none
	err     error // why the last start failed
	closed  bool
}

// join adds a plugin to the VM, which it starts if there is none.
func (w *worker) join(ctx context.Context, p *Module) error {
	w.mu.Lock()
	v := w.vm
	w.mu.Unlock()
	if v != nil {
		return v.join(p)
	}
	v, err := w.machine.startVM(ctx)
	if err != nil {
		return err
	}
	if err := v.join(p); err != nil {
		v.close()
		return err
	}
	return w.use(v, nil)
}

func (w *worker) load() int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.vm == nil {
		return 1 << 30
	}
	return w.vm.active.Load()
}

// lease gives the VM, waiting for one that is being started. When the last start
// has failed there is nothing to wait for.
func (w *worker) lease(ctx context.Context, due plugin.Instant) (*vm, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.vm == nil && w.err == nil && !w.closed {
		var cancel context.CancelFunc
		ctx, cancel = due.Context(ctx)
		defer cancel()
		unwatch := context.AfterFunc(ctx, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changed.Broadcast()
		})
		defer unwatch()
	}
	for w.vm == nil {
		switch {
		case w.closed:
			return nil, errClosed
		case w.err != nil:
			return nil, w.err
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		w.changed.Wait()
	}
	w.vm.active.Add(1)
	return w.vm, nil
}

// lost starts another VM in the place of one that is finished. The caller holds
// that one's lock.
func (w *worker) lost(v *vm, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.vm != v {
		return
	}
	w.vm = nil
	if w.closed || errors.Is(err, errClosed) {
		return
	}
	go w.restart(v)
}

func (w *worker) restart(old *vm) {
	old.close() // its exchanges won't touch it any more
	m := w.machine
	base, most := m.key.backoff.Bounds() // failed starts are repeated ever more seldom
	for backoff := base; ; backoff = min(2*backoff, most) {
		err := w.start()
		if err == nil {
			return
		}
		m.first.log(slog.LevelError, "a VM does not start again", slog.Any("error", err), slog.Duration("next", backoff))
		select {
		case <-time.After(backoff):
		case <-m.ctx.Done():
			return
		}
	}
}

// renew puts a new VM in the place of one that still works, if one starts.
func (w *worker) renew() {
	m := w.machine
	m.growing.Lock()
	defer m.growing.Unlock()
	w.mu.Lock()
	old := w.vm
	w.mu.Unlock()
	if old == nil {
		return // it is being replaced
	}
	v, err := m.startVM(m.ctx)
	if err != nil {
		m.first.log(slog.LevelError, "a VM is not replaced, as no other starts", slog.Any("error", err))
		return
	}
	w.mu.Lock()
	wanted := w.vm == old && !w.closed
	if wanted {
		w.vm = v
	}
	w.mu.Unlock()
	if !wanted {
		v.close()
		return
	}
	old.retire()
}

// retire ends a VM that no exchange finds any more, once the last has left it.
func (v *vm) retire() {
	v.mu.Lock()
	for _, root := range v.roots {
		root.setTick(0)
	}
	v.mu.Unlock()
	v.retired.Store(true)
	if v.active.Load() == 0 {
		v.close()
	}
}

// start makes a VM if there is none, and has those told that wait for it.
func (w *worker) start() error {
	m := w.machine
	m.growing.Lock()
	defer m.growing.Unlock()
	w.mu.Lock()
	needed := w.vm == nil && !w.closed
	w.mu.Unlock()
	if !needed {
		return nil
	}
	v, err := m.startVM(m.ctx)
	if err != nil {
		err = fmt.Errorf("it does not start: %w", err)
	}
	return w.use(v, err)
}

// use takes a VM into use, or takes note of why there is none.
func (w *worker) use(v *vm, err error) error {
	w.mu.Lock()
	closed := w.closed
	if !closed {
		w.vm, w.err = v, err
	}
	w.changed.Broadcast()
	w.mu.Unlock()
	if closed && v != nil {
		v.close() // takes the worker's lock
	}
	return err
}

func (w *worker) close() {
	w.mu.Lock()
	v := w.vm
	w.closed = true
	w.changed.Broadcast()
	w.mu.Unlock()
	if v != nil {
		v.close()
	}
}
