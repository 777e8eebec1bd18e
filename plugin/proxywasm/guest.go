package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/extproc/extproc/plugin"
)

// stream is an exchange at work in a VM, with its stream context.
type stream struct {
	plugin *Module
	ex     *plugin.Exchange
	vm     *vm // from the first step on
	cx     Context
	made   bool // the guest knows the context

	halves  [2]half
	local   *localResponse // to be sent once the callback has returned
	details string         // of the local response
	body    plugin.Body    // of the local response
	// answered is set when a local response is past all callbacks.
	answered bool
	closing  bool // the guest wants the stream to be reset
	logging  bool // in on_log

	events     []func()          // to be run in a step
	properties map[string][]byte // set outside of a step, to be handed on in one
	reroute    bool              // the guest wants another route
	used       time.Duration     // running time so far
	due        plugin.Instant    // of the exchange, in a step
	wake       *plugin.Bell
	text       plugin.Copies
}

var errClosedGuest = errors.New("the exchange is over")

// lease is what the server holds of a stream, so that one that is already at
// another exchange's service can't be reached by mistake.
type lease struct{ stream *stream }

// Step implements plugin.Guest.
func (l *lease) Step(ctx context.Context) (plugin.Status, error) {
	if l.stream == nil {
		return plugin.Status{}, errClosedGuest
	}
	return l.stream.step(ctx)
}

// Close implements plugin.Guest.
func (l *lease) Close() {
	if s := l.stream; s != nil {
		l.stream = nil
		s.close()
		s.plugin.recycle(s)
	}
}

// Held implements plugin.Holder: a guest that has a body buffered has it kept here.
func (l *lease) Held() int {
	n := 0
	if s := l.stream; s != nil {
		for i := range s.halves {
			n += len(s.halves[i].held) + len(s.halves[i].chunk)
		}
	}
	return n
}

func (s *stream) step(ctx context.Context) (plugin.Status, error) {
	if !s.ex.Request.Arrived {
		if !s.ex.Response.Arrived || !s.plugin.watchesResponse() {
			return s.skip(), nil
		}
		s.halves[plugin.Request].ended = true // it went by unseen
	}
	now := s.ex.Began
	if s.vm == nil {
		v, err := s.plugin.lease(ctx, s.ex.Due)
		if err != nil {
			return plugin.Status{}, fmt.Errorf("plugin %s: %w: %w", s.plugin.spec.Name, plugin.ErrNoInstance, err)
		}
		s.vm, now = v, 0 // which may have been waited for
	}
	v := s.vm
	if s.due = s.ex.Due; !v.mu.TryLock() {
		now = 0
		if !v.lockBy(s.due) {
			return plugin.Status{}, s.late()
		}
	}
	defer v.mu.Unlock()
	s.wake.Still()
	v.stepping, v.now = s, now
	err := s.act()
	v.stepping = nil
	if err != nil {
		return plugin.Status{}, err
	}
	if s.done() {
		return plugin.Status{Done: true}, nil
	}
	return plugin.Status{Wake: s.wake, Idle: s.idle()}, nil
}

// idle says whether the guest has left off where only the proxy goes on: it has stopped
// no message, and no callout of its VM is under way.
func (s *stream) idle() bool {
	return s.halves[0].paused == notPaused && s.halves[1].paused == notPaused && len(s.cx.root.calls) == 0
}

func (s *stream) late() error {
	return &plugin.Failure{Plugin: s.plugin.spec.Name, Kind: plugin.Late, Message: "its VM was at work for other exchanges for too long"}
}

// done says whether the guest will have no more to do with the exchange.
func (s *stream) done() bool {
	request, response := &s.halves[plugin.Request], &s.halves[plugin.Response]
	if !request.ended {
		return false
	}
	m := request.msg
	whole := !m.Released || m.Plan == plugin.Untouched || m.Out.Ended
	if !whole {
		m.In.Discard() // what comes of an aborted request is of no use
	}
	return whole && (response.ended || !s.plugin.watchesResponse() && !response.local)
}

// skip lets an exchange pass that begins with its response, as when an earlier
// filter has answered, and of which the guest would see no response either.
func (s *stream) skip() plugin.Status {
	m := &s.ex.Response
	if !m.Arrived {
		return plugin.Status{}
	}
	m.Headers, m.Plan, m.Released = m.Original, plugin.Untouched, true
	return plugin.Status{Done: true}
}

// act does what there is to do in a step.
func (s *stream) act() error {
	if s.vm.dead != nil {
		return s.lost()
	}
	if !s.made {
		if err := s.create(); err != nil {
			return err
		}
	}
	for path, value := range s.properties {
		s.ex.SetProperty(path, plugin.Bytes(value))
	}
	clear(s.properties)
	for len(s.events) > 0 {
		f := s.events[0]
		s.events = s.events[1:]
		f()
	}
	if s.vm.dead != nil {
		return s.lost()
	}
	return s.drive()
}

// drive makes all callbacks that can be made.
func (s *stream) drive() error {
	for {
		if s.local != nil {
			if err := s.answer(); err != nil {
				return err
			}
		}
		if s.closing {
			return s.failure("it closed the stream")
		}
		moved := false
		for i := range s.halves {
			more, err := s.advance(&s.halves[i])
			if err != nil {
				return err
			}
			if more {
				moved = true
				break // a local response comes before anything else
			}
		}
		if !moved && s.local == nil && !s.closing {
			return nil
		}
	}
}

// create makes the stream context.
func (s *stream) create() error {
	v := s.vm
	s.cx = Context{plugin: s.plugin, root: v.roots[s.plugin], stream: s}
	v.newContext(&s.cx)
	s.made = true
	_, err := s.call(onContextCreate, uint64(s.cx.root.id))
	return err
}

// call makes a callback for the stream's context.
func (s *stream) call(id callbackID, args ...uint64) (uint32, error) {
	all := [4]uint64{uint64(s.cx.id)}
	n := 1 + copy(all[1:], args)
	return s.vm.invoke(&s.cx, id, all[:n]...)
}

// stopped says whether the callback that has just been made put an end to the
// message, whatever it returned.
func (s *stream) stopped() bool { return s.local != nil || s.closing }

// lost is the error of an exchange whose VM was lost to another one's callback.
func (s *stream) lost() error {
	f := &plugin.Failure{Plugin: s.plugin.spec.Name, Kind: plugin.Trapped, Err: s.vm.dead}
	f.Message = "its VM was lost: " + s.vm.dead.Error()
	return f
}

// failure is the error of a guest that wants what can't be had from here.
func (s *stream) failure(message string) error {
	return &plugin.Failure{Plugin: s.plugin.spec.Name, Kind: plugin.Unanswered, Message: message}
}

// notify has the exchange stepped, unless it just is. It may be called by whoever
// holds the VM's lock.
func (s *stream) notify() {
	if s.vm.stepping == s {
		return
	}
	s.wake.Ring()
}

// close ends the stream's context in the order in which Envoy does.
func (s *stream) close() {
	v := s.vm
	if v == nil {
		return
	}
	v.mu.Lock()
	v.stepping, v.now, s.due = s, 0, 0
	if s.made && v.dead == nil {
		s.logging = true
		for i := range s.halves {
			s.halves[i].headers.visible, s.halves[i].trailers.visible = false, false
		}
		for _, id := range [...]callbackID{onLog, onDone, onDelete} {
			if _, err := s.call(id); err != nil {
				break
			}
			s.logging = false
		}
	}
	delete(v.contexts, s.cx.id)
	for _, f := range s.events {
		v.post(f)
	}
	v.stepping = nil
	v.mu.Unlock()
	s.plugin.giveBack(v)
}

// proxy_stream_type_t
const (
	requestStream = iota
	responseStream
	downstreamStream
	upstreamStream
	streamCount
)

func continueStream(c *call) Status {
	switch id := c.u32(0); id {
	case requestStream, responseStream:
		return c.cx.goOn(id)
	case downstreamStream:
		return OK // there is no TCP stream here
	}
	return Unimplemented
}

func continueRequest(c *call) Status { return c.cx.goOn(requestStream) }

func continueResponse(c *call) Status { return c.cx.goOn(responseStream) }

// goOn lets a message go on once the callback has returned. As in Envoy the
// request's maps are out of sight from then on, whichever message it is.
func (cx *Context) goOn(direction uint32) Status {
	s := cx.stream
	if s == nil {
		return OK
	}
	request := &s.halves[plugin.Request]
	request.headers.visible, request.trailers.visible, request.exposed = false, false, false
	h := &s.halves[direction]
	if !h.ended && (h.paused != notPaused || h.calling) {
		h.resume = true
		s.notify()
	}
	return OK
}

// closeStream would reset a stream in Envoy. From here the exchange can only be
// failed.
func closeStream(c *call) Status {
	s := c.cx.stream
	if s == nil || c.u32(0) > responseStream {
		return OK
	}
	s.closing = true
	s.notify()
	return OK
}

// clearRouteCache has the route chosen anew, which it is in any case when request
// headers have changed.
func clearRouteCache(c *call) Status {
	c.cx.clearRouteCache()
	return OK
}

func (cx *Context) clearRouteCache() {
	if cx.stream != nil {
		cx.stream.reroute = true
	}
}

// stepping says whether the stream's own goroutine is at work, which alone may
// touch the exchange.
func (s *stream) stepping() bool { return s.vm.stepping == s }
