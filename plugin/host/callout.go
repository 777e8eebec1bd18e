// Package host has the services that guests of any ABI may use: calls to other
// services.
package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/extproc/extproc/plugin"
)

// ErrPending is the answer of a call whose response hasn't come yet.
var ErrPending = errors.New("pending")

// Client has the connections that callouts are made over. All plugins share them.
// It is safe for concurrent use.
type Client struct {
	// Resolver finds the addresses of services; nil is the machine's.
	Resolver   *net.Resolver
	transports transports
}

// NewClient makes a client. It follows no redirects, knows no proxy and leaves
// content encodings alone.
func NewClient() *Client { return &Client{} }

// Close closes the connections that no call needs.
func (cl *Client) Close() { cl.transports.Close() }

// Request is a request to a service whose bodies are streamed.
type Request struct {
	Method    string
	Cluster   string // the service
	HTTP2     bool   // nothing less will do
	Authority string // what the service is told it is called
	Path      string // with the query
	Headers   plugin.Headers
	// NoBody says that no body will be sent. ContentLength is the length of the
	// one that will be, -1 if it isn't known.
	NoBody        bool
	ContentLength int64

	Timeouts Timeouts
	// Notify is called, on any goroutine, whenever the call has gone on.
	Notify func()
}

// What a call holds in either direction: bytes, and pieces of the response, as
// pieces cost something too.
const (
	bufferSize = 256 << 10
	maxChunks  = 1024
	chunkSize  = 16 << 10
)

// Call is a call under way. Its methods don't block, except Close, which
// doesn't for long. They are to be called by one goroutine at a time.
type Call struct {
	*call
	notify func()
	first  *deadline
	out    *plugin.Body // what Send couldn't hand over yet

	mu       sync.Mutex
	cond     sync.Cond // the goroutines of the call wait for the caller
	sending  plugin.Body
	headers  plugin.Headers
	arrived  bool
	received plugin.Body
	chunks   int // in received
	err      error
	closed   bool
	over     bool // run has returned
	freed    bool // the place was given back
}

// Start begins a call, which ends with ctx at the latest. It is to be closed. The
// errors are as HTTP's.
func (c *Callouts) Start(ctx context.Context, r *Request) (*Call, error) {
	started, err := c.begin(r.Cluster, 0)
	if err != nil {
		return nil, err
	}
	call := &Call{call: started, notify: r.Notify}
	call.cond.L = &call.mu
	req, err := started.build(r.Method, r.Authority, r.Path, r.Headers)
	var transport *http.Transport
	if err == nil {
		transport, err = c.client.transport(started.cluster, r.HTTP2)
	}
	if err != nil {
		started.end()
		return nil, err
	}
	if !r.NoBody {
		req.Body, req.ContentLength = &body{call, req}, r.ContentLength
		req.Trailer = http.Header{}
	}
	t := timeouts(r.Timeouts, started.cluster)
	call.first = started.deadline(t.FirstByte, errTimeout.Code)
	stop := context.AfterFunc(ctx, call.Close)
	go func() {
		call.run(transport, req, t)
		stop()
		call.mu.Lock()
		call.over = true
		call.cond.Broadcast()
		call.free()
		call.mu.Unlock()
	}()
	return call, nil
}

// run makes the call and receives the response.
func (c *Call) run(transport *http.Transport, req *http.Request, t Timeouts) {
	defer c.cancel(nil)
	defer context.AfterFunc(c.ctx, c.wake)() // net/http doesn't end a read of the request's body itself
	if whole := c.expire(c.cluster.Timeout); whole != nil {
		defer whole.Stop()
	}
	resp, err := c.roundTrip(transport, req, c.deadline(t.Connect, "connection-timeout"), c.first)
	if err != nil {
		c.fail(err)
		return
	}
	defer resp.Body.Close()
	headers, err := responseHeaders(resp)
	if err != nil {
		c.fail(err)
		return
	}
	c.mu.Lock()
	c.headers, c.arrived = headers, true
	c.mu.Unlock()
	c.notify()

	between := c.deadline(t.BetweenBytes, errTimeout.Code)
	defer between.end()
	buffer := make([]byte, chunkSize)
	for {
		between.restart()
		n, err := resp.Body.Read(buffer)
		between.pause()
		chunk := buffer[:n]
		if n > chunkSize/2 {
			buffer = make([]byte, chunkSize)
		} else {
			chunk = bytes.Clone(chunk) // or a byte would keep thousands
		}
		if !c.receive(chunk) {
			return
		}
		if err == io.EOF {
			c.complete(resp)
			return
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *Call) fail(err error) {
	failure := c.failure(err)
	c.mu.Lock()
	if c.err == nil {
		c.err = failure
	}
	c.cond.Broadcast()
	c.mu.Unlock()
	c.cancel(failure)
	c.notify()
}

// receive queues a chunk of the response, once there is room. Where the plugin's
// calls hold too much together, each may still hold one, so that all go on. It
// returns false when the call was closed.
func (c *Call) receive(chunk []byte) bool {
	c.mu.Lock()
	for (c.received.Len() >= bufferSize || c.chunks >= maxChunks || c.chunks > 0 && c.owner.full()) && !c.closed && c.ctx.Err() == nil {
		c.cond.Wait()
	}
	closed := c.closed
	if !closed && len(chunk) > 0 {
		c.received.Push(chunk)
		c.chunks++
		c.count(len(chunk))
	}
	c.mu.Unlock()
	if len(chunk) > 0 {
		c.notify()
	}
	return !closed
}

func (c *Call) complete(resp *http.Response) {
	trailers, err := responseTrailers(resp)
	if err != nil {
		c.fail(err)
		return
	}
	c.mu.Lock()
	c.received.Ended, c.received.Trailers = true, trailers
	c.mu.Unlock()
	c.notify()
}

// count takes note of bytes that the call holds more, or less.
func (c *Call) count(n int) { c.owner.bytes.Add(int64(n)) }

// free gives the call's place back, once nothing is held of it.
func (c *Call) free() {
	if c.over && !c.freed && (c.closed || c.received.Len() == 0) {
		c.freed = true
		c.count(-c.sending.Len())
		c.sending.Discard()
		c.end()
	}
}

// Response is the headers of the response, ":status" included, or ErrPending,
// or why there is none.
func (c *Call) Response() (plugin.Headers, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.arrived:
		return c.headers, nil
	case c.err != nil:
		return nil, c.err
	}
	return nil, ErrPending
}

// Receive moves what has come of the response's body to b. An error says that
// it broke off.
func (c *Call) Receive(b *plugin.Body) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for b.Len() < chunkSize {
		chunk := c.received.Pop()
		if chunk == nil {
			break
		}
		c.chunks--
		c.count(-len(chunk))
		b.Push(chunk)
	}
	c.cond.Broadcast()
	if c.received.Len() > 0 {
		return nil
	}
	c.free()
	b.Ended, b.Trailers = c.received.Ended, c.received.Trailers
	if c.err != nil && b.Len() == 0 {
		return c.err
	}
	return nil
}

// Send hands over what b holds of the request's body, as far as there is room,
// and its end. What is left is sent by Flush.
func (c *Call) Send(b *plugin.Body) {
	c.out = b
	c.Flush()
}

// Flush tries again to hand over what Send left.
func (c *Call) Flush() {
	if c.out == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.closed || c.over {
		c.out.Discard()
		return
	}
	for c.sending.Len() == 0 || c.sending.Len() < bufferSize && !c.owner.full() {
		chunk := c.out.Pop()
		if chunk == nil {
			break
		}
		c.sending.Push(chunk)
		c.count(len(chunk))
	}
	if c.out.Len() == 0 && c.out.Ended {
		c.sending.Ended, c.sending.Trailers = true, c.out.Trailers
	}
	c.cond.Broadcast()
}

// Done says that nothing is held of the call any more: it need not be closed, nor
// flushed.
func (c *Call) Done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.freed
}

// Close ends the call, wherever it stands.
func (c *Call) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.count(-c.received.Len())
		c.received.Discard()
		c.free()
	}
	c.cond.Broadcast()
	c.mu.Unlock()
	c.cancel(context.Canceled)
}

// wake lets those who wait see that the call was cancelled.
func (c *Call) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cond.Broadcast()
}

// body is the request's body as net/http reads it.
type body struct {
	call    *Call
	request *http.Request
}

func (b *body) Read(p []byte) (int, error) {
	c := b.call
	c.mu.Lock()
	broken := func() bool { return c.closed || c.over || c.err != nil || c.ctx.Err() != nil }
	for c.sending.Len() == 0 && !c.sending.Ended && !broken() {
		c.cond.Wait()
	}
	chunk := c.sending.Take(len(p))
	c.count(-len(chunk))
	ended, cut := c.sending.Ended && c.sending.Len() == 0, broken()
	trailers := c.sending.Trailers
	c.mu.Unlock()
	n := copy(p, chunk)
	switch {
	case n > 0:
		c.first.restart()
		c.notify()
		return n, nil
	case cut && !ended:
		return 0, context.Canceled
	}
	return 0, cmp.Or(addFields(b.request.Trailer, trailers), io.EOF)
}

// Close ends a read that is under way: net/http won't send the rest.
func (b *body) Close() error {
	c := b.call
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(-c.sending.Len())
	c.sending.Discard()
	c.sending.Ended = true
	c.cond.Broadcast()
	return nil
}
