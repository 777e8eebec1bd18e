package wasihttp

import (
	"errors"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/buffer"
	"github.com/extproc/extproc/plugin/host"
)

var (
	errChildren    = errors.New("a resource was dropped or handed over before its child resources were")
	errNobodySends = errors.New("a write to a body that is not being sent would wait forever: call outgoing-handler.handle or response-outparam.set first")
	errGone        = errors.New("a message that came without a body went on without a body when something was waited for: write to its body before, and finish it")
	errAskedFirst  = errors.New("a request that came without a body can't be sent before its body is finished, and its response was waited for: finish it first")
)

const (
	writeBudget   = 256 << 10 // bytes under way that make a writer wait
	unsentBudget  = 1 << 20   // the same for a body that isn't being sent yet
	unsentMaximum = 64 << 20  // what is moved to such a body by splicing
	chunkSize     = 64 << 10  // what is written in smaller parts is joined up to this: each part that goes on costs a message
	firstStage    = 512
	worthSeeing   = 4 << 10 // what is shorter is joined

	unknownLength = -1
)

// bodyState is what a guest has done with an outgoing body.
type bodyState uint8

const (
	fresh   bodyState = iota // nothing
	joined                   // joined it to an incoming one: nothing needs to be moved
	pumping                  // joined, and the host moves what arrives
	written                  // written to it
)

// outgoingBody is a body a guest makes. Its bytes wait in queue: the message's
// or callout's once it is bound, its own before.
type outgoingBody struct {
	of       *outgoing
	queue    *plugin.Body
	own      plugin.Body
	stage    plugin.Chunk // small writes to be joined
	msg      *plugin.Message
	call     *host.Call
	expected int64 // the content-length it was declared to have
	written  int64
	state    bodyState
	source   *incomingBody // when joined or pumping
	moved    bool          // the source has been moved to its end

	stream   outputStream
	made     bool // the guest has taken the body
	taken    bool // write was called
	streams  int  // 1 while the stream's handle is there
	finished bool
	trailers *fields // handed to finish, or nil
	aborted  bool
	released bool
	gone     bool // released without a body before it was finished
}

// moveTo changes the queue.
func (b *outgoingBody) moveTo(q *plugin.Body) {
	for b.queue.Len() > 0 {
		q.PushChunk(b.queue.PopChunk())
	}
	q.Ended, q.Trailers = b.queue.Ended, b.queue.Trailers
	b.queue = q
}

// passes reports whether the body can be left to the proxy: it is the
// message's own, joined as a whole, with the trailers that came or none known
// to come.
func (b *outgoingBody) passes() bool {
	if b.state != joined || b.released || b.msg == nil || b.source.msg != b.msg {
		return false
	}
	t := b.trailers
	switch {
	case t == nil:
		// A body of known length carries no trailers but in rare HTTP/2
		// messages, and to remove those its every byte would have to be moved.
		return b.source.length != unknownLength || b.source.src.Ended && len(b.source.src.Trailers) == 0
	case t.lazy != nil:
		return t.lazy == b.source
	default:
		return b.source.src.Ended && t.shows(b.source.src.Trailers)
	}
}

// decide settles what becomes of a bound body as far as that is known. What is
// written to a message's waits to be joined until its guest waits for something.
func (b *outgoingBody) decide(g *guest) {
	if b.aborted || b.msg == nil && b.call == nil {
		return
	}
	switch {
	case b.state == joined && b.finished && b.passes():
		b.release(g, plugin.Untouched)
	case b.state == joined && (b.finished || b.released || b.call != nil):
		b.pump(g)
	case b.state == fresh && b.finished:
		b.end(g)
	case b.state == pumping || b.state == written:
		b.release(g, plugin.Replaced)
	}
	if b.call != nil {
		b.flush()
	}
}

// mustDecide settles it for good: the guest waits for something.
func (b *outgoingBody) mustDecide(g *guest) {
	if b.aborted || b.released || b.msg == nil {
		return
	}
	if b.state == joined {
		b.pump(g)
	}
	b.release(g, plugin.Replaced)
}

// release lets the headers go on. With a new body they couldn't before the last
// byte of it is there, if none came: they go on without when none was begun.
func (b *outgoingBody) release(g *guest, plan plugin.BodyPlan) {
	if b.msg == nil || b.released {
		return
	}
	b.released = true
	if plan == plugin.Replaced && b.msg.NoBody && (b.finished || b.state == fresh) && b.written == 0 && len(b.queue.Trailers) == 0 {
		plan, b.gone = plugin.Untouched, !b.finished
	}
	if b.of.direction == plugin.Request {
		g.chain.begin()
	}
	b.msg.Headers, b.msg.Plan, b.msg.Released = b.of.compose(g, b.msg.Original), plan, true
}

// push queues what was copied already.
func (b *outgoingBody) push(chunk plugin.Chunk) {
	b.unstage()
	b.queue.PushChunk(chunk)
	b.written += int64(len(chunk.Bytes))
}

// forward is write for a guest that may write what it has just read: to see that
// it has is cheaper than to copy it.
func (b *outgoingBody) forward(g *guest, s string) {
	if read := g.read; len(s) >= worthSeeing && s == view(read.Bytes) {
		g.read = plugin.Chunk{}
		b.push(read)
		return
	}
	b.write(s)
}

// write copies s, once if it is long.
func (b *outgoingBody) write(s string) {
	b.written += int64(len(s))
	for len(s) > 0 {
		if b.stage.Bytes == nil && len(s) >= chunkSize {
			b.stage = buffer.Room(len(s))
			b.stage.Bytes = append(b.stage.Bytes, s...)
			b.unstage()
			return
		}
		n := min(len(s), chunkSize-len(b.stage.Bytes))
		b.stage = grow(b.stage, n)
		b.stage.Bytes = append(b.stage.Bytes, s[:n]...)
		if s = s[n:]; len(b.stage.Bytes) == chunkSize {
			b.unstage()
		}
	}
}

// grow makes room for n bytes more, of which there are no more than chunkSize then.
// What is written in parts goes on being so: a few steps lead to the whole.
func grow(stage plugin.Chunk, n int) plugin.Chunk {
	have := stage.Bytes
	if cap(have)-len(have) >= n {
		return stage
	}
	more := buffer.Room(min(max(firstStage, len(have)+n, 4*cap(have)), chunkSize))
	more.Bytes = append(more.Bytes, have...)
	stage.From.Lend(len(have))
	stage.Done()
	return more
}

func (b *outgoingBody) unstage() {
	b.stage.From.Lend(len(b.stage.Bytes))
	b.queue.PushChunk(b.stage)
	b.stage = plugin.Chunk{}
}

// flush hands what is queued to its receiver.
func (b *outgoingBody) flush() {
	b.unstage()
	if b.call != nil {
		b.call.Send(b.queue)
	}
}

// budget is how much may be written now. errNobodySends says that waiting for
// more would be in vain.
func (b *outgoingBody) budget() (int, error) {
	n := b.queue.Len() + len(b.stage.Bytes)
	switch {
	case b.msg == nil && b.call == nil:
		if n >= unsentBudget {
			return 0, errNobodySends
		}
		return unsentBudget - n, nil
	}
	return max(0, writeBudget-n), nil
}

// canJoin reports whether n bytes of src are all of it, into a body that has
// nothing else.
func (b *outgoingBody) canJoin(src *incomingBody, n uint64) bool {
	whole := n == 1<<64-1 || src.length != unknownLength && n >= uint64(src.length)
	return whole && b.state == fresh && !b.finished && !b.aborted && !b.gone &&
		!src.touched && src.joined == nil && src.err == nil &&
		(src.src.Len() > 0 || !src.ended()) &&
		(b.expected == unknownLength || b.expected == src.length)
}

// join makes src as a whole the body.
func (b *outgoingBody) join(src *incomingBody) {
	b.state, b.source, src.joined = joined, src, b
}

// pump makes the host move what arrives, as the bodies can't be left to the
// proxy after all.
func (b *outgoingBody) pump(g *guest) {
	if b.state != joined {
		return
	}
	b.state = pumping
	g.pumps = append(g.pumps, b)
	b.move(g)
	b.release(g, plugin.Replaced)
}

// move moves what has arrived, and ends the body after the last of it.
func (b *outgoingBody) move(g *guest) {
	src := b.source
	if b.msg == nil && b.call == nil && b.queue.Len() > unsentMaximum {
		g.fault = errNobodySends
	}
	for b.call == nil || b.queue.Len() < writeBudget {
		src.receive()
		chunk := src.src.PopChunk()
		if chunk.Bytes == nil {
			break
		}
		b.push(chunk)
	}
	if src.err != nil {
		b.abort()
		return
	}
	if src.src.Len() > 0 || !src.ended() {
		src.want()
		b.flush()
		return
	}
	b.moved = true
	if b.finished {
		b.end(g)
	}
	b.flush()
}

// ready reports whether a pumped body has been moved.
func (b *outgoingBody) ready(*guest) bool { return b.moved || b.aborted }

// end ends the body with the trailers that the guest finished it with.
func (b *outgoingBody) end(g *guest) {
	b.unstage()
	if t := b.trailers; t != nil {
		var original plugin.Headers
		if b.msg != nil {
			original = b.msg.In.Trailers
		}
		if t.lazy != nil {
			t.resolve()
		}
		b.queue.Trailers = trailers(original, t)
	}
	b.queue.Ended = true
	b.release(g, plugin.Replaced)
	b.flush()
}

// trailers is what goes on in place of original.
func trailers(original plugin.Headers, t *fields) plugin.Headers {
	switch {
	case t.phantom:
		return nil
	case t.shows(original):
		return original
	}
	list := permitted(nil, t.list)
	for _, f := range original {
		if isForbidden(f.Name) {
			list = append(list, f)
		}
	}
	return list
}

// finish ends the body, as far as the guest is concerned. It returns false if
// its length is not what was declared.
func (b *outgoingBody) finish(g *guest, t *fields) bool {
	if b.aborted {
		return true
	}
	short := b.expected != unknownLength && b.written != b.expected && b.state != joined && b.state != pumping
	if short && (b.written > 0 || !b.of.bodiless(g) && (b.msg == nil || !b.msg.NoBody)) {
		b.abort()
		return false
	}
	b.finished, b.trailers = true, t
	switch {
	case b.state == joined:
		b.decide(g)
	case b.state == pumping && !b.moved: // move ends it
	default:
		b.end(g)
	}
	return true
}

// abort breaks the body off: its message can't be completed.
func (b *outgoingBody) abort() {
	if b.finished && b.state != pumping || b.aborted {
		return
	}
	b.aborted = true
	if b.call != nil {
		b.call.Close()
	}
}

func outgoingBodyOf(g *guest, c *abi.Call) error {
	o := c.Args[0].Obj.(*outgoing)
	if o.body.made {
		c.ReturnErr()
		return nil
	}
	o.body.made = true
	c.ReturnOkOwn(&o.body)
	return nil
}

func outgoingBodyWrite(g *guest, c *abi.Call) error {
	b := c.Args[0].Obj.(*outgoingBody)
	if b.taken {
		c.ReturnErr()
		return nil
	}
	b.taken, b.streams = true, 1
	b.stream.body = b
	c.ReturnOkOwn(&b.stream)
	return nil
}

func outgoingBodyFinish(g *guest, c *abi.Call) error {
	b := c.Args[0].Obj.(*outgoingBody)
	if b.streams > 0 {
		return errChildren
	}
	var t *fields
	if c.Args[1].Num == 1 {
		t = c.Args[1].Payload().Obj.(*fields)
	}
	if t != nil && t.lazy != nil && t.lazy != b.source {
		if err := t.known(g); err != nil {
			return err
		}
	}
	if b.gone && t != nil && len(t.list) > 0 {
		return errGone
	}
	if !b.finish(g, t) {
		c.Result = c.Err(b.sizeError().value(c, c.ResultType().Cases[1].Type))
		return nil
	}
	c.ReturnOk()
	return nil
}

func dropOutgoingBody(g *guest, b *outgoingBody) {
	if b.streams > 0 {
		g.fault = errChildren
	}
	b.abort()
}

// sizeError is the error of a body that is not as long as declared.
func (b *outgoingBody) sizeError() errorCode {
	name := "HTTP-request-body-size"
	if b.of.direction == plugin.Response {
		name = "HTTP-response-body-size"
	}
	return errorCode{name: name, size: uint64(b.written), sized: true}
}
