package wasihttp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/plugin"
)

// handlerID is a handler that a plugin may export beside that for requests.
type handlerID int

const (
	onStart handlerID = iota
	onTimer
	onItem
	onLog
	handlerCount
)

// handlers are the handlers with their interfaces, cut to the semver track, and
// their types as shape has them. A component whose function has another type is
// not loaded.
var handlers = [handlerCount]struct{ iface, name, shape string }{
	onStart: {ownPackage + "startup@0.1", "start", "func() -> result<_, string>"},
	onTimer: {ownPackage + "timer-handler@0.1", "on-timer", "func(name: string)"},
	onItem:  {ownPackage + "queue-handler@0.1", "on-item", "func(queue: string)"},
	onLog: {ownPackage + "exchange-log@0.1", "on-log", "func(exchange: record{id: u64, began: u64, took: u64, outcome: " +
		"enum{complete, answered, refused, aborted}, request: record{method: string, scheme: option<string>, authority: option<string>, " +
		"path-with-query: option<string>, headers: list<tuple<string, list<u8>>>, body: option<u64>, trailers: list<tuple<string, list<u8>>>}, " +
		"response: option<record{status: u16, headers: list<tuple<string, list<u8>>>, body: option<u64>, trailers: list<tuple<string, list<u8>>>}>})"},
}

// checkHandlers says what is wrong with the handlers of an instance.
func checkHandlers(i *abi.Instance) error {
	for _, h := range handlers {
		if f := i.Func(h.iface, h.name); f != nil && shape(f.Type()) != h.shape {
			return fmt.Errorf("exports %s %q of type %s, expected %s", h.iface, h.name, shape(f.Type()), h.shape)
		}
	}
	return nil
}

// prepare makes what the plugin's handlers need, before an instance is made.
func (m *Module) prepare() {
	for _, e := range m.component.Exports() {
		for id, h := range handlers {
			if strings.HasPrefix(e.Name, h.iface) {
				m.exports[id], m.lanes[id] = true, newLane(m)
			}
		}
	}
	m.timers = timers{lane: m.lanes[onTimer], all: map[string]*alarm{}}
	m.queues = subscriptions{lane: m.lanes[onItem], all: map[string]*subscription{}}
}

// endTasks ends what the plugin does without an exchange. What waits to be logged
// is logged first, as far as ctx allows.
func (m *Module) endTasks(ctx context.Context) {
	m.timers.close()
	m.queues.close()
	for id, l := range m.lanes {
		if l != nil {
			l.close(ctx, handlerID(id) != onLog)
		}
	}
}

// maxShape is how long the text of a type may get: the types of a component share
// parts, and as text could be of any length.
const maxShape = 4 << 10

// shape is a function's type with the types in it written out.
func shape(f *canon.Func) string {
	var b strings.Builder
	b.WriteString("func(")
	for i, p := range f.Params {
		separate(&b, i)
		b.WriteString(p.Name + ": ")
		writeShape(&b, p.Type)
	}
	b.WriteString(")")
	if f.Result != nil {
		b.WriteString(" -> ")
		writeShape(&b, f.Result)
	}
	return b.String()
}

func separate(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteString(", ")
	}
}

func writeShape(b *strings.Builder, t *canon.Type) {
	if b.Len() > maxShape {
		return
	}
	if t == nil {
		b.WriteString("_")
		return
	}
	b.WriteString(t.Kind.String())
	switch t.Kind {
	case canon.Record:
		b.WriteString("{")
		for i, f := range t.Fields {
			separate(b, i)
			b.WriteString(f.Name + ": ")
			writeShape(b, f.Type)
		}
		b.WriteString("}")
	case canon.Enum, canon.Variant:
		b.WriteString("{")
		for i, c := range t.Cases {
			separate(b, i)
			b.WriteString(c.Name)
		}
		b.WriteString("}")
	case canon.Tuple:
		b.WriteString("<")
		for i, f := range t.Fields {
			separate(b, i)
			writeShape(b, f.Type)
		}
		b.WriteString(">")
	case canon.List, canon.FixedList:
		b.WriteString("<")
		writeShape(b, t.Elem)
		b.WriteString(">")
	case canon.Option:
		b.WriteString("<")
		writeShape(b, t.Cases[1].Type)
		b.WriteString(">")
	case canon.Result:
		b.WriteString("<")
		writeShape(b, t.Cases[0].Type)
		b.WriteString(", ")
		writeShape(b, t.Cases[1].Type)
		b.WriteString(">")
	}
}

// task is a call of a handler, on an instance that is leased for it and without an
// exchange.
type task struct {
	handler handlerID
	// call makes the call, on the guest's goroutine.
	call func(*abi.Func) error
	// told is the exchange whose properties can be asked for, if there is one.
	told *plugin.Exchange
}

var errIdle = errors.New("it waits for what never comes")

// run carries out a task. It ends with ctx, wherever the guest stands.
func (m *Module) run(ctx context.Context, t task) error {
	inst, err := m.pool.Lease(ctx)
	if err != nil {
		return fmt.Errorf("no instance: %w", err)
	}
	h := handlers[t.handler]
	g := m.newGuest()
	g.inst, g.told = inst, t.told
	g.task = func() error { return t.call(inst.abi.Func(h.iface, h.name)) }
	inst.guest = g
	inst.abi.SetData(g)
	err = g.carryOut(ctx)
	g.close()
	return err
}

// carryOut lets the guest run until its task is done and nothing of it is under
// way.
func (g *guest) carryOut(ctx context.Context) error {
	unwatch := context.AfterFunc(ctx, g.inst.abi.Stop) // a guest that runs just then
	defer unwatch()
	var failed error
	for {
		if g.ended {
			g.pump()
		} else if g.inst.resume(g, plugin.Now()); g.ended {
			if !unwatch() && g.result == nil {
				g.result = context.Cause(ctx) // the instance may be stopped at any moment
			}
			failed = g.settle(ctx)
		}
		st := g.status()
		switch {
		case st.Done:
			return failed
		case st.Wake == nil:
			return errIdle
		}
		select {
		case <-st.Wake.Rung():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// settle takes stock after a task, and gives back the instance.
func (g *guest) settle(ctx context.Context) error {
	if g.result == nil {
		g.result = g.fault
	}
	g.endLog()
	err := g.result
	switch {
	case err == nil:
	case g.inst.overran():
		err = errors.New(g.mod.spec.Limits.Overran(g.by))
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	g.release(ctx)
	return err
}

// startUp calls startup.start.
func (m *Module) startUp(ctx context.Context) error {
	if !m.exports[onStart] {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("did not return within %v", startLimit))
	defer cancel()
	var refusal string
	err := m.run(ctx, task{handler: onStart, call: func(f *abi.Func) error {
		var result [1]abi.Value
		err := f.Call(context.Background(), nil, result[:])
		if err == nil && result[0].Num == 1 {
			refusal = strings.Clone(result[0].Payload().Str)
			if refusal == "" {
				refusal = "it doesn't say why"
			}
		}
		return err
	}})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", handlers[onStart].name, err)
	case refusal != "":
		return fmt.Errorf("%s: %s", handlers[onStart].name, refusal[:min(len(refusal), maxLine)])
	}
	return nil
}

// taskLimit is how long a task may take, waiting counted.
const taskLimit = 30 * time.Second
