package abi

import "fmt"

// Trap is the error of a call that ended a guest: it trapped, broke a rule of
// the Canonical ABI, or was stopped. Its instance is finished.
type Trap struct {
	// Message tells what happened: "wasm trap: unreachable".
	Message string
	// Stopped is set when Instance.Stop ended the call.
	Stopped bool
	// OutOfMemory is set when the guest trapped after a refused growth of its
	// memory.
	OutOfMemory bool
	// Stack is the guest's call stack, innermost first, if known.
	Stack []string

	cause error
}

// Error is the message.
func (t *Trap) Error() string { return t.Message }

// Unwrap is the error a host function returned, or nil.
func (t *Trap) Unwrap() error { return t.cause }

func trapf(format string, args ...any) *Trap { return &Trap{Message: fmt.Sprintf(format, args...)} }
