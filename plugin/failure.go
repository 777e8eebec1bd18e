package plugin

import "fmt"

// FailureKind says in which way a guest failed.
type FailureKind uint8

// The ways a guest fails.
const (
	// Trapped: the guest trapped or broke a rule of its ABI.
	Trapped FailureKind = iota
	// TimedOut: the guest ran for longer than Limits.Timeout.
	TimedOut
	// OutOfMemory: the guest trapped after it was refused memory.
	OutOfMemory
	// Exited: the guest ended itself before it had answered.
	Exited
	// Unanswered: the guest returned without an answer, or with half of one.
	Unanswered
)

var failureNames = [...]string{"trapped", "timed out", "out of memory", "exited", "unanswered"}

// String is the kind in words: "timed out".
func (k FailureKind) String() string { return failureNames[k] }

// Failure is the error of an exchange whose guest failed. Its instance is gone.
type Failure struct {
	Plugin  string // its name
	Kind    FailureKind
	Message string   // what happened, for people
	Stack   []string // the guest's calls, innermost first, if known
	Err     error    // the cause, or nil
}

// Error names the plugin and what happened.
func (f *Failure) Error() string { return fmt.Sprintf("plugin %s: %s", f.Plugin, f.Message) }

// Unwrap is the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Is matches ErrTimeout for a guest that timed out, and ErrTrap for any other
// failure.
func (f *Failure) Is(target error) bool {
	if f.Kind == TimedOut {
		return target == ErrTimeout
	}
	return target == ErrTrap
}
