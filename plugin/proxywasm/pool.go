package proxywasm

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/extproc/extproc/abi/memory"
	"github.com/extproc/extproc/plugin"
)

// pool has the VMs of a plugin whose exchanges don't share any. One that has
// served an exchange is made as it was after it had been configured, or ended.
type pool struct {
	machine *machine
	vms     *plugin.Pool[*vm]
	busy    atomic.Int32
	age     atomic.Uint64 // counts the times that all were replaced
}

// state is what a VM is taken back to.
type state struct {
	globals []uint64
	next    uint32
}

func newPool(m *machine) *pool { return &pool{machine: m} }

// fill starts the first VM.
func (p *pool) fill(ctx context.Context) (err error) {
	p.vms, err = plugin.NewPool(ctx, plugin.PoolConfig[*vm]{
		New: p.start, Close: (*vm).close, Max: p.machine.limits.Instances,
	})
	return err
}

// renew has all VMs made anew.
func (p *pool) renew() {
	p.age.Add(1)
	p.vms.Drain()
}

func (p *pool) start(ctx context.Context) (*vm, error) {
	age := p.age.Load()
	v, err := p.machine.startVM(ctx)
	if err == nil {
		v.age = age
		v.mu.Lock()
		v.save()
		v.mu.Unlock()
	}
	return v, err
}

func (p *pool) lease(ctx context.Context, due plugin.Instant) (*vm, error) {
	v, err := p.vms.LeaseBy(ctx, due)
	if err != nil {
		return nil, err
	}
	v.active.Add(1)
	p.busy.Add(1)
	return v, nil
}

func (p *pool) giveBack(v *vm) {
	p.busy.Add(-1)
	v.mu.Lock()
	ok := v.age == p.age.Load() && v.restore()
	v.mu.Unlock()
	if ok {
		p.vms.Return(v)
	} else {
		p.vms.Discard(v)
	}
}

func (p *pool) count() (busy, idle int) {
	if p.vms == nil {
		return 0, 0
	}
	live := p.vms.Live()
	busy = int(p.busy.Load())
	return busy, max(live-busy, 0)
}

const poolCloseLimit = 10 * time.Second

func (p *pool) close() {
	if p.vms == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), poolCloseLimit)
	defer cancel()
	_ = p.vms.Close(ctx) // what is leased still is closed when it comes back
}

// save takes an image of a VM that has just been configured, if it can be taken
// back to one. Between exchanges nothing happens in it: its timers are off.
func (v *vm) save() {
	for _, root := range v.roots {
		root.setTick(0)
	}
	linears := v.memories.Linears()
	if ok, _ := v.machine.code.module.Facts.Resettable(); !ok || len(linears) != 1 {
		return
	}
	image, err := memory.Capture(linears[0])
	if err != nil {
		return
	}
	image.Close() // the memory keeps it
	v.saved = &state{next: v.next}
	for _, g := range v.globals {
		v.saved.globals = append(v.saved.globals, g.Get())
	}
}

// restore takes the VM back to its image, and says whether it could.
func (v *vm) restore() bool {
	if v.dead != nil || v.saved == nil {
		return false
	}
	l := v.memories.Linears()[0]
	if !l.Shrink(v.memory) {
		return false
	}
	if _, ok := l.Reset(); !ok {
		return false
	}
	for i, g := range v.globals {
		g.Set(v.saved.globals[i])
	}
	for id, cx := range v.contexts {
		if cx.root != cx {
			delete(v.contexts, id)
			continue
		}
		cx.setTick(0)
		for _, c := range cx.calls {
			c.cancel()
		}
		clear(cx.calls)
	}
	v.next = v.saved.next
	return true
}
