package plugin

import "slices"

// offer is a message on its way from one plugin to the next.
type offer struct {
	there   bool
	headers Headers
	noBody  bool
	unseen  bool
	body    *Body
	// made is set when the body is one that a plugin hands on in place of the
	// proxy's.
	made bool
	// msg is the message of the plugin that makes the offer, by the plugin if it
	// may write more of the body. Both are nil if it is the proxy's.
	msg *Message
	by  *link
}

// arrived is what the proxy has delivered.
func (m *Message) arrived() offer {
	return offer{there: m.Arrived, headers: m.Original, noBody: m.NoBody, unseen: m.Unseen, body: &m.In}
}

// released is what a plugin hands on of what it was offered.
func (l *link) released(d Direction, of offer) offer {
	m := l.ex.Message(d)
	o := offer{there: m.Released, headers: m.Headers, noBody: m.NoBody, unseen: m.Unseen, body: &m.In, made: of.made, msg: m}
	if m.Plan == Replaced || d == Response && l.local {
		o.body, o.made, o.by = &m.Out, true, l
		o.noBody = m.Out.Ended && m.Out.Len() == 0 && len(m.Out.Trailers) == 0
	}
	return o
}

// flow moves a message on as far as it is released: from the proxy, or the plugin
// that answers, through the plugins and back to the proxy.
func (c *Chain) flow(d Direction) {
	whole := c.ex.Message(d)
	if whole.Released && whole.Plan == Untouched {
		return // the proxy's affair
	}
	from := whole.arrived()
	for j := range c.links {
		i := j
		if d == Response {
			i = len(c.links) - 1 - j
		}
		l := &c.links[i]
		if d == Response && i >= c.origin {
			from = l.released(d, from) // of use if it is the origin's
			continue
		}
		if !from.there {
			return
		}
		l.receive(d, from)
		c.move(from, l, d)
		m := l.ex.Message(d)
		whole.WantBody = whole.WantBody || m.WantBody && !from.made
		from = l.released(d, from)
		if d == Request && i == c.origin {
			if from.there {
				from.discard() // nobody is to have it
			}
			return
		}
	}
	if from.there {
		c.handOver(d, from)
	}
}

// receive lets the headers arrive.
func (l *link) receive(d Direction, from offer) {
	m := l.ex.Message(d)
	if !m.Arrived {
		m.Arrived, m.Original, m.NoBody, m.Unseen = true, named(from.headers), from.noBody, from.unseen
		if from.made && d == Response && Bodiless(l.ex.Request.Original, from.headers) {
			m.NoBody = true
		}
		m.In.Ended = m.NoBody
		from.take()
		l.notify()
	}
	if l.over {
		m.pass()
	}
}

// named leaves out fields without a name, which no message can have. The proxy is
// not sent them either.
func named(h Headers) Headers {
	nameless := func(f Field) bool { return f.Name == "" }
	if !slices.ContainsFunc(h, nameless) {
		return h
	}
	return slices.DeleteFunc(slices.Clone(h), nameless)
}

// take notes that the headers can't be taken back any more.
func (o offer) take() {
	if o.msg != nil {
		o.msg.Taken = true
	}
}

// notify has a link stepped.
func (l *link) notify() { l.due = !l.over }

// taken has the plugin stepped whose output there is less of.
func (o offer) taken() {
	if o.by != nil {
		o.by.notify()
	}
}

func (o offer) discard() {
	if o.body.Len() > 0 {
		o.body.Discard()
		o.taken()
	}
}

// move moves on what is there of a body.
func (c *Chain) move(from offer, l *link, d Direction) {
	m := l.ex.Message(d)
	if m.NoBody || m.Taken && m.Plan == Replaced && m.Out.Ended {
		m.In.Discard()
		from.discard()
		return
	}
	if m.In.Ended {
		return
	}
	moved := false
	if from.body.Len() > 0 && c.room(l, m) {
		moved = true
		from.body.moveTo(&m.In)
		from.taken()
	}
	if from.body.Ended && from.body.Len() == 0 {
		moved = true
		m.In.Ended, m.In.Trailers = true, from.body.Trailers
	}
	if moved && !m.passes() {
		l.notify()
	}
}

// passes says whether the plugin doesn't look at the body.
func (m *Message) passes() bool { return m.Released && m.Plan == Untouched }

// room says whether a plugin is to be given more of a body. One that has some to
// read and is not held up itself may be waiting for the whole.
func (c *Chain) room(l *link, m *Message) bool {
	waiting := m.In.Len()
	switch {
	case waiting == 0:
		return true
	case m.passes():
		return waiting < c.bounds.Queued
	case l.due || l.heldUp():
		return false
	case l.wake != nil:
		return waiting < c.bounds.Queued
	}
	return waiting <= c.bounds.Buffered
}

// heldUp says whether a plugin may be waiting for its output to be taken.
func (l *link) heldUp() bool { return l.ex.Request.Out.Len()+l.ex.Response.Out.Len() > 0 }

// handOver hands the proxy what comes out of the chain. What no plugin has
// touched is left with the proxy.
func (c *Chain) handOver(d Direction, from offer) {
	whole := c.ex.Message(d)
	if !whole.Released {
		from.take()
		whole.Headers, whole.Released = from.headers, true
		for i := range c.links {
			whole.Reroute = whole.Reroute || c.links[i].ex.Message(d).Reroute
		}
		if c.origin < len(c.links) {
			whole.Local = c.links[c.origin].ex.Response.Local
		}
		c.local = c.local || d == Response && c.origin < len(c.links)
		if !from.made {
			whole.Plan = Untouched
			c.giveBack(d)
			return
		}
		whole.Plan = Replaced
	}
	out := &whole.Out
	if out.Len() == 0 && from.body.Len() > 0 {
		from.body.moveTo(out)
		from.taken()
	}
	if from.body.Ended && from.body.Len() == 0 {
		out.Ended, out.Trailers = true, from.body.Trailers
	}
}

// giveBack returns what no plugin has read to where it came from.
func (c *Chain) giveBack(d Direction) {
	whole := c.ex.Message(d)
	for j := range c.links {
		i := j
		if d == Response {
			i = len(c.links) - 1 - j
		}
		if m := c.links[i].ex.Message(d); m != whole {
			whole.In.prepend(&m.In)
		}
	}
}

// Bodiless says whether a response has no body whatever its headers say
// (RFC 9110, 6.4.1).
func Bodiless(request, response Headers) bool {
	method, _ := request.Get(":method")
	code, _ := response.Get(":status")
	return string(method) == "HEAD" || string(code) == "204" || string(code) == "304"
}
