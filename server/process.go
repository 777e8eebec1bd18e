package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// process is one exchange on one stream. Its loop takes a message into the
// exchange, lets the plugins act on it, and answers what can be answered: nothing,
// one message or many.
type process struct {
	*Service
	ctx context.Context
	in  inbox
	patience

	ex      plugin.Exchange
	told    attributes
	halves  [2]half
	modes   modes
	windows windows
	set     *plugin.Set
	route   *plugin.Route
	plugins []*plugin.Plugin // the route's
	chain   plugin.Chain
	meters  []*meter
	alone   [1]*meter // the meters of a single plugin
	observed

	// heard is set when a message has come, and begun when one of the six has.
	heard, begun bool
	// asked is set when the one override that may be a message of its own is sent.
	asked bool
	// flowing is set when a local response goes out as it is written.
	flowing bool
	// mute is set when the proxy only shows the exchange and takes no answers.
	mute bool
	// since is when the exchange began, if plugins are to be told of it.
	since time.Time
	// refused is set when the proxy was told to refuse the exchange.
	refused bool
}

var (
	// errEnd: the exchange has had its last answer.
	errEnd = errors.New("end of the exchange")
	// errGone: the proxy takes no more answers.
	errGone = errors.New("the proxy is gone")
	// errElsewhere: the exchange goes on on another goroutine.
	errElsewhere = errors.New("served elsewhere")
	// errLater: the exchange goes on with its next turn.
	errLater = errors.New("served later")
)

// run serves the exchange until the proxy ends the stream or has been told all.
func (p *process) run() error {
	err := p.serve()
	if errors.Is(err, errElsewhere) {
		return <-p.elsewhere
	}
	return err
}

// serve is run, or what is left of it. Whoever gets to the end cleans up.
func (p *process) serve() (err error) {
	defer func() {
		if r := recover(); r != nil {
			p.metrics.failed.Inc()
			p.logger().Error("exchange panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "internal error")
		}
		if !errors.Is(err, errElsewhere) && !errors.Is(err, errLater) {
			p.ended(err)
			p.roster.remove(p)
			p.watch.Close()
			p.chain.Close()
			p.memory.add(-p.held)
			p.tell()            // when the chain is closed
			_ = p.set.Release() // what went wrong is in the log
			p.live.Add(-1)
		}
	}()
	return p.loop()
}

// loop takes messages and wakes as they come. Envoy ends the stream as soon as
// nothing more can come, which looks like an error.
func (p *process) loop() error {
	for {
		m, err := p.wait()
		switch {
		case errors.Is(err, errElsewhere), errors.Is(err, errLater):
			return err
		case err != nil:
			return p.leave()
		}
		act := true
		p.step = woken
		if m != nil {
			p.metrics.received.Inc()
			if act, err = p.take(m); err != nil {
				p.metrics.failed.Inc()
				p.logger().Warn("the proxy broke the protocol", "error", err)
				return status.Error(codes.InvalidArgument, err.Error())
			}
			p.tick()
		} else {
			err = p.late()
		}
		switch err := p.advance(act, err); {
		case errors.Is(err, errEnd), errors.Is(err, errGone):
			p.linger()
			return nil
		case errors.Is(err, errBroken):
			return err
		case err != nil:
			p.metrics.failed.Inc()
			return err
		case p.leaves(), p.spent(), p.mute && p.chain.Over():
			return nil
		}
		if errors.Is(p.credit(), errGone) {
			return nil
		}
	}
}

// leave ends an exchange whose proxy has ended the stream.
func (p *process) leave() error {
	p.shownAll()
	p.linger()
	return nil
}

// lingering is how long a guest may work on, unless the service says otherwise.
const lingering = 10 * time.Second

// linger lets a plugin that has had its say finish what else it is at, such as a
// callout that reports the exchange. The proxy ends the stream before that.
func (p *process) linger() {
	q, r := &p.ex.Request, &p.ex.Response
	if p.chain.Wake() == nil || !r.Complete() || !p.chain.Local() && q.Arrived && !q.Complete() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), p.lingering)
	defer cancel()
	for p.chain.Wake() != nil {
		if p.in.only(ctx, p.chain.Wake().Rung(), nil, 0) != nil || p.chain.Step(ctx) != nil {
			return
		}
	}
}

// wait is the next message, or nil when a plugin wants a step without one. While
// a plugin waits for something else, a proxy that sends faster than the plugins
// read is left to wait. One that waits for the proxy alone may wait for any
// message, and so gets all that come, up to a limit. It is nil too when the time
// of something is over.
func (p *process) wait() (*codec.Message, error) {
	p.tick()
	p.account()
	bell := p.chain.Wake()
	wake := bell.Rung()
	room := p.room()
	due := p.due().Before(p.chain.Due()).Before(p.starved)
	if room != nil {
		return nil, p.in.only(p.ctx, wake, room, due)
	}
	for i := range p.halves {
		if wake != nil && p.halves[i].msg.In.Len() > p.limits.Queued {
			return nil, p.in.only(p.ctx, wake, nil, due)
		}
	}
	m, err := p.next(bell, due)
	if m != nil { // without one, the exchange may be another goroutine's by now
		p.moved = true
	}
	return m, err
}

// next is the next message, or nil if the bell was rung or due has come before.
func (p *process) next(bell *plugin.Bell, due plugin.Instant) (*codec.Message, error) {
	switch {
	case p.flowing:
	case p.in.turned != nil:
		return p.poll(bell, due)
	case p.in.pending == nil && p.elsewhere == nil && p.chain.Idle():
		return p.receive(bell, due)
	}
	return p.in.nextOr(bell.Rung(), due)
}

// take puts a message into the exchange and says whether it concerns a plugin.
func (p *process) take(m *codec.Message) (bool, error) {
	p.hear(m)
	if !m.Shows {
		return false, nil
	}
	p.shown(m)
	p.told.learn(m.Direction, m.Rest)
	first := !p.begun
	if first {
		p.begun = true
		p.choose()
	}
	p.missing(m, first)
	p.unasked(m)
	h := &p.halves[m.Direction]
	if m.IsBody() && p.modes.body[m.Direction] == none {
		// The proxy did not say in which mode it sends. One answer a message is
		// right in all modes but full duplex, which is never unannounced.
		p.modes.body[m.Direction] = streamed
	}
	if err := h.take(m, p.modes.body[m.Direction]); err != nil {
		return false, err
	}
	p.windows.arrived(m)
	p.came(m)
	passes := !m.IsHeaders() && h.msg.Released && h.msg.Plan == plugin.Untouched
	return !passes, nil
}

// hear takes over what a message says beside what it shows. The first may show
// nothing, as one that only tells of windows.
func (p *process) hear(m *codec.Message) {
	if !p.heard {
		p.heard = true
		p.modes.learn(m.Rest.GetProtocolConfig())
	}
	p.mute = p.mute || m.Mute
	p.windows.learn(m.Rest, p.limits.Queued)
}

// advance lets the plugins act and answers the proxy, until neither can go on. A
// plugin whose output has been taken away may have more. It begins with what has
// gone wrong already, if anything has.
func (p *process) advance(act bool, err error) error {
	p.chain.Hurry(p.due())
	for {
		if act && err == nil {
			err = p.chain.Step(p.ctx)
		}
		if err == nil {
			act, err = p.answer()
		}
		switch {
		case errors.Is(err, errEnd), errors.Is(err, errGone):
			return err
		case err != nil:
			if err = p.fail(err); err != nil {
				return err
			}
		case !act:
			return nil
		}
	}
}

// answer sends what can be sent, and says whether it took output off the plugins.
func (p *process) answer() (bool, error) {
	if p.chain.Local() {
		return p.answerLocally()
	}
	moved := false
	for i := range p.halves {
		m, err := p.respond(&p.halves[i])
		if err != nil {
			return false, err
		}
		moved = moved || m
	}
	return moved, nil
}

// send sends one message.
func (p *process) send(resp *extprocv3.ProcessingResponse) error {
	if p.mute {
		return nil
	}
	if err := p.in.stream.Send(p.withWindows(p.withMetadata(resp))); err != nil {
		return errGone
	}
	p.metrics.sent.Inc()
	p.moved = true
	p.went(resp)
	return nil
}
