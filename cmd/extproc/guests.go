package main

import (
	"context"

	"github.com/extproc/extproc/plugin"
)

// guests lists the kinds of guest that this program runs, in the order in which
// they are asked whether a file is theirs, and a function that frees them.
func guests(_ context.Context, _ guestOptions) ([]plugin.ABI, func(context.Context) error, error) {
	return nil, func(context.Context) error { return nil }, nil
}

// guestOptions are what the flags say about running guests.
type guestOptions struct {
	// cache is the folder of compiled plugins; "" is none.
	cache string
}
