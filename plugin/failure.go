package plugin

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// FailureKind says in which way a guest failed.
type FailureKind uint8

// The ways a guest fails.
const (
	// Trapped: the guest trapped or broke a rule of its ABI.
	Trapped FailureKind = iota
	// TimedOut: the guest ran for longer than it may.
	TimedOut
	// OutOfMemory: the guest trapped after it was refused memory.
	OutOfMemory
	// Exited: the guest ended itself before it had answered.
	Exited
	// Unanswered: the guest returned without an answer, or with half of one.
	Unanswered
	// TooLarge: a body is longer than Limits.Body.
	TooLarge
	// Late: the exchange waited for the plugin for too long.
	Late
)

var failureNames = [...]string{"trapped", "timed out", "out of memory", "exited", "unanswered", "too large", "late"}

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
	// Refused: the answer is that of a Refusal.
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

// FailureHeader marks the response to an exchange that is refused because a plugin
// failed. It says no more than that: the rest is in the log.
const FailureHeader = "x-extproc-failure"

// FailureDetails tell the proxy's log why there is such a response.
const FailureDetails = "extproc_plugin_failed"

// Refusal is the error of an exchange that is to be refused as a plugin has failed.
// It matches ErrRefused.
type Refusal struct {
	// Status is that of the response.
	Status int
}

// refusal is what an exchange that fails with err is refused with.
func refusal(err error) *Refusal {
	if f := (*Failure)(nil); errors.As(err, &f) && f.Status != 0 {
		return &Refusal{f.Status}
	}
	return &Refusal{http.StatusServiceUnavailable}
}

// Error says that a plugin failed.
func (r *Refusal) Error() string { return ErrRefused.Error() }

// Is matches ErrRefused.
func (r *Refusal) Is(target error) bool { return target == ErrRefused }

// Headers are those of the response. It has no body.
func (r *Refusal) Headers() Headers {
	return Headers{{Name: ":status", Value: strconv.AppendInt(nil, int64(r.Status), 10)}, {Name: FailureHeader, Value: []byte("1")}}
}

// Failure is the error of an exchange whose guest failed. Its instance is gone.
type Failure struct {
	Plugin  string // its name, "" for all of a chain
	Kind    FailureKind
	Message string   // what happened, for people
	Status  int      // of the response if the exchange is refused; 0 is 503
	Stack   []string // the guest's calls, innermost first, if known
	Err     error    // the cause, or nil
}

// Error names the plugin and what happened.
func (f *Failure) Error() string {
	if f.Plugin == "" {
		return f.Message // of all plugins
	}
	return fmt.Sprintf("plugin %s: %s", f.Plugin, f.Message)
}

// Unwrap is the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Is matches ErrTimeout for a guest that timed out or was late, ErrTooLarge for a body, and
// ErrTrap for any other failure.
func (f *Failure) Is(target error) bool {
	switch f.Kind {
	case TimedOut, Late:
		return target == ErrTimeout
	case TooLarge:
		return target == ErrTooLarge
	}
	return target == ErrTrap
}
