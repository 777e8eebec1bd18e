package server

import (
	"context"
	"strings"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
)

// patient is a proxy that sends when it likes and waits for what comes of it.
type patient struct {
	*wire
	t     *testing.T
	got   chan *extprocv3.ProcessingResponse
	ended chan error
	// cancel ends the stream, and over is closed when it has ended.
	cancel context.CancelFunc
	over   chan struct{}
}

func (p *patient) Send(resp *extprocv3.ProcessingResponse) error {
	p.got <- resp
	return nil
}

// meet opens a stream of a patient proxy.
func meet(ctx context.Context, t *testing.T, s *Service) *patient {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	p := &patient{wire: newWire(ctx), t: t, got: make(chan *extprocv3.ProcessingResponse, 100), ended: make(chan error, 1)}
	p.ready = make(chan struct{}, 100) // nobody listens
	p.cancel, p.over = cancel, make(chan struct{})
	go func() {
		defer close(p.over)
		p.ended <- serveStream(s, p)
	}()
	t.Cleanup(p.stop)
	return p
}

// play sends lines that begin with "> " and expects those with "< ", "end" for the
// clean end of the stream, and "silence" for nothing during some time.
func (p *patient) play(mode [2]bodyMode, talk string) {
	p.t.Helper()
	first := true
	for line := range strings.Lines(talk) {
		line = strings.TrimSpace(line)
		sent, send := strings.CutPrefix(line, "> ")
		switch {
		case line == "":
		case send:
			m := msg(sent)
			if first {
				m.ProtocolConfig = &extprocv3.ProtocolConfiguration{RequestBodyMode: mode[0], ResponseBodyMode: mode[1]}
				first = false
			}
			p.in <- m
		case line == "silence":
			select {
			case a := <-p.got:
				p.t.Errorf("answered %s, expected nothing", show(a))
			case err := <-p.ended:
				p.t.Errorf("ended with %v, expected it to go on", err)
			case <-time.After(silence):
			}
		case line == "end":
			select {
			case err := <-p.ended:
				if err != nil {
					p.t.Errorf("ended with %v", err)
				}
			case <-time.After(time.Minute):
				p.t.Error("no end")
			}
		default:
			select {
			case a := <-p.got:
				if got := strings.TrimSpace("< " + show(a)); got != line {
					p.t.Errorf("got %q, expected %q", got, line)
				}
			case <-time.After(time.Minute):
				p.t.Errorf("no answer, expected %q", line)
			}
		}
	}
}

// soon is when something ends for which nothing comes, and silence is longer than that.
// What comes in time has to come sooner, on a busy machine too.
const (
	soon    = 200 * time.Millisecond
	silence = 2 * soon
)

// TestPatience: whatever a guest waits for, its exchange comes to an end by a limit,
// and by its plugin's policy.
func TestPatience(t *testing.T) {
	idle, message := Options{Idle: soon}, Options{MessageTimeout: soon}
	for _, c := range []struct {
		name     string
		opts     Options
		exchange time.Duration // limits.exchange
		deadline time.Duration // of the client
		open     bool
		// ends is set where a stream ends in silence, if it goes on in turns: one that is
		// read can't.
		ends bool
		mode [2]bodyMode
		does func(*script) error // none of the scripts
		talk string
	}{
		{name: "idle", opts: idle, talk: `
			> qh x-do: hold eos
			< immediate 503
			> rh :status: 200
			end`},
		{name: "idle, open", opts: idle, open: true, ends: true, talk: `
			> qh x-do: hold eos
			< qh
			silence
			> rh :status: 200
			end`},
		{name: "idle in the response, open", opts: idle, open: true, ends: true, talk: `
			> qh x-do: read-response eos
			< qh
			> rh :status: 200
			< rh override NONE/BUFFERED trailers DEFAULT/SEND
			silence
			> rb abc eos
			end`},
		{name: "idle although nobody waits", opts: idle, talk: `
			> qh x-do: pass
			< qh
			< immediate 503
			> rh :status: 200
			end`},
		{name: "idle with a body between", opts: idle, open: true, mode: [2]bodyMode{duplex, none}, talk: `
			> qh x-do: stream-request
			< qh
			> qb abc
			< qb stream ABC
			< immediate 503
			> qb def
			end`},
		{name: "idle behind all plugins, a body between", opts: idle, open: true, mode: [2]bodyMode{duplex, duplex}, talk: `
			> qh x-do: hold
			< qh
			silence
			> qb abc
			< qb stream abc
			silence
			> qb def eos
			< qb stream def eos
			end`},
		{name: "idle while something else is waited for", opts: idle, talk: `
			> qh x-do: callout-long eos
			< immediate 503
			end`},
		{name: "a body that does not come", opts: Options{Idle: 4 * soon, MessageTimeout: soon}, mode: [2]bodyMode{buffered, none}, talk: `
			> qh x-do: hoard
			< qh
			silence
			< immediate 503
			> qb abc
			end`},
		{name: "a message that the guest keeps", opts: message, open: true, mode: [2]bodyMode{streamed, none}, talk: `
			> qh x-do: hold
			< qh
			silence
			> qb abc eos
			< qb
			> rh :status: 200
			< rh`},
		{name: "message timeout", opts: message, talk: `
			> qh x-do: callout-long eos
			< immediate 503
			end`},
		{name: "a longer message timeout is asked for", opts: Options{MessageTimeout: soon, MaxMessageTimeout: time.Minute}, talk: `
			> qh x-do: callout-slow eos
			< - timeout 1m0s
			< qh =x-called: 1
			> rh :status: 200
			< - timeout 1m0s
			< rh =x-called: 2`},
		{name: "a longer message timeout is asked for once", opts: Options{MessageTimeout: soon, MaxMessageTimeout: 2 * soon}, talk: `
			> qh x-do: callout-long eos
			< - timeout 400ms
			< immediate 503
			end`},
		{name: "no longer message timeout for what the proxy is waited for", opts: Options{MessageTimeout: soon, MaxMessageTimeout: time.Minute}, talk: `
			> qh x-do: hold eos
			< immediate 503`},
		{name: "message timeout, open", opts: message, open: true, talk: `
			> qh x-do: callout-long eos
			< qh
			silence
			> rh :status: 200
			< rh`},
		{name: "no message timeout in full duplex", opts: message, mode: [2]bodyMode{duplex, none}, talk: `
			> qh x-do: read-request
			> qb abc
			silence
			> qb eos
			< qh =x-length: iii
			< qb stream ABC eos`},
		{name: "no message timeout while nothing is owed", opts: message, talk: `
			> qh x-do: pass eos
			< qh
			silence
			> rh :status: 200
			< rh`},
		{name: "the client's deadline", deadline: 5 * soon, talk: `
			> qh x-do: hold eos
			< immediate 503`},
		{name: "the client's deadline, open", deadline: 5 * soon, open: true, talk: `
			> qh x-do: hold eos
			< qh
			end`},
		{name: "the plugin's limit", exchange: soon, talk: `
			> qh x-do: hold eos
			< immediate 503`},
		{name: "the plugin's limit, open", exchange: soon, open: true, talk: `
			> qh x-do: hold eos
			< qh
			silence
			> rh :status: 200 eos
			< rh`},
		{name: "the plugin's limit, waiting for something else", exchange: soon, open: true, talk: `
			> qh x-do: callout-long eos
			< qh
			> rh :status: 200 eos
			< rh`},
		{name: "waiting for the proxy alone, and woken", opts: Options{MessageTimeout: time.Minute}, does: rouses, talk: `
			> qh eos
			< qh =x-woken: 1
			> rh :status: 200 eos
			< rh =x-woken: 2`},
		{name: "within all limits", opts: Options{MessageTimeout: time.Minute}, exchange: time.Minute, deadline: time.Minute, talk: `
			> qh x-do: callout eos
			< qh =x-called: 1
			> rh :status: 200 eos
			< rh =x-called: 2`},
	} {
		both(t, c.name, func(t *testing.T, turns bool) {
			t.Parallel()
			strategy := plugin.FailClose
			if c.open {
				strategy = plugin.FailOpen
			}
			cur, module := current(t, strategy)
			module.does = c.does
			set := cur.Acquire()
			set.Plugins[0].Spec.Limits.Exchange = c.exchange
			_ = set.Release()
			ctx := t.Context()
			if c.deadline != 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.deadline)
				defer cancel()
			}
			talk := c.talk
			if c.ends && turns {
				talk, _, _ = strings.Cut(talk, "silence")
				talk += "end"
			}
			meet(ctx, t, inTurns(New(cur, c.opts), turns)).play(c.mode, talk)
		})
	}
}
