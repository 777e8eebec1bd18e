package abi

import "context"

// Linker holds the host interfaces that components may import.
type Linker struct{ engine *Engine }

// NewLinker returns an empty linker.
func NewLinker(e *Engine) *Linker { return &Linker{engine: e} }

// Define adds interfaces. It fails for a row whose signature can't be parsed,
// or a name that is defined already.
func (l *Linker) Define(ifaces ...Interface) error { return nil }

// Link resolves and type-checks every import of c.
func (l *Linker) Link(c *Component) (*Linked, error) { return nil, errTODO }

// Linked is a component whose imports are satisfied. It is safe for concurrent
// use.
type Linked struct{}

// Instantiate makes an instance. data is what Call.Data returns in it.
func (l *Linked) Instantiate(ctx context.Context, data any) (*Instance, error) { return nil, errTODO }

// Close releases what linking made. Its instances must have been closed.
func (l *Linked) Close(ctx context.Context) error { return nil }
