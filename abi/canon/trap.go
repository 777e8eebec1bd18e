package canon

import (
	"errors"
	"fmt"
)

// Trap says that a guest broke a rule of the Canonical ABI. The instance it
// happened in must not be used again.
type Trap struct {
	Where string // the parameter it happened in, or "result"; may be empty
	Msg   string // what was wrong, with the value and the limit it broke
}

func (t *Trap) Error() string { return at(t.Where, t.Msg) }

func trapf(format string, args ...any) error {
	return &Trap{Msg: fmt.Sprintf(format, args...)}
}

// ValueError says that a Value handed in for lowering does not fit its type:
// a mistake of the host, not of the guest.
type ValueError struct {
	Where string
	Msg   string
}

func (e *ValueError) Error() string { return at(e.Where, e.Msg) }

func misfit(format string, args ...any) error {
	return &ValueError{Msg: fmt.Sprintf(format, args...)}
}

func at(where, msg string) string {
	if where == "" {
		return msg
	}
	return where + ": " + msg
}

// in names the parameter an error happened in, unless a nested call has done so.
func in(where string, err error) error {
	var trap *Trap
	var value *ValueError
	switch {
	case errors.As(err, &trap):
		if trap.Where == "" {
			trap.Where = where
		}
	case errors.As(err, &value):
		if value.Where == "" {
			value.Where = where
		}
	}
	return err
}
