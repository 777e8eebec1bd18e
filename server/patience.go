package server

import (
	"fmt"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// patience is by when something must have come of an exchange.
type patience struct {
	// active is when a message came or went last; moved is set when one did since
	// that was noted.
	active plugin.Instant
	moved  bool
	// client is when the client of the stream must have its answers.
	client plugin.Instant
	// starved is how long the exchange waits for room, 0 if it doesn't, and held what
	// it holds of bodies.
	starved plugin.Instant
	held    int64
	// leaving is set when the stream is to end as soon as nothing is lost by that.
	leaving bool
	// ousted is set when the server's end has been noted.
	ousted bool
	// watch is over a wait that only a message ends. When it takes too long, the
	// exchange goes on on another goroutine, and what elsewhere gets is its end.
	watch     plugin.Watchdog
	elsewhere chan error
	// asleep is set while the exchange waits for its next turn, and overslept when the
	// watch has woken it: there are timers from then on.
	asleep, overslept bool
	// before and after are others in the roster.
	before, after *process
}

// margin is how long before a deadline of the proxy's an answer is sent.
func margin(timeout time.Duration) time.Duration {
	return min(max(timeout/10, 5*time.Millisecond), timeout/2, time.Second)
}

// begin takes note of the deadline of the stream.
func (w *patience) begin(p *process) {
	w.active = plugin.Now()
	if t, ok := p.ctx.Deadline(); ok {
		left := time.Until(t)
		w.client = w.active.In(max(left-margin(left), 1))
	}
}

// due is by when plugins must have acted, and idle when the exchange is over
// because nothing happens.
func (p *process) due() plugin.Instant {
	due := p.client
	if !p.ousted {
		due = due.Before(p.end.at())
	}
	if p.limits.idle > 0 {
		due = due.Before(p.active.In(p.limits.idle))
	}
	if p.limits.message > 0 {
		for i := range p.halves {
			due = due.Before(p.answerBy(&p.halves[i]))
		}
	}
	return due
}

// debts is how many answers the proxy waits for with a clock in its hand: in full
// duplex it does without one.
func (h *half) debts(mode bodyMode) int {
	if flows(mode) {
		return 0
	}
	n := len(h.chunks)
	if h.headers == owed {
		n++
	}
	if h.trailers == owed {
		n++
	}
	return n
}

// clock notes since when the proxy waits for an answer: since it has had the last
// one, if it has sent more meanwhile.
func (h *half) clock(mode bodyMode, now plugin.Instant) {
	n := h.debts(mode)
	if n == 0 {
		h.since, h.late, h.extended = 0, false, false
	} else if h.since == 0 || n < h.counted {
		h.since, h.late, h.extended = now, false, false
	}
	h.counted = n
}

// answerBy is when an answer must have been sent; 0 if none is owed.
func (p *process) answerBy(h *half) plugin.Instant {
	if h.since == 0 || h.late {
		return 0
	}
	timeout := p.patienceFor(h)
	return h.since.In(timeout - margin(timeout))
}

// patienceFor is how long the proxy waits for the answer that is due.
func (p *process) patienceFor(h *half) time.Duration {
	if h.extended {
		return p.limits.longest
	}
	return p.limits.message
}

// extend asks the proxy to wait longer, if it does that and a plugin waits for
// something that is none of the proxy's. It may be asked once for each message.
func (p *process) extend(h *half) (bool, error) {
	if p.limits.longest <= p.limits.message || h.extended || p.chain.Wake() == nil {
		return false, nil
	}
	now := plugin.Now()
	for i := range p.halves { // the proxy's clocks of both directions
		if half := &p.halves[i]; half.since != 0 && !half.extended {
			half.since, half.extended = now, true
		}
	}
	return true, p.send(&extprocv3.ProcessingResponse{OverrideMessageTimeout: durationpb.New(p.limits.longest)})
}

// tick reads the clock when the exchange has moved.
func (p *process) tick() {
	if p.moved {
		p.moved, p.active = false, plugin.Now()
	}
	if p.limits.message > 0 && !p.mute {
		for i := range p.halves {
			p.halves[i].clock(p.modes.body[i], p.active)
		}
	}
}

// late applies the plugins' policies if the time of something is over. The time
// that a plugin may take for an exchange is the chain's affair.
func (p *process) late() error {
	now := plugin.Now()
	if end := p.end.at(); end != 0 && now >= end && !p.ousted {
		p.ousted, p.in.over = true, nil
		return p.giveUp("the server ends")
	}
	if p.client != 0 && now >= p.client {
		p.client = 0
		return p.giveUp("the client's deadline is near")
	}
	if idle := p.limits.idle; idle > 0 && now >= p.active.In(idle) {
		p.active = now
		return p.giveUp(fmt.Sprintf("nothing has come for %v", idle))
	}
	if p.starved != 0 && now >= p.starved {
		p.starved = 0
		return p.chain.Fail(errNoRoom)
	}
	if p.limits.message == 0 {
		return nil
	}
	for i := range p.halves {
		h := &p.halves[i]
		if t := p.answerBy(h); t == 0 || now < t {
			continue
		}
		if extended, err := p.extend(h); extended {
			return err
		}
		h.late = true
		return p.chain.Late(h.Direction, fmt.Sprintf("had no answer in time: the proxy waits for %v", p.patienceFor(h)))
	}
	return nil
}

// giveUp has the exchange go on without the plugins, if it may, and the stream end.
func (p *process) giveUp(why string) error {
	p.leaving = true
	if p.chain.Over() {
		return nil
	}
	return p.chain.Fail(&plugin.Failure{Kind: plugin.Late, Message: why})
}

// leaves says whether the stream may end without an answer being missed. What the
// proxy has sent of a full-duplex body it has not kept.
func (p *process) leaves() bool {
	for i := range p.halves {
		h := &p.halves[i]
		if h.headers != nothing && flows(p.modes.body[i]) && !h.msg.NoBody && !h.sentEnd {
			return false
		}
	}
	return p.leaving
}

// receive waits for the next message. If the bell is rung before, or due has come, the
// exchange goes on on another goroutine, and the error is errElsewhere.
func (p *process) receive(bell *plugin.Bell, due plugin.Instant) (*codec.Message, error) {
	if bell.Still() {
		return nil, nil
	}
	p.sleep(due)
	if bell != nil {
		bell.Listen((*receiving)(p))
		if bell.Ringing() {
			(*receiving)(p).Wake()
		}
	}
	r := p.in.receive()
	if p.watch.Done() {
		p.in.pending <- r
		return nil, errElsewhere
	}
	return &r.message, r.err
}

// receiving is an exchange in receive, or past it.
type receiving process

// Wake implements plugin.Waker.
func (r *receiving) Wake() {
	r.watch.Hasten(plugin.Now(), (*process)(r).goElsewhere)
	r.watch.Overdue()
}

// poll is next for a stream that goes on in turns. The error is errLater when there is
// nothing before the next one.
func (p *process) poll(bell *plugin.Bell, due plugin.Instant) (*codec.Message, error) {
	if p.asleep {
		p.asleep = false
		p.overslept = p.watch.Done()
	}
	switch m, ok, err := p.in.turned.Poll(); {
	case ok:
		return m, err
	case p.overslept:
		return p.in.nextOr(bell.Rung(), due)
	}
	if bell != nil {
		bell.Listen(p.in.turned)
		if bell.Still() {
			return nil, nil
		}
	}
	p.asleep = true
	p.sleep(due)
	return nil, errLater
}

// sleep has the exchange woken when due has come.
func (p *process) sleep(due plugin.Instant) {
	if due == 0 {
		due = forever
	}
	if due-p.active > plugin.Instant(2*sweepPause) {
		p.watch.BeginBy(due, nil)
	} else {
		p.watch.BeginBy(due, p.goElsewhere)
	}
	if end := p.end.at(); end != 0 && !p.ousted {
		p.watch.Hasten(end, p.goElsewhere) // it may have come to be known just now
	}
}

// goElsewhere has the exchange go on on a goroutine of its own, as this one waits
// for a message and can't be woken. It gets the message when it comes.
func (p *process) goElsewhere() {
	if p.in.turned != nil {
		p.in.turned.Wake()
		return
	}
	p.in.pending = make(chan received, 1)
	p.elsewhere = make(chan error, 1)
	go func() { p.elsewhere <- p.serve() }()
}
