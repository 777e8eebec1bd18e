package main

import (
	"context"
	"errors"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
	"github.com/extproc/extproc/plugin/proxywasm"
	"github.com/extproc/extproc/plugin/wasihttp"
)

// guests lists the kinds of guest that this program runs, in the order in which
// they are asked whether a file is theirs, and a function that frees them.
func guests(ctx context.Context, o guestOptions) ([]plugin.ABI, func(context.Context) error, error) {
	engine, err := abi.NewEngine(ctx, abi.Config{CacheDir: o.cache})
	if err != nil {
		return nil, nil, err
	}
	if o.services == nil {
		o.services = host.NewServices(apart)
	}
	legacy, err := proxywasm.New(ctx, proxywasm.Config{CacheDir: o.cache, Services: o.services})
	if err != nil {
		return nil, nil, errors.Join(err, engine.Close(ctx))
	}
	closeAll := func(ctx context.Context) error { return errors.Join(legacy.Close(ctx), engine.Close(ctx)) }
	return []plugin.ABI{wasihttp.New(engine, o.services), legacy}, closeAll, nil
}

// guestOptions are what the flags say about running guests.
type guestOptions struct {
	// cache is the folder of compiled plugins; "" is none.
	cache string
	// services are what guests share; nil if no traffic will come.
	services *host.Services
}
