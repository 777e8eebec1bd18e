package plugin

import "errors"

// Kinds of failure of a guest, wrapped in the errors that Step returns.
var (
	// ErrTrap: the guest trapped; its instance is gone.
	ErrTrap = errors.New("trap")
	// ErrTimeout: the guest ran longer than its limit, or did not act in time.
	ErrTimeout = errors.New("timeout")
	// ErrNoInstance: there is no instance for an exchange.
	ErrNoInstance = errors.New("no instance")
	// ErrTooLarge: the guest wants a body that is longer than its limit.
	ErrTooLarge = errors.New("body too large")
)
