package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Chain is plugins at work on one exchange. Each has a view of the exchange of its
// own: what one releases arrives at the next, requests in the plugins' order and
// responses in reverse. A single plugin works on the exchange itself. One
// goroutine at a time may use a chain.
type Chain struct {
	ex     *Exchange
	links  []link
	alone  [1]link // the links of a single plugin
	bounds Bounds
	watch  Observer
	wakes  wakes
	due    Instant // when the step must have come to its end

	// origin is the link that the response comes from: one that answers in the
	// upstream's place, or else the upstream, behind the last.
	origin int
	local  bool
	// off is set when the exchange passes all plugins by, and failed when it
	// does so because they failed.
	off, failed bool
}

// Bounds are how many bytes of a body may wait between two plugins.
type Bounds struct {
	// Queued is how many while the reader waits for something else.
	Queued int
	// Buffered is how many at most; a plugin that lets more pile up fails.
	Buffered int
}

// Observer hears of the plugins of an exchange, each known by its place.
type Observer interface {
	Started(i int)
	// Ran is told how long a step took.
	Ran(i int, took time.Duration)
	// Failed is told of a failure and its remedy. The place is -1 if what all
	// plugins together want is not to be had.
	Failed(i int, err error, then Remedy)
	// Renewed is told what a failure meant for the plugin's instances.
	Renewed(i int, how Renewal)
}

// ErrRefused says that the exchange is to be refused, as a plugin has failed. The
// error that matches it is a *Refusal.
var ErrRefused = errors.New("a plugin failed")

// link is one plugin of a chain.
type link struct {
	plugin *Plugin
	ex     *Exchange // its view
	guest  Guest     // while at work
	due    bool      // it is to be stepped: something has changed for it
	over   bool      // it will not be stepped any more
	until  Instant   // when its time for the exchange is over
	local  bool      // it answers in the upstream's place
	wake   *Bell
	idle   bool // nothing that is under way is to ring it
}

// Init readies a chain for an exchange, whose Attributes are set. No plugin is started before the request
// has arrived at it.
func (c *Chain) Init(ex *Exchange, plugins []*Plugin, bounds Bounds, watch Observer) {
	*c = Chain{ex: ex, bounds: bounds, watch: watch, origin: len(plugins)}
	if len(plugins) == 1 {
		c.alone[0] = link{plugin: plugins[0], ex: ex}
		c.links = c.alone[:]
		return
	}
	c.links = make([]link, len(plugins))
	views := make([]Exchange, len(plugins))
	shared := ex.left()
	for i, p := range plugins {
		views[i].ID, views[i].Attributes, views[i].shared = ex.ID, ex.Attributes, shared
		c.links[i] = link{plugin: p, ex: &views[i]}
	}
}

// Hurry says when the next steps must have come to their end at the latest.
func (c *Chain) Hurry(due Instant) { c.due = due }

// Step lets the plugins act on what has arrived until all of them wait or are
// done. The error is a *Refusal or that of ctx.
func (c *Chain) Step(ctx context.Context) error {
	if c.off {
		c.ex.Request.pass()
		c.ex.Response.pass()
		return nil
	}
	if err := c.expire(); err != nil {
		return err
	}
	if len(c.links) == 1 {
		return c.stepAlone(ctx)
	}
	c.wakes.collect(c.links)
	for {
		c.flow(Request)
		c.flow(Response)
		i := c.next()
		if i < 0 {
			c.wakes.arm(c.links)
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.run(ctx, i); err != nil {
			return err
		}
	}
}

func (c *Chain) stepAlone(ctx context.Context) error {
	l := &c.links[0]
	if !l.over {
		if err := c.run(ctx, 0); err != nil {
			return err
		}
	}
	if l.over {
		c.ex.Request.pass()
		c.ex.Response.pass()
	}
	c.local, c.wakes.wake = l.local, l.wake
	return nil
}

// next is a link that is due, -1 if none is. The later in a message's way are
// preferred: their work makes room for that of the others.
func (c *Chain) next() int {
	for i := len(c.links) - 1; i >= 0; i-- {
		if c.links[i].due {
			return i
		}
	}
	return -1
}

// Wake is nil, or is rung when a plugin wants a step although nothing has arrived.
func (c *Chain) Wake() *Bell { return c.wakes.wake }

// Idle says whether nothing that is under way is to ring that bell.
func (c *Chain) Idle() bool {
	for i := range c.links {
		if l := &c.links[i]; l.wake != nil && !l.idle {
			return false
		}
	}
	return true
}

// Local says whether the response is one in place of the upstream's.
func (c *Chain) Local() bool { return c.local }

// Pass lets the exchange pass all plugins by.
func (c *Chain) Pass() { c.off = true }

// Close ends the plugins' work, wherever it stands.
func (c *Chain) Close() {
	for i := range c.links {
		c.links[i].close()
	}
	c.wakes.wake = nil
}

// run lets a plugin act.
func (c *Chain) run(ctx context.Context, i int) error {
	l := &c.links[i]
	l.due = false
	if l.guest == nil {
		c.watch.Started(i)
		if limit := l.plugin.Spec.Limits.Exchange; limit != 0 {
			l.until = Now().In(limit)
		}
		guest, err := l.plugin.Module.Start(l.ex)
		if err != nil {
			return c.fail(i, err)
		}
		l.guest = guest
	}
	if err := l.excess(); err != nil {
		return c.fail(i, err)
	}
	l.ex.Due = c.due.Before(l.until)
	l.ex.Began = Now()
	st, err := l.guest.Step(ctx)
	c.watch.Ran(i, time.Duration(Now()-l.ex.Began))
	if l.wake != nil && l.wake != st.Wake {
		l.wake.Listen(nil)
	}
	l.wake, l.idle = st.Wake, st.Idle
	if r := &l.ex.Response; !l.local && r.Released && !r.Arrived {
		l.local = true
		c.answer(i)
	}
	switch {
	case err != nil:
	case st.Done:
		l.close()
		err = l.open()
	default:
		if err = l.excess(); err == nil {
			err = c.hoards(l)
		}
	}
	if err != nil {
		return c.fail(i, err)
	}
	return nil
}

// answer makes a link the origin of the response. The links behind it are out.
func (c *Chain) answer(i int) {
	for c.origin > i {
		c.origin--
		if c.origin > i {
			c.links[c.origin].close()
		}
	}
}

// close finishes a guest, wherever it stands.
func (l *link) close() {
	if l.wake != nil {
		l.wake.Listen(nil) // it may be another exchange's soon
	}
	l.over, l.due, l.wake = true, false, nil
	if l.guest != nil {
		l.guest.Close()
		l.guest = nil
	}
}

// open says what a guest that has finished has left open.
func (l *link) open() error {
	left := func(format string, args ...any) error {
		return &Failure{Plugin: l.plugin.Spec.Name, Kind: Unanswered, Message: fmt.Sprintf(format, args...)}
	}
	if !l.ex.Request.Released && !l.ex.Response.Released {
		return left("ended without letting the request go on or answering it")
	}
	for d := range Direction(2) {
		if m := l.ex.Message(d); m.Released && !m.Complete() {
			return left("ended in the middle of the %v", Phase{d, BodyPart})
		}
	}
	return nil
}

// excess says whether the guest is at a body that is longer than it may read: as
// soon as that is known, so that the exchange can still go on without it.
func (l *link) excess() error {
	limit := l.plugin.Spec.Limits.Body
	if limit == 0 {
		return nil
	}
	for d := range Direction(2) {
		m := l.ex.Message(d)
		if !m.WantBody || m.passes() || m.Complete() {
			continue
		}
		n := m.In.Total()
		if announced, ok := m.announced(); ok && !m.NoBody {
			n = max(n, announced)
		}
		if n <= limit {
			continue
		}
		f := &Failure{Plugin: l.plugin.Spec.Name, Kind: TooLarge, Message: fmt.Sprintf("the %v is longer than %d bytes, which is the most it may read", Phase{d, BodyPart}, limit)}
		if d == Request {
			f.Status = http.StatusRequestEntityTooLarge
		}
		return f
	}
	return nil
}

// hoards says whether a guest lets too much of a body pile up.
func (c *Chain) hoards(l *link) error {
	for d := range Direction(2) {
		m := l.ex.Message(d)
		if n := m.In.Len(); n > c.bounds.Buffered && !m.Complete() {
			return fmt.Errorf("%d bytes of the %v wait to be read, the most is %d", n, Phase{d, BodyPart}, c.bounds.Buffered)
		}
	}
	return nil
}

// fail applies a plugin's policy to its failure.
func (c *Chain) fail(i int, err error) error {
	l := &c.links[i]
	l.close()
	q, r := &l.ex.Request, &l.ex.Response
	moot := c.answered()
	complete := r.Complete() && (moot || q.Complete() || !q.Arrived)
	then := l.plugin.Spec.FailStrategy.remedy(complete, !l.local && r.intact() && (moot || q.intact()))
	c.watch.Failed(i, err, then)
	if how := l.plugin.renew(err); how != NotRenewed {
		c.watch.Renewed(i, how)
	}
	switch then {
	case Passed:
		q.revert()
		r.revert()
	case Refused:
		return c.refuse(i, refusal(err))
	}
	return nil
}

// answered says whether a whole response in place of the upstream's is there, so
// that nobody is to have the request any more.
func (c *Chain) answered() bool {
	return c.origin < len(c.links) && c.links[c.origin].ex.Response.Out.Ended
}

// refuse has the plugins before the one that failed see the response, if there
// are any and they can still be shown one.
func (c *Chain) refuse(i int, with *Refusal) error {
	l := &c.links[i]
	m := &l.ex.Response
	if i == 0 || m.Taken || m.Arrived && !c.answered() && !l.ex.Request.Complete() {
		return with
	}
	m.Headers, m.Plan, m.Out, m.Released = with.Headers(), Replaced, Body{Ended: true}, true
	m.Local = LocalResponse{Details: FailureDetails}
	if !m.Arrived {
		l.local = true
		c.answer(i)
	}
	return nil
}

// Fail applies the plugins' policy when what they want is not to be had. It
// returns nil if the exchange goes on without them.
func (c *Chain) Fail(err error) error {
	strategy, intact := FailOpen, !c.failed && !c.local
	for i := range c.links {
		l := &c.links[i]
		l.close()
		if l.plugin.Spec.FailStrategy != FailOpen {
			strategy = l.plugin.Spec.FailStrategy
		}
		for d := range Direction(2) {
			intact = intact && (c.ex.Message(d).Taken || l.ex.Message(d).In.Intact())
		}
	}
	intact = intact && c.ex.Request.intact() && c.ex.Response.intact()
	then, place := strategy.remedy(false, intact), -1
	if len(c.links) == 1 {
		place = 0
	}
	c.watch.Failed(place, err, then)
	c.off, c.failed, c.wakes.wake = true, true, nil
	if then == Refused {
		return refusal(err)
	}
	for d := range Direction(2) {
		if m := c.ex.Message(d); !m.Taken {
			c.giveBack(d)
			m.revert()
		}
	}
	return c.Step(context.Background())
}

// ReadsResponse says whether a plugin has been learned to replace the body of a
// response, or to read it before the headers go on. A plugin that is out of the
// exchange doesn't count.
func (c *Chain) ReadsResponse() (ever, first bool) {
	for i := range c.links {
		if l := &c.links[i]; !l.over && !c.off {
			ever = ever || l.plugin.ReadsResponse.Load()
			first = first || l.plugin.ReadsResponseFirst.Load()
		}
	}
	return ever, first
}

// Learn notes which plugins have replaced the body of the response, or wait for
// it before the headers go on.
func (c *Chain) Learn() {
	for i := range c.links {
		l := &c.links[i]
		switch m := &l.ex.Response; {
		case m.Released && m.Plan == Replaced:
			l.plugin.ReadsResponse.Store(true)
		case !m.Released && m.WantBody:
			l.plugin.ReadsResponseFirst.Store(true)
		}
	}
}
