package wasihttp

import (
	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// incomingBody is a body that arrives, with what came of it so far in src.
type incomingBody struct {
	src    *plugin.Body
	msg    *plugin.Message // whose body it is, nil for a callout's
	call   *host.Call
	own    plugin.Body // src of a callout's
	length int64       // its content-length, or unknownLength
	err    error       // why it broke off (callouts)

	stream   inputStream
	trailers futureTrailers
	taken    bool // stream was called
	streams  int  // 1 while the stream's handle is there
	touched  bool // bytes of it were read
	dropped  bool // nobody reads on: what arrives is discarded
	joined   *outgoingBody
}

// ended reports whether nothing more comes than is there.
func (b *incomingBody) ended() bool {
	return b.err != nil || b.src.Ended || b.msg != nil && b.msg.NoBody
}

// receive takes in what a callout has received.
func (b *incomingBody) receive() {
	if b.call != nil && b.err == nil {
		b.err = b.call.Receive(b.src)
	}
}

// ready reports whether there is something to read, an end included. It asks
// for the body otherwise.
func (b *incomingBody) ready() bool {
	if b.joined != nil {
		return true
	}
	b.receive()
	if b.src.Len() > 0 || b.ended() {
		return true
	}
	b.want()
	return false
}

func (b *incomingBody) want() {
	if b.msg != nil {
		b.msg.WantBody = true
	}
}

// discard forgets what came, once nobody reads on.
func (b *incomingBody) discard() {
	if b.src != nil && b.dropped && b.joined == nil {
		b.receive()
		b.src.Discard()
	}
}

// dropIncoming drops a message. A body that wasn't taken out of it is lost.
func dropIncoming(_ *guest, m *incoming) {
	if !m.consumed {
		m.body.drop()
	}
}

// drop takes note that nobody will read on.
func (b *incomingBody) drop() {
	b.dropped = true
	b.discard()
	if b.call != nil && b.joined == nil && !b.src.Ended {
		b.call.Close()
	}
}

func incomingBodyStream(g *guest, c *abi.Call) error {
	b := c.Args[0].Obj.(*incomingBody)
	if b.taken {
		c.ReturnErr()
		return nil
	}
	b.taken, b.streams = true, 1
	b.stream.body = b
	c.ReturnOkOwn(&b.stream)
	return nil
}

func incomingBodyFinish(g *guest, c *abi.Call) error {
	b := c.Args[0].Obj.(*incomingBody)
	if b.streams > 0 {
		return errChildren
	}
	b.dropped = true
	b.trailers.body = b
	c.ReturnOwn(&b.trailers)
	return nil
}

func dropIncomingBody(g *guest, b *incomingBody) {
	if b.streams > 0 {
		g.fault = errChildren
	}
	b.drop()
}

// futureTrailers is the resource of that name.
type futureTrailers struct {
	body     *incomingBody
	got      bool
	children int
}

func (f *futureTrailers) ready(*guest) bool {
	if f.body.joined != nil {
		return true // with lazy trailers, if need be
	}
	f.body.discard()
	return f.body.ready()
}

func futureTrailersSubscribe(g *guest, c *abi.Call) error {
	f := c.Args[0].Obj.(*futureTrailers)
	c.ReturnOwn(g.pollableFor(f, &f.children))
	return g.full()
}

func futureTrailersGet(g *guest, c *abi.Call) error {
	f := c.Args[0].Obj.(*futureTrailers)
	c.ReturnNone()
	if !f.ready(g) {
		return g.idle()
	}
	if f.got {
		c.ReturnErr()
		c.WrapSome()
		return nil
	}
	f.got = true
	if err := f.body.err; err != nil {
		returnTakenError(c, err)
		return nil
	}
	c.ReturnNone()
	switch b := f.body; {
	case b.joined != nil && !b.joined.moved && !b.ended():
		lazy := g.fieldSets.take()
		lazy.lazy, lazy.immutable = b, true
		c.ReturnOwn(lazy)
		c.WrapSome()
	case len(b.src.Trailers) > 0:
		c.ReturnOwn(g.shownFields(b.src.Trailers))
		c.WrapSome()
	}
	c.WrapOk()
	c.WrapOk()
	c.WrapSome()
	return g.full()
}

func dropFutureTrailers(g *guest, f *futureTrailers) { g.orphan(f.children) }
