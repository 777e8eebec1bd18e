package plugin

import (
	"errors"
	"strings"
	"testing"
)

// TestBodyLimit: a guest may read no more of a body than its limit. What happens
// to the exchange then depends on whether anything of it would be missing.
func TestBodyLimit(t *testing.T) {
	reads := func(ex *Exchange) (Status, error) { // takes what is there, then wants the rest
		ex.Request.WantBody = true
		ex.Request.In.Discard()
		return Status{}, nil
	}
	waits := func(ex *Exchange) (Status, error) {
		ex.Request.WantBody = true
		return Status{}, nil
	}
	readsResponse := func(ex *Exchange) (Status, error) {
		ex.Request.pass()
		ex.Response.WantBody = true
		return Status{}, nil
	}
	for _, c := range []struct {
		name     string
		guest    func(*Exchange) (Status, error)
		length   string // announced
		strategy FailStrategy
		body     []string
		d        Direction
		want     string
	}{
		{"within", waits, "", FailClose, []string{"12345", "67890"}, Request, "start 0"},
		{"beyond", waits, "", FailClose, []string{"12345", "678901"}, Request, "start 0, fail 0 refused: 413"},
		{"beyond, nothing read", waits, "", FailOpen, []string{"12345", "678901"}, Request, "start 0, fail 0 passed"},
		{"beyond, some of it read", reads, "", FailOpen, []string{"12345", "678901"}, Request, "start 0, fail 0 refused: 413"},
		{"announced", reads, "11", FailOpen, nil, Request, "start 0, fail 0 passed"},
		{"announced, closed", reads, "11", FailReload, nil, Request, "start 0, fail 0 refused: 413"},
		{"announced within", reads, "10", FailClose, []string{"1234567890"}, Request, "start 0"},
		{"of no concern", pass, "11", FailClose, []string{"12345", "678901"}, Request, "start 0"},
		{"a response", readsResponse, "", FailClose, []string{"12345", "678901"}, Response, "start 0, fail 0 refused: 503"},
		{"a response announced", readsResponse, "11", FailOpen, nil, Response, "start 0, fail 0 passed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain, ex, _, ears := chainOf(t, c.strategy, c.guest)
			chain.links[0].plugin.Spec.Limits.Body = 10
			begin(ex)
			if c.d == Response {
				step(t, chain)
				ex.Response.Arrived = true
			}
			m := ex.Message(c.d)
			if c.length != "" {
				m.Original = append(m.Original, Field{"content-length", []byte(c.length)})
			}
			err := chain.Step(t.Context())
			for _, chunk := range c.body {
				if err == nil {
					m.In.Push([]byte(chunk))
					err = chain.Step(t.Context())
				}
			}
			got := strings.Join(ears.lines, ", ")
			if no := (*Refusal)(nil); errors.As(err, &no) {
				got += ": " + string(no.Headers()[0].Value)
			}
			if got != c.want {
				t.Errorf("got %q, expected %q", got, c.want)
			}
		})
	}
}
