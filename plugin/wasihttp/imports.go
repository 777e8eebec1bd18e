package wasihttp

import (
	"slices"

	"github.com/extproc/extproc/abi"
)

// hostInterface is one interface that guests may import. imports_wasi.go and
// imports_plugin.go are the table of everything there is.
type hostInterface struct {
	name      string // with its version, cut to the semver track
	resources []abi.Resource
	rows      []row
}

// row is one function of an interface: its name, its WIT type, and what it does.
type row struct {
	name string
	sig  string
	call func(*guest, *abi.Call) error
}

// define offers both tables to components.
func define(linker *abi.Linker) error {
	for _, i := range slices.Concat(wasiImports, ownImports) {
		funcs := make([]abi.HostFunc, len(i.rows))
		for n, r := range i.rows {
			funcs[n] = abi.HostFunc{Name: r.name, Sig: r.sig, Call: serving(r.call)}
		}
		if err := linker.Define(abi.Interface{Name: i.name, Resources: i.resources, Funcs: funcs}); err != nil {
			return err
		}
	}
	return nil
}

// serving calls a row for the guest that calls it, unless the guest has broken a
// rule meanwhile that a dropped handle could not be refused for.
func serving(call func(*guest, *abi.Call) error) func(*abi.Call) error {
	return func(c *abi.Call) error {
		g := c.Data().(*guest)
		if g.fault != nil {
			return g.fault
		}
		return call(g, c)
	}
}

// dropping types the drop of a resource. What is left when the guest has ended
// is swept without regard to order.
func dropping[T any](drop func(*guest, T)) func(data, obj any) {
	return func(data, obj any) {
		if g, ok := data.(*guest); ok && !g.ended {
			drop(g, obj.(T))
		}
	}
}
