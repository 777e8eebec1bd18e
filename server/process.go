package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
)

// process is one exchange on one stream. Its loop takes a message into the
// exchange, lets the guest act on it, and answers what can be answered: nothing,
// one message or many.
type process struct {
	*Service
	ctx context.Context
	in  inbox

	ex     plugin.Exchange
	halves [2]half
	modes  modes

	plugin  *plugin.Plugin
	meter   *meter
	started bool
	// guest is nil before the request headers and once it is finished.
	guest  plugin.Guest
	status plugin.Status

	begun bool // a message has come
	// pass is set when the guest has no say any more in what it had not released:
	// that passes as it came.
	pass bool
	// local is set when the guest answers in the upstream's place.
	local bool
	// asked is set when the one override that may be a message of its own is sent.
	asked bool
	// mute is set when the proxy only shows the exchange and takes no answers.
	mute bool
}

var (
	// errEnd: the exchange has had its last answer.
	errEnd = errors.New("end of the exchange")
	// errGone: the proxy takes no more answers.
	errGone = errors.New("the proxy is gone")
)

// run serves the exchange until the proxy ends the stream or has been told all.
// Envoy ends it as soon as nothing more can come, which looks like an error.
func (p *process) run() error {
	defer p.end()
	for {
		req, err := p.wait()
		if err != nil {
			p.linger()
			return nil
		}
		act := true
		if req != nil {
			p.metrics.received.Inc()
			if act, err = p.take(req); err != nil {
				p.metrics.failed.Inc()
				p.log.Warn("the proxy broke the protocol", "exchange", p.ex.ID, "error", err)
				return status.Error(codes.InvalidArgument, err.Error())
			}
		}
		switch err := p.advance(act); {
		case errors.Is(err, errEnd), errors.Is(err, errGone):
			p.linger()
			return nil
		case err != nil:
			p.metrics.failed.Inc()
			return err
		}
	}
}

// lingering is how long a guest may work on after its exchange.
const lingering = 10 * time.Second

// linger lets a guest that has had its say finish what else it is at, such as a
// callout that reports the exchange. The proxy ends the stream before that.
func (p *process) linger() {
	q, r := &p.halves[plugin.Request], &p.halves[plugin.Response]
	said := r.complete() && (p.local || q.complete())
	if p.guest == nil || p.status.Wake == nil || !said {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), lingering)
	defer cancel()
	p.ctx = ctx
	for p.guest != nil && p.status.Wake != nil {
		if p.in.only(ctx, p.status.Wake) != nil {
			return
		}
		if err := p.step(); err != nil {
			_ = p.fail(err) // nobody is left to be told
		}
	}
}

// end finishes the guest, wherever it stands.
func (p *process) end() {
	if p.guest != nil {
		p.guest.Close()
		p.guest = nil
	}
}

// wait is the next message, or nil when the guest wants a step without one. While
// the guest waits for something else, a proxy that sends faster than the guest
// reads is left to wait. A guest that waits for the proxy alone may wait for
// any message, and so gets all that come, up to a limit.
func (p *process) wait() (*extprocv3.ProcessingRequest, error) {
	if p.guest == nil || p.status.Wake == nil {
		return p.in.next()
	}
	for i := range p.halves {
		if p.halves[i].msg.In.Len() > p.limits.Queued {
			return nil, p.in.only(p.ctx, p.status.Wake)
		}
	}
	return p.in.nextOr(p.status.Wake)
}

// take puts a message into the exchange and says whether it concerns the guest.
func (p *process) take(req *extprocv3.ProcessingRequest) (bool, error) {
	c, ok := read(req)
	if !ok {
		return false, nil
	}
	if !p.begun {
		p.begin(c, req)
	}
	h := &p.halves[c.Direction]
	if c.body != nil && p.modes.body[c.Direction] == none {
		// The proxy did not say in which mode it sends. One answer a message is
		// right in all modes but full duplex, which is never unannounced.
		p.modes.body[c.Direction] = streamed
	}
	if err := h.take(c, p.modes.body[c.Direction]); err != nil {
		return false, err
	}
	passes := c.headers == nil && h.msg.Released && h.msg.Plan == plugin.Untouched
	return !passes, nil
}

// begin looks at the first message of the stream. A stream that does not begin
// with a request has nothing for a plugin: an earlier filter has answered it.
func (p *process) begin(c content, req *extprocv3.ProcessingRequest) {
	p.begun = true
	p.modes.learn(req.GetProtocolConfig())
	p.mute = req.GetObservabilityMode()
	if c.Direction != plugin.Request || c.headers == nil {
		p.pass = true
	}
}

// start leases the guest once the request is there.
func (p *process) start() error {
	if p.started || p.pass {
		return nil
	}
	p.started = true
	p.meter.exchanges.Inc()
	guest, err := p.plugin.Module.Start(&p.ex)
	p.guest = guest
	return err
}

// advance lets the guest act and answers the proxy, until neither can go on. A
// guest whose output has been taken away may have more.
func (p *process) advance(act bool) error {
	for {
		var err error
		if act {
			err = p.step()
		}
		if err == nil {
			act, err = p.answer()
		}
		switch {
		case errors.Is(err, errEnd), errors.Is(err, errGone):
			return err
		case err != nil:
			if err := p.fail(err); err != nil {
				return err
			}
		case !act || p.guest == nil:
			return p.bounded()
		}
	}
}

var errUndecided = errors.New("ended without letting the request go on or answering it")

// step lets the guest act.
func (p *process) step() error {
	if err := p.start(); err != nil {
		return err
	}
	if p.guest == nil {
		return nil
	}
	begin := time.Now()
	st, err := p.guest.Step(p.ctx)
	p.meter.seconds.Add(time.Since(begin).Seconds())
	p.status = st
	if p.ex.Response.Released && !p.ex.Response.Arrived {
		p.local = true
	}
	if err != nil {
		return err
	}
	if st.Done {
		return p.done()
	}
	return nil
}

// done takes leave of a guest that has finished, if it left nothing open.
func (p *process) done() error {
	p.end()
	if !p.ex.Request.Released && !p.local {
		return errUndecided
	}
	for i := range p.halves {
		if h := &p.halves[i]; h.replaced() && !h.msg.Out.Ended {
			return fmt.Errorf("ended in the middle of the %v", h.place(plugin.BodyPart, false).Phase)
		}
	}
	p.pass = true
	return nil
}

// bounded fails an exchange whose guest lets too much of a body pile up.
func (p *process) bounded() error {
	for i := range p.halves {
		if n := p.halves[i].msg.In.Len(); n > p.limits.Buffered {
			err := fmt.Errorf("%d bytes of the %v wait to be read: %w", n, plugin.Phase{Direction: p.halves[i].Direction, Part: plugin.BodyPart}, errTooLarge)
			if err := p.fail(err); err != nil {
				return err
			}
			_, err = p.answer()
			return err
		}
	}
	return nil
}

// answer sends what can be sent, and says whether it took output off the guest.
func (p *process) answer() (bool, error) {
	if p.local {
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
	if err := p.in.stream.Send(resp); err != nil {
		return errGone
	}
	p.metrics.sent.Inc()
	return nil
}
