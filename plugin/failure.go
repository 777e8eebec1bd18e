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

// Remedy is what becomes of an exchange after a failure.
type Remedy uint8

// The remedies.
const (
	// Finished: the plugin had done all it had to, and the exchange goes on.
	Finished Remedy = iota
	// Passed: the exchange goes on without the plugin; what it had not released
	// passes as it came.
	Passed
	// Refused: the answer is 503.
	Refused
)

// remedy is the one place that decides what becomes of an exchange. The work was
// complete if all that the plugin had to do is done, and is intact if nothing it
// took or gave would be missing without it.
func (s FailStrategy) remedy(complete, intact bool) Remedy {
	switch {
	case complete:
		return Finished
	case s == FailOpen && intact:
		return Passed
	}
	return Refused
}

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
