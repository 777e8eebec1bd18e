package wasihttp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// Module is a plugin that is loaded. It is safe for concurrent use.
type Module struct {
	spec      *plugin.Spec
	services  *host.Services
	component *abi.Component
	linked    *abi.Linked
	pool      *plugin.Pool[*instance]
	guests    sync.Pool
	// age counts the times that all instances were replaced.
	age atomic.Uint64

	exports [handlerCount]bool // the handlers that the plugin has
	lanes   [handlerCount]*lane
	timers  timers
	queues  subscriptions
	// unlogged is how many bytes the exchanges have that wait to be logged, dropped
	// how many exchanges were not.
	unlogged, dropped atomic.Int64
}

var (
	_ plugin.Module    = (*Module)(nil)
	_ plugin.Counted   = (*Module)(nil)
	_ plugin.Renewable = (*Module)(nil)
	_ plugin.Logger    = (*Module)(nil)
)

// startLimit is how long an instance may take to start.
const startLimit = 10 * time.Second

// instantiate makes an instance. Until it is leased, it has a guest without an
// exchange.
func (m *Module) instantiate(ctx context.Context) (*instance, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("did not start within %v", startLimit))
	defer cancel()
	age := m.age.Load()
	g := m.newGuest()
	i, err := m.linked.Instantiate(ctx, g)
	g.endLog()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return nil, err
	}
	handler := i.Func(handlerTrack, "handle")
	if handler == nil {
		i.Close(ctx)
		return nil, fmt.Errorf("%s exports no function handle", handlerInterface)
	}
	if err := checkHandlers(i); err != nil {
		i.Close(ctx)
		return nil, err
	}
	inst := newInstance(i, handler)
	inst.age = age
	return inst, nil
}

// Start implements plugin.Module. The instance is leased with the first step,
// whose context bounds the wait for one.
func (m *Module) Start(ex *plugin.Exchange) (plugin.Guest, error) {
	g, ok := m.guests.Get().(*guest)
	if !ok {
		g = m.newGuest()
	}
	g.ex = ex
	return &lease{g}, nil
}

func (m *Module) newGuest() *guest {
	return &guest{
		work: work{wakeAt: never}, mod: m, wake: plugin.NewBell(),
		stdout: lines{name: "stdout"}, stderr: lines{name: "stderr"},
	}
}

// recycle keeps a guest's memory for the next exchange.
func (m *Module) recycle(g *guest) {
	g.wake.Still()
	clear(g.calls)
	for i := range g.made {
		if f := g.made[i].fields; f != nil {
			dropFields(g, f)
		}
		if t := g.made[i].body.trailers; t != nil {
			g.fieldSets.give(t) // its list may have gone on
		}
	}
	g.work = work{wakeAt: never}
	g.fieldSets.live, g.pollables.live = 0, 0
	g.pumps, g.calls = g.pumps[:0], g.calls[:0]
	g.stdout.partial, g.stderr.partial = g.stdout.partial[:0], g.stderr.partial[:0]
	m.guests.Put(g)
}

// Needs implements plugin.Module. What a guest doesn't import, it can't look
// at.
func (m *Module) Needs() plugin.Needs {
	var n plugin.Needs
	n.Headers[plugin.Request], n.Headers[plugin.Response] = true, m.exports[onLog]
	for _, i := range m.component.Imports() {
		switch name, _, _ := strings.Cut(i.Name, "@"); name {
		case ownPackage + "properties":
			n.Attributes = plugin.DefaultAttributes()
			for _, item := range i.Items {
				if item.Name == "set" {
					n.Writes = []string{plugin.PropertyNamespace}
				}
			}
		case outgoingInterface:
			n.Headers[plugin.Response] = true
		case typesInterface:
			for _, item := range i.Items {
				switch item.Name {
				case "[method]incoming-request.consume":
					n.Body[plugin.Request] = plugin.OnDemand
				case "[method]incoming-response.consume":
					n.Body[plugin.Response] = plugin.OnDemand
				}
			}
		}
	}
	return n
}

// Instances implements plugin.Counted.
func (m *Module) Instances() (busy, idle int) { return m.pool.Count() }

// Memory implements plugin.Counted.
func (m *Module) Memory() uint64 { return m.component.Memory() }

// Renew implements plugin.Renewable.
func (m *Module) Renew() {
	m.age.Add(1)
	m.pool.Drain()
}

// Close implements plugin.Module. It waits for exchanges under way.
func (m *Module) Close(ctx context.Context) error {
	var errs []error
	m.endTasks(ctx)
	if m.pool != nil {
		errs = append(errs, m.pool.Close(ctx))
	}
	if m.linked != nil {
		errs = append(errs, m.linked.Close(ctx))
	}
	if m.services != nil {
		m.services.Close()
	}
	return errors.Join(append(errs, m.component.Close(ctx))...)
}

func (m *Module) logWarn(message string, args ...any) {
	if m.spec.Log != nil {
		m.spec.Log.Warn(message, args...)
	}
}

func (m *Module) logDebug(message string, args ...any) {
	if m.spec.Log != nil {
		m.spec.Log.Debug(message, args...)
	}
}
