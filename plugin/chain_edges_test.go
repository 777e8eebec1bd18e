package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// steps is a guest that is one function.
type steps struct {
	ex     *Exchange
	step   func(*Exchange) (Status, error)
	closed *int
}

func (s *steps) Step(context.Context) (Status, error) { return s.step(s.ex) }
func (s *steps) Close()                               { *s.closed++ }

// stepModule makes one guest of a function.
type stepModule struct {
	step   func(*Exchange) (Status, error)
	closed int
}

func (m *stepModule) Start(ex *Exchange) (Guest, error) { return &steps{ex, m.step, &m.closed}, nil }
func (m *stepModule) Needs() Needs                      { return Needs{} }
func (m *stepModule) Close(context.Context) error       { return nil }

// chainOf is a chain of functions, with the bounds 100 and 1000.
func chainOf(t testing.TB, strategy FailStrategy, guests ...func(*Exchange) (Status, error)) (*Chain, *Exchange, []*stepModule, *heard) {
	t.Helper()
	var plugins []*Plugin
	var modules []*stepModule
	for i, step := range guests {
		m := &stepModule{step: step}
		modules = append(modules, m)
		spec := &Spec{Name: fmt.Sprint(i), FailStrategy: strategy, Log: slog.New(slog.DiscardHandler)}
		plugins = append(plugins, NewPlugin(spec, m))
	}
	ex, chain, ears := &Exchange{ID: 7}, &Chain{}, &heard{}
	chain.Init(ex, plugins, Bounds{Queued: 100, Buffered: 1000}, ears)
	t.Cleanup(chain.Close)
	return chain, ex, modules, ears
}

func step(t testing.TB, c *Chain) {
	t.Helper()
	if err := c.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// pass lets everything go on.
func pass(ex *Exchange) (Status, error) {
	ex.Request.pass()
	ex.Response.pass()
	return Status{}, nil
}

// echo hands on the request's body, as it comes, while little of it waits.
func echo(ex *Exchange) (Status, error) {
	q := &ex.Request
	q.WantBody = true
	q.Headers, q.Plan, q.Released = q.Original, Replaced, true
	for q.Out.Len() < 50 && q.In.Len() > 0 {
		q.Out.Push(q.In.Pop())
	}
	q.Out.Ended = q.In.Ended && q.In.Len() == 0
	ex.Response.pass()
	return Status{}, nil
}

func begin(ex *Exchange) {
	ex.Request.Arrived, ex.Request.Original = true, Headers{{":method", []byte("POST")}}
}

// TestChainSharesChunks: chunks are handed on and not copied, and what no plugin
// touches is not even looked at.
func TestChainSharesChunks(t *testing.T) {
	c, ex, _, _ := chainOf(t, FailClose, pass, echo, pass)
	begin(ex)
	chunk := []byte("chunk")
	ex.Request.In.Push(chunk)
	step(t, c)
	if got := ex.Request.Out.Pop(); len(got) == 0 || &got[0] != &chunk[0] {
		t.Errorf("got %q, which is another chunk", got)
	}
	c, ex, _, _ = chainOf(t, FailClose, pass, pass)
	begin(ex)
	step(t, c)
	q := &ex.Request
	if !q.Released || q.Plan != Untouched || q.WantBody || &q.Headers[0] != &q.Original[0] {
		t.Errorf("got %+v", q)
	}
}

// TestChainPressure: a reader that waits for something else holds up the plugins
// before it, and through them the proxy.
func TestChainPressure(t *testing.T) {
	wake, woken := NewBell(), false
	waiting := func(ex *Exchange) (Status, error) {
		if woken {
			return echo(ex)
		}
		ex.Request.WantBody = true
		return Status{Wake: wake}, nil
	}
	c, ex, _, _ := chainOf(t, FailClose, echo, echo, waiting)
	begin(ex)
	sent := 0
	for ex.Request.In.Len() < 100 {
		ex.Request.In.Push(make([]byte, 20))
		if sent += 20; sent > 2000 {
			t.Fatal("the chain takes whatever comes")
		}
		step(t, c)
	}
	if c.Wake() == nil {
		t.Fatal("nothing is waited for")
	}
	woken = true
	wake.Ring()
	got := 0
	ex.Request.In.Ended = true
	for !ex.Request.Out.Ended {
		step(t, c)
		for chunk := ex.Request.Out.Pop(); chunk != nil; chunk = ex.Request.Out.Pop() {
			got += len(chunk)
		}
	}
	if got != sent {
		t.Errorf("%d of %d bytes came through", got, sent)
	}
}

// TestChainHoard: a reader that waits for the proxy alone gets all that comes, up
// to the limit; then it fails, and with FAIL_OPEN nothing of the body is lost.
func TestChainHoard(t *testing.T) {
	for _, strategy := range []FailStrategy{FailClose, FailOpen} {
		hoard := func(ex *Exchange) (Status, error) { ex.Request.WantBody = true; return Status{}, nil }
		c, ex, _, ears := chainOf(t, strategy, echo, hoard)
		begin(ex)
		got := 0
		for range 60 {
			ex.Request.In.Push(make([]byte, 20))
			step(t, c)
			for chunk := ex.Request.Out.Pop(); chunk != nil; chunk = ex.Request.Out.Pop() {
				got += len(chunk)
				step(t, c)
			}
		}
		switch {
		case strategy == FailOpen && (got != 1200 || !slices.Contains(ears.lines, "fail 1 passed")):
			t.Errorf("FAIL_OPEN: %d of 1200 bytes came through: %v", got, ears.lines)
		case strategy == FailClose && (!c.Local() || string(ex.Response.Headers[0].Value) != "503"):
			t.Errorf("FAIL_CLOSE: %+v", ex.Response)
		}
	}
}

// TestChainLost: a plugin that fails in the middle of a body can't be done
// without, whatever its strategy.
func TestChainLost(t *testing.T) {
	fails := func(ex *Exchange) (Status, error) {
		_, _ = echo(ex)
		if ex.Request.Out.Len() > 0 {
			return Status{}, errSimple
		}
		return Status{}, nil
	}
	c, ex, modules, ears := chainOf(t, FailOpen, fails, echo)
	begin(ex)
	step(t, c)
	ex.Request.In.Push([]byte("chunk"))
	if err := c.Step(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(ears.lines, ", "); got != "start 0, start 1, fail 0 refused" {
		t.Error(got)
	}
	c.Close()
	if modules[0].closed != 1 || modules[1].closed != 1 {
		t.Error("not closed once")
	}
}

// TestChainRefusalSeen: the plugins before one that fails see its refusal.
func TestChainRefusalSeen(t *testing.T) {
	trap := func(*Exchange) (Status, error) { return Status{}, errSimple }
	seen := ""
	sees := func(ex *Exchange) (Status, error) {
		if ex.Response.Arrived {
			seen = render(ex.Response.Original)
		}
		return pass(ex)
	}
	c, ex, modules, ears := chainOf(t, FailClose, sees, trap, pass)
	begin(ex)
	step(t, c)
	if seen != ":status=503 x-extproc-failure=1" || !c.Local() || !ex.Response.Out.Ended {
		t.Errorf("seen %q, %+v", seen, ex.Response)
	}
	if modules[2].closed != 0 || slices.Contains(ears.lines, "start 2") {
		t.Error("a plugin behind the one that failed was started")
	}
}

// TestChainFail: what all plugins together want is not to be had.
func TestChainFail(t *testing.T) {
	add := func(ex *Exchange) (Status, error) {
		q := &ex.Request
		if !q.Released {
			q.Headers, q.Released = append(slices.Clone(q.Original), Field{"x", nil}), true
		}
		return Status{}, nil
	}
	peek := func(ex *Exchange) (Status, error) {
		ex.Request.WantBody = true
		if ex.Request.In.Len() >= 2 {
			return add(ex)
		}
		return Status{}, nil
	}
	c, ex, modules, ears := chainOf(t, FailOpen, add, peek)
	begin(ex)
	for _, chunk := range []string{"a", "b"} {
		ex.Request.In.Push([]byte(chunk))
		step(t, c)
	}
	if len(ex.Request.Headers) != 3 {
		t.Fatalf("got %v", ex.Request.Headers)
	}
	if err := c.Fail(errSimple); err != nil {
		t.Fatal(err)
	}
	q := &ex.Request
	if len(q.Headers) != 1 || q.Plan != Untouched || string(q.In.Pop())+string(q.In.Pop()) != "ab" {
		t.Errorf("not as it came: %+v", q)
	}
	if modules[0].closed != 1 || modules[1].closed != 1 || !slices.Contains(ears.lines, "fail -1 passed") {
		t.Error(ears.lines)
	}
	if err := c.Fail(errSimple); !errors.Is(err, ErrRefused) {
		t.Errorf("a second time: %v", err)
	}

	c, ex, _, _ = chainOf(t, FailOpen, echo, add)
	begin(ex)
	ex.Request.In.Push([]byte("a"))
	step(t, c)
	if err := c.Fail(errSimple); !errors.Is(err, ErrRefused) {
		t.Errorf("with a chunk lost: %v", err)
	}
}

// TestChainWakes: several plugins wait at once, and the one is stepped whose time
// has come. A wake that comes after a plugin has gone stays with its bell.
func TestChainWakes(t *testing.T) {
	var wakes [3]*Bell
	var steps [3]int
	var guests []func(*Exchange) (Status, error)
	for i := range wakes {
		wakes[i] = NewBell()
		guests = append(guests, func(ex *Exchange) (Status, error) {
			ex.Request.pass()
			steps[i]++
			return Status{Wake: wakes[i]}, nil
		})
	}
	c, ex, _, _ := chainOf(t, FailClose, guests...)
	begin(ex)
	step(t, c)
	for round := range 100 {
		i := round % 3
		before := steps
		wakes[i].Ring()
		select {
		case <-c.Wake().Rung():
		case <-time.After(time.Minute):
			t.Fatalf("round %d: the wake is lost", round)
		}
		step(t, c)
		before[i]++
		if steps != before {
			t.Fatalf("round %d: stepped %v times, expected %v", round, steps, before)
		}
	}
	c.Close()
	wakes[1].Ring()
	if !wakes[1].Still() {
		t.Error("the wake of a plugin that has gone was taken")
	}
}

// BenchmarkChain is an exchange that no plugin changes, without proxy and wasm.
func BenchmarkChain(b *testing.B) {
	request := Headers{{":method", []byte("GET")}, {":path", []byte("/")}}
	response := Headers{{":status", []byte("200")}}
	for _, n := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			module := &stepModule{step: pass}
			var plugins []*Plugin
			for range n {
				plugins = append(plugins, NewPlugin(&Spec{}, module))
			}
			b.ReportAllocs()
			for b.Loop() {
				var ex Exchange
				var c Chain
				c.Init(&ex, plugins, Bounds{1 << 20, 16 << 20}, deaf{})
				ex.Request.Arrived, ex.Request.Original = true, request
				step(b, &c)
				ex.Response.Arrived, ex.Response.Original = true, response
				step(b, &c)
				if !ex.Response.Released || ex.Response.Plan != Untouched {
					b.Fatal("not released")
				}
				c.Close()
			}
		})
	}
}

type deaf struct{}

func (deaf) Started(int)               {}
func (deaf) Ran(int, time.Duration)    {}
func (deaf) Renewed(int, Renewal)      {}
func (deaf) Failed(int, error, Remedy) {}
