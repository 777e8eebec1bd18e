package abi

import (
	"context"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/canon"
)

// Component is a compiled component. It is safe for concurrent use.
type Component struct{}

// Extern describes an import or export of a component.
type Extern struct {
	Name  string      // "wasi:http/types@0.2.3"
	Sort  binary.Sort // SortInstance, SortFunc, ...
	Func  *canon.Func // type of a function
	Items []Extern    // functions and types of an instance
}

// Imports lists what the component needs.
func (c *Component) Imports() []Extern { return nil }

// Exports lists what the component offers.
func (c *Component) Exports() []Extern { return nil }

// Close releases the compiled code. Its instances must have been closed.
func (c *Component) Close(ctx context.Context) error { return nil }
