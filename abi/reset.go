package abi

import (
	"context"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero/api"

	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/abi/memory"
)

// image is the state of an instance right after instantiation, which Reset goes
// back to. The instances of a Linked share it: the first one makes it, later
// ones adopt it.
type image struct {
	mu       sync.Mutex
	taken    bool
	memories []*memory.Image
	globals  []uint64
	reason   string // why instances can't be reset, "" if they can
}

// settle makes in able to be reset, if that can be exact.
func (g *image) settle(in *Instance) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reason != "" {
		in.noReset = g.reason
		return nil
	}
	in.bindGlobals()
	in.bindMemories()
	for i := range in.comps {
		if in.comps[i].table.Len() > 0 {
			// Handles may stand for state of the host that can't be gone back to.
			in.noReset = "instantiation leaves handles in its tables"
			return nil
		}
	}
	if !g.taken {
		return g.take(in)
	}
	return g.adopt(in)
}

func (g *image) take(in *Instance) error {
	for _, l := range in.memories.Linears() {
		img, err := memory.Capture(l)
		if err != nil {
			g.close()
			g.reason = fmt.Sprintf("its memory can't be saved: %v", err)
			in.noReset = g.reason
			return nil
		}
		g.memories = append(g.memories, img)
	}
	for _, global := range in.globals {
		g.globals = append(g.globals, global.Get())
	}
	g.taken = true
	return nil
}

// adopt replaces the state of a new instance by that of the image. The two can
// differ if instantiation depends on what host functions answered.
func (g *image) adopt(in *Instance) error {
	linears := in.memories.Linears()
	for i, l := range linears {
		if uint64(len(l.Bytes())) != uint64(g.memories[i].Size()) {
			in.noReset = "its memory started with another size than that of the first instance"
			return nil
		}
	}
	for i, l := range linears {
		if err := l.Adopt(g.memories[i]); err != nil {
			return err
		}
	}
	in.restoreGlobals(g.globals)
	return nil
}

func (g *image) close() {
	for _, m := range g.memories {
		m.Close()
	}
	g.memories = nil
}

// bindGlobals finds the globals that Reset restores.
func (in *Instance) bindGlobals() {
	for i, def := range in.linked.component.plan.cores {
		for _, name := range def.module.resetGlobals {
			if g, ok := in.mods[i].ExportedGlobal(name).(api.MutableGlobal); ok {
				in.globals = append(in.globals, g)
			}
		}
	}
}

// bindMemories finds wazero's view of the memories: they were allocated in the
// order of the core instances that define them.
func (in *Instance) bindMemories() {
	for i, def := range in.linked.component.plan.cores {
		if def.module.ownsMemory {
			in.linears = append(in.linears, in.mods[i].Memory())
		}
	}
}

func (in *Instance) restoreGlobals(values []uint64) {
	for i, g := range in.globals {
		g.Set(values[i])
	}
}

// Resettable reports whether Reset can work on this instance, and if not why.
func (in *Instance) Resettable() (ok bool, reason string) { return in.noReset == "", in.noReset }

// Reset makes the instance as it was after instantiation: memories, globals and
// handles; what handles stood for is dropped. It returns false when that can't
// be had, as after a trap or when a memory has grown: Close the instance then
// and instantiate anew. Values that calls returned are no longer valid.
func (in *Instance) Reset(ctx context.Context) bool {
	if in.dead != nil || in.running || in.noReset != "" {
		return false
	}
	in.calls.endKept()
	in.dropHandles()
	for n, l := range in.memories.Linears() {
		if !l.Shrink(in.linears[n]) {
			in.noReset = "its memory has grown to its maximum"
			return false
		}
		if _, ok := l.Reset(); !ok {
			in.noReset = "its memory has grown"
			return false
		}
	}
	in.restoreGlobals(in.linked.image.globals)
	for i := range in.comps {
		in.comps[i].backpressure = 0
	}
	in.storage = [contextSlots]uint64{}
	in.stop.clear()
	return true
}

// dropHandles empties the handle tables. The host is told of its resources;
// destructors of guests do not run, as the guests end too.
func (in *Instance) dropHandles() {
	for i := range in.comps {
		t := in.comps[i].table
		if t.Len() == 0 {
			continue
		}
		t.Owned(func(r *canon.Resource, _ uint32, obj any) {
			if def := in.linked.component.plan.resources[r]; def != nil && def.host != nil {
				in.dropSafely(def.host, obj)
			}
		})
		t.Reset()
	}
}

// dropHost tells the host that a guest dropped its resource.
func (in *Instance) dropHost(t *hostType, obj any) {
	if drop := in.linked.drops[t.id]; drop != nil {
		in.active = &t.drop
		drop(in.data, obj)
		in.active = nil
	}
}

// dropSafely is dropHost outside of a guest's call, where no one else would
// catch a panic. One is lost: nothing can be told to a guest that has ended.
func (in *Instance) dropSafely(t *hostType, obj any) {
	defer func() {
		_ = recover()
		in.active = nil
	}()
	in.dropHost(t, obj)
}
