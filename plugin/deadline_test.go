package plugin

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAllowance(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		used   time.Duration
		due    time.Duration // from now; 0 is never
		limit  time.Duration // about
		by     Bound
		text   string
	}{
		{by: Unbound},
		{limits: Limits{Timeout: time.Minute}, used: 20 * time.Second, limit: 40 * time.Second, by: ByTimeout, text: "ran for longer than 1m0s"},
		{limits: Limits{Timeout: time.Minute}, used: 2 * time.Minute, limit: 1, by: ByTimeout, text: "ran for longer than 1m0s"},
		{limits: Limits{Timeout: time.Minute, Callback: time.Second}, limit: time.Second, by: ByCallback, text: "ran for longer than 1s at a stretch"},
		{limits: Limits{Timeout: time.Minute, Callback: time.Second}, used: 59*time.Second + time.Second/2, limit: time.Second / 2, by: ByTimeout, text: "ran for longer than 1m0s"},
		{limits: Limits{Callback: time.Second}, limit: time.Second, by: ByCallback, text: "ran for longer than 1s at a stretch"},
		{due: 30 * time.Second, limit: 30 * time.Second, by: ByDue, text: "was still running when it had to have answered"},
		{limits: Limits{Timeout: time.Minute}, due: -time.Second, limit: 1, by: ByDue, text: "was still running when it had to have answered"},
		{limits: Limits{Timeout: time.Minute}, due: time.Hour, limit: time.Minute, by: ByTimeout, text: "ran for longer than 1m0s"},
	} {
		due := Instant(0)
		if c.due != 0 {
			due = Now().In(c.due)
		}
		limit, by := c.limits.Allowance(c.used, Now(), due)
		if by != c.by || limit > c.limit || c.limit-limit > 10*time.Second {
			t.Errorf("%+v: %v by %v", c, limit, by)
		}
		if by != Unbound && c.limits.Overran(by) != c.text {
			t.Errorf("%+v: %s", c, c.limits.Overran(by))
		}
	}
}

// TestExchangeLimit: a plugin whose time for an exchange is over fails, whatever it
// waits for; the others go on.
func TestExchangeLimit(t *testing.T) {
	waits := func(*Exchange) (Status, error) { return Status{}, nil }
	for _, c := range []struct {
		strategy FailStrategy
		guests   []func(*Exchange) (Status, error)
		slow     int // the plugin with a limit
		want     string
	}{
		{FailClose, []func(*Exchange) (Status, error){waits}, 0, "start 0, fail 0 refused"},
		{FailOpen, []func(*Exchange) (Status, error){waits}, 0, "start 0, fail 0 passed"},
		{FailOpen, []func(*Exchange) (Status, error){pass, waits, pass}, 1, "start 0, start 1, fail 1 passed, start 2"},
		{FailClose, []func(*Exchange) (Status, error){pass, waits, pass}, 1, "start 0, start 1, fail 1 refused"},
		{FailClose, []func(*Exchange) (Status, error){waits, pass}, 1, "start 0"},
	} {
		chain, ex, _, ears := chainOf(t, c.strategy, c.guests...)
		chain.links[c.slow].plugin.Spec.Limits.Exchange = 5 * time.Millisecond
		begin(ex)
		step(t, chain)
		if due := chain.Due(); (due != 0) != strings.Contains(c.want, "fail") {
			t.Errorf("due at %v", due)
		} else if due != 0 {
			time.Sleep(due.Left() + time.Millisecond)
		}
		if err := chain.Step(t.Context()); err != nil && !errors.Is(err, ErrRefused) {
			t.Error(err)
		}
		if got := strings.Join(ears.lines, ", "); got != c.want {
			t.Errorf("got %q, expected %q", got, c.want)
		}
		if len(ears.errors) > 0 && !errors.Is(ears.errors[0], ErrTimeout) {
			t.Errorf("error %v", ears.errors[0])
		}
		if due := chain.Due(); due != 0 {
			t.Errorf("still due at %v", due)
		}
	}
}

// TestLate: it is the plugin that holds a message up whose policy counts.
func TestLate(t *testing.T) {
	waits := func(*Exchange) (Status, error) { return Status{}, nil }
	keeps := func(ex *Exchange) (Status, error) { // the response
		ex.Request.pass()
		return Status{}, nil
	}
	for _, c := range []struct {
		guests []func(*Exchange) (Status, error)
		d      Direction
		want   string
	}{
		{[]func(*Exchange) (Status, error){pass, waits}, Request, "fail 1 passed"},
		{[]func(*Exchange) (Status, error){waits, pass}, Request, "fail 0 passed"},
		{[]func(*Exchange) (Status, error){keeps, pass}, Response, "fail 0 passed"},
		{[]func(*Exchange) (Status, error){pass, keeps}, Response, "fail 1 passed"},
		{[]func(*Exchange) (Status, error){waits}, Request, "fail 0 passed"},
	} {
		chain, ex, _, ears := chainOf(t, FailOpen, c.guests...)
		begin(ex)
		step(t, chain)
		if c.d == Response {
			ex.Response.Arrived, ex.Response.Original = true, Headers{{":status", []byte("200")}}
			step(t, chain)
		}
		if ex.Message(c.d).Released {
			t.Fatal("nothing is held up")
		}
		if err := chain.Late(c.d, "for a reason"); err != nil {
			t.Fatal(err)
		}
		step(t, chain)
		if got := ears.lines[len(ears.lines)-1]; !strings.Contains(strings.Join(ears.lines, ", "), c.want) || !ex.Message(c.d).Released {
			t.Errorf("got %q, expected %q; released %v", got, c.want, ex.Message(c.d).Released)
		}
	}
}

// TestLeaseBy: nobody waits for an instance beyond the time it is due.
func TestLeaseBy(t *testing.T) {
	var f factory
	p := newPool(t, &f, 1, 1)
	v := lease(t, p)
	begin := time.Now()
	_, err := p.LeaseBy(t.Context(), Now().In(20*time.Millisecond))
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "all 1 are in use") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(begin); took < 20*time.Millisecond {
		t.Errorf("took %v", took)
	}
	p.Return(v)
	if v, err = p.LeaseBy(t.Context(), Now().In(time.Minute)); err != nil {
		t.Fatal(err)
	}
	p.Return(v)
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
