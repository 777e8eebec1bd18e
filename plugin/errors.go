package plugin

import "errors"

// Kinds of failure of a guest, wrapped in the errors that Step returns.
var (
	// ErrTrap: the guest trapped; its instance is gone.
	ErrTrap = errors.New("trap")
	// ErrTimeout: the guest ran longer than its limit.
	ErrTimeout = errors.New("timeout")
)
