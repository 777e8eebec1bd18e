package plugin

import "time"

// VM says in which virtual machine a proxy-wasm plugin runs. Plugins that agree
// on it, on the module and on the limits share one, unless they are isolated.
type VM struct {
	// ID is vm_id: the name space of shared data and queues.
	ID string
	// Config is what the guest gets when its VM starts, as Spec.Config.
	Config []byte
	// RootID chooses among the plugins in a module; nil means Spec.Name.
	RootID *string
	// Workers is how many VMs share the exchanges; 0 leaves it to the server.
	Workers   int
	Isolation Isolation
	// Backoff is how long a VM that does not start again is left alone.
	Backoff Backoff
	// Capabilities are the names of the hostcalls and callbacks that the guest may
	// use; nil is all.
	Capabilities []string
	// Skips are the phases, by direction and part, that the guest is not called for
	// although it has a callback.
	Skips [2][3]bool
}

// RootID chooses among the plugins in a proxy-wasm module.
func (s *Spec) RootID() string {
	if s.VM.RootID != nil {
		return *s.VM.RootID
	}
	return s.Name
}

// Backoff doubles from Base to Most. 0 leaves it to the server.
type Backoff struct{ Base, Most time.Duration }

// Isolation says what shares a VM.
type Isolation uint8

// The isolation words of Kong, which call them none, filter and stream.
const (
	// Shared: all plugins that may, and all their exchanges. Envoy has no other.
	Shared Isolation = iota
	// PerFilter: the exchanges of one plugin.
	PerFilter
	// PerStream: nothing; each exchange has a VM of its own.
	PerStream
)
