package abi

import (
	"errors"
	"fmt"
	"strings"

	"github.com/extproc/extproc/abi/canon"
)

// Trap is the error of a call that ended a guest: it trapped, broke a rule of
// the Canonical ABI, or was stopped. Its instance is finished.
type Trap struct {
	// Message tells what happened: "wasm trap: unreachable".
	Message string
	// Stopped is set when Instance.Stop ended the call.
	Stopped bool
	// OutOfMemory is set when the guest trapped after the growth of a memory
	// was refused.
	OutOfMemory bool
	// Stack is the guest's call stack, innermost first, as far as it is known.
	Stack []string

	cause error
}

// Error is the message.
func (t *Trap) Error() string { return t.Message }

// Unwrap is the error a host function returned, or nil.
func (t *Trap) Unwrap() error { return t.cause }

func trapf(format string, args ...any) *Trap { return &Trap{Message: fmt.Sprintf(format, args...)} }

var (
	// A guest called an import or built-in from realloc or post-return.
	errLeave = &Trap{Message: "wasm trap: cannot leave component instance"}
	// A call would re-enter a component instance that is waiting for a call.
	errEnter = &Trap{Message: "wasm trap: cannot enter component instance"}
)

func stopped() *Trap { return &Trap{Message: "guest stopped by its host", Stopped: true} }

// trap ends the guest from within one of its calls of the host module. wazero
// hands the panic on as the error of the call that entered the guest.
func (in *Instance) trap(err error) {
	panic(in.asTrap(err))
}

// trapIn is trap in a call of a row.
func (in *Instance) trapIn(r *row, err error) {
	in.active = nil
	if t := (*Trap)(nil); errors.As(err, &t) {
		panic(t)
	}
	panic(&Trap{Message: fmt.Sprintf("%s: %v", r.label, err), cause: err})
}

// asTrap turns the error of a guest's call into what is told of it.
func (in *Instance) asTrap(err error) *Trap {
	var t *Trap
	if errors.As(err, &t) {
		return t
	}
	var abi *canon.Trap
	if errors.As(err, &abi) {
		return &Trap{Message: abi.Error()}
	}
	text, rest, _ := strings.Cut(err.Error(), "\n")
	if r := in.active; r != nil {
		// A row panicked; the error also holds a Go stack, which is not for guests.
		in.active = nil
		text = strings.TrimSuffix(text, " (recovered by wazero)")
		return trapf("%s: the host function panicked: %s", r.label, text)
	}
	if in.stop.requested.Load() {
		return stopped()
	}
	t = &Trap{Message: text, OutOfMemory: in.memories.Refused(), Stack: guestStack(rest)}
	if text, ok := strings.CutPrefix(text, "wasm error: "); ok || text == "stack overflow" {
		t.Message = "wasm trap: " + text
	}
	return t
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
