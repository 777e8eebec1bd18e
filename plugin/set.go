package plugin

import (
	"context"
	"errors"
	"sync/atomic"
)

// Set is the plugins of one version of the configuration. It lives until it has
// been replaced and the last exchange that uses it has ended.
type Set struct {
	Plugins []*Plugin
	// Routes say which plugins see an exchange, see Set.Route. A plugin is there
	// once, whatever the number of routes that have it.
	Routes  []Route
	Default Route

	// refs counts the exchanges, plus one while the set is current.
	refs   atomic.Int64
	closed func(error) // hears of what went wrong in closing
}

// NewSet makes a set that takes over the caller's references to the plugins. All
// exchanges have all of them.
func NewSet(plugins ...*Plugin) *Set {
	s := &Set{Plugins: plugins, Default: Route{RouteSpec: &RouteSpec{}, Plugins: plugins}, closed: func(error) {}}
	s.refs.Store(1)
	return s
}

// LoadSet loads every plugin of a configuration. A plugin of old that has the
// same configuration and the same file is taken over instead of loaded again. The
// error is that of the first plugin, in their order, that can't be loaded.
func LoadSet(ctx context.Context, c *Config, abis []ABI, old *Set) (*Set, error) {
	set := NewSet()
	loading := beginLoading(ctx, c.Plugins, abis, old)
	for _, d := range loading.drafts {
		p, err := d.plugin(ctx)
		if err != nil {
			return nil, errors.Join(err, loading.end(ctx), set.Release())
		}
		set.Plugins = append(set.Plugins, p)
	}
	set.assign(c)
	return set, loading.end(ctx)
}

// acquire takes a reference, unless the set has been closed already.
func (s *Set) acquire() bool {
	for {
		n := s.refs.Load()
		if n == 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives back a reference; the last one closes what no other set uses.
func (s *Set) Release() error {
	if s.refs.Add(-1) > 0 {
		return nil
	}
	var errs []error
	for _, p := range s.Plugins {
		errs = append(errs, p.release())
	}
	err := errors.Join(errs...)
	if err != nil {
		s.closed(err)
	}
	return err
}

// Current is the set that new exchanges use. The zero value has none.
type Current struct{ set atomic.Pointer[Set] }

// Acquire is the current set, to be released when the exchange has ended; nil
// before there is one and after Close.
func (c *Current) Acquire() *Set {
	for {
		s := c.set.Load()
		if s == nil || s.acquire() {
			return s
		}
	}
}

// Swap makes a set the current one and releases the one before it.
func (c *Current) Swap(s *Set) error {
	if old := c.set.Swap(s); old != nil {
		return old.Release()
	}
	return nil
}

// Close leaves no set for new exchanges.
func (c *Current) Close() error { return c.Swap(nil) }
