package plugin

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// TestRenewals: the wait between two replacements doubles as long as failures go
// on, and starts again when there was none for a while.
func TestRenewals(t *testing.T) {
	var r renewals
	b := Backoff{Base: time.Second, Most: 5 * time.Second}
	now := time.Now()
	for i, c := range []struct {
		after time.Duration
		due   bool
	}{
		{0, true}, {time.Second / 2, false}, {time.Second, true}, {time.Second, false}, {time.Second, true}, {4 * time.Second, true},
		{4 * time.Second, false}, {time.Second, true}, {10 * time.Second, true}, {time.Second, true},
	} {
		now = now.Add(c.after)
		if due := r.due(b, now); due != c.due {
			t.Errorf("%d: due %v, expected %v", i, due, c.due)
		}
	}
}

// renewable is a module that counts how often it was renewed.
type renewable struct {
	stepModule
	n int
}

func (m *renewable) Renew() { m.n++ }

// TestFailReload: a guest that fails has its plugin renewed under FAIL_RELOAD, and
// under no other strategy; what is not the guest's fault does not.
func TestFailReload(t *testing.T) {
	large := &Failure{Kind: TooLarge}
	for _, c := range []struct {
		strategy FailStrategy
		err      error
		n        int
		heard    string
	}{
		{FailReload, &Failure{Kind: Trapped}, 1, "renewed 0 1"},
		{FailReload, &Failure{Kind: TimedOut}, 1, "renewed 0 1"},
		{FailReload, &Failure{Kind: Unanswered}, 1, "renewed 0 1"},
		{FailReload, large, 0, ""},
		{FailReload, errors.New("no instance"), 0, ""},
		{FailClose, &Failure{Kind: Trapped}, 0, ""},
		{FailOpen, &Failure{Kind: Trapped}, 0, ""},
	} {
		m := &renewable{stepModule: stepModule{step: func(*Exchange) (Status, error) { return Status{}, c.err }}}
		p := NewPlugin(&Spec{Name: "a", FailStrategy: c.strategy}, m)
		for i := range 2 {
			ex, chain, ears := &Exchange{}, &Chain{}, &heard{}
			chain.Init(ex, []*Plugin{p}, Bounds{}, ears)
			begin(ex)
			_ = chain.Step(t.Context())
			chain.Close()
			switch {
			case m.n != c.n:
				t.Errorf("%v, %v: renewed %d times, expected %d", c.strategy, c.err, m.n, c.n)
			case i == 0 && c.heard != "" && !slices.Contains(ears.lines, c.heard), i == 1 && c.n == 1 && !slices.Contains(ears.lines, "renewed 0 2"):
				t.Errorf("%v, %v: heard %v", c.strategy, c.err, ears.lines)
			}
		}
	}
}

// TestPoolDrain: what is idle is replaced, what is leased is not touched.
func TestPoolDrain(t *testing.T) {
	var f factory
	p := newPool(t, &f, 2, 0)
	leased := lease(t, p)
	p.Drain()
	p.Return(leased)
	for end := time.Now().Add(10 * time.Second); p.Live() < 2 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if f.closed.Load() != 1 || p.Live() != 2 {
		t.Errorf("%d closed, %d live", f.closed.Load(), p.Live())
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
