package abi

import "context"

// Instance is an instance of a component with all its inner instances. It may
// be used by one goroutine at a time; only Stop may be called from others.
type Instance struct {
	data  any
	arena arena
}

// SetData replaces what Call.Data returns.
func (i *Instance) SetData(data any) { i.data = data }

// Func finds an exported function. instance is the exported instance it is in,
// "" for a function of the component itself; its version may be cut to the
// semver track, as "wasi:http/incoming-handler@0.2". Func returns nil when
// there is none.
func (i *Instance) Func(instance, name string) *Func { return nil }

// Reset makes the instance as it was after instantiation: memory, globals,
// handles. It returns false when that can't be had: Close it then and
// instantiate anew.
func (i *Instance) Reset(ctx context.Context) bool { return false }

// Stop makes guest code trap at its next safe point. It may be called from any
// goroutine and at any time.
func (i *Instance) Stop() {}

// Close ends the instance, dropping the resources it still holds.
func (i *Instance) Close(ctx context.Context) error { return nil }
