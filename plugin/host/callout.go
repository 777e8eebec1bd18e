// Package host has the services that guests of any ABI may use: calls to other
// services.
package host

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/extproc/extproc/plugin"
)

// ErrPending is the answer of a call whose response hasn't come yet.
var ErrPending = errors.New("pending")

// Client makes callouts. All plugins share its connections. It is safe for
// concurrent use.
type Client struct{ transports transports }

// NewClient makes a client. It follows no redirects, knows no proxy and leaves
// content encodings alone.
func NewClient() *Client { return &Client{} }

// Close closes the connections that no call needs.
func (c *Client) Close() { c.transports.Close() }

// Request is a request to a service.
type Request struct {
	Method    string
	Cluster   *plugin.Cluster // the service
	HTTP2     bool            // nothing less will do
	Authority string          // what the service is told it is called
	Path      string          // with the query
	Headers   plugin.Headers
	// NoBody says that no body will be sent. ContentLength is the length of the
	// one that will be, -1 if it isn't known.
	NoBody        bool
	ContentLength int64

	// Timeouts; 0 is none.
	ConnectTimeout, FirstByteTimeout, BetweenBytesTimeout time.Duration
	// Notify is called, on any goroutine, whenever the call has gone on.
	Notify func()
}

// bufferSize is how many bytes a call holds in either direction.
const bufferSize = 256 << 10

// Call is a call under way. Its methods don't block, except Close, which
// doesn't for long. They are to be called by one goroutine at a time.
type Call struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	notify func()
	out    *plugin.Body // what Send couldn't hand over yet

	mu       sync.Mutex
	cond     sync.Cond // the goroutines of the call wait for the caller
	sending  plugin.Body
	headers  plugin.Headers
	arrived  bool
	received plugin.Body
	err      error
	closed   bool
}

// Start begins a call. It is to be closed.
func (c *Client) Start(ctx context.Context, r *Request) *Call {
	call := &Call{notify: r.Notify}
	call.cond.L = &call.mu
	call.ctx, call.cancel = context.WithCancelCause(ctx)
	req, err := call.request(r)
	if err != nil {
		call.fail(err)
		return call
	}
	transport, err := c.transports.of(r.Cluster, r.HTTP2)
	if err != nil {
		call.fail(&Error{Code: "TLS-certificate-error", Err: err})
		return call
	}
	go call.run(transport, req, r)
	return call
}

func (c *Call) request(r *Request) (*http.Request, error) {
	path, query, _ := strings.Cut(r.Path, "?")
	unescaped, err := url.PathUnescape(path)
	if err != nil {
		return nil, &Error{Code: "HTTP-request-URI-invalid", Err: err}
	}
	target := *r.Cluster.URL
	base := strings.TrimSuffix(target.EscapedPath(), "/")
	target.Path, target.RawPath, target.RawQuery = strings.TrimSuffix(target.Path, "/")+unescaped, base+path, query
	req := &http.Request{Method: r.Method, URL: &target, Host: r.Authority, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	for _, f := range r.Headers {
		if f.Name != "content-length" {
			req.Header[http.CanonicalHeaderKey(f.Name)] = append(req.Header[http.CanonicalHeaderKey(f.Name)], string(f.Value))
		}
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = nil // or net/http sends its own
	}
	if !r.NoBody {
		req.Body, req.ContentLength = body{c}, r.ContentLength
		req.Trailer = http.Header{}
	}
	return req, nil
}

// run makes the call and receives the response.
func (c *Call) run(transport *http.Transport, req *http.Request, r *Request) {
	defer c.cancel(nil)
	defer context.AfterFunc(c.ctx, c.wake)() // net/http doesn't end a read of the request's body itself
	whole := c.timeout(r.Cluster.Timeout, "connection-read-timeout")
	defer whole.stop()
	connect := c.timeout(r.ConnectTimeout, "connection-timeout")
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connect.stop() }}
	first := c.timeout(r.FirstByteTimeout, "connection-read-timeout")
	resp, err := transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(c.ctx, trace)))
	connect.stop()
	first.stop()
	if err != nil {
		c.fail(c.cause(err))
		return
	}
	defer resp.Body.Close()
	c.mu.Lock()
	c.headers, c.arrived = fieldsOf(resp), true
	c.mu.Unlock()
	c.notify()

	between := c.timeout(r.BetweenBytesTimeout, "connection-read-timeout")
	defer between.stop()
	for {
		chunk := make([]byte, 16<<10)
		n, err := resp.Body.Read(chunk)
		between.reset()
		if !c.receive(chunk[:n]) {
			return
		}
		if err == io.EOF {
			c.complete(resp.Trailer)
			return
		}
		if err != nil {
			c.fail(c.cause(err))
			return
		}
	}
}

// cause is why the call was cancelled, or else err.
func (c *Call) cause(err error) error {
	var known *Error
	if cause := context.Cause(c.ctx); errors.As(cause, &known) {
		return known
	}
	return classify(err)
}

func (c *Call) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.cond.Broadcast()
	c.mu.Unlock()
	c.cancel(err)
	c.notify()
}

// receive queues a chunk of the response, once there is room. It returns false
// when the call was closed.
func (c *Call) receive(chunk []byte) bool {
	c.mu.Lock()
	for c.received.Len() >= bufferSize && !c.closed {
		c.cond.Wait()
	}
	c.received.Push(chunk)
	closed := c.closed
	c.mu.Unlock()
	if len(chunk) > 0 {
		c.notify()
	}
	return !closed
}

func (c *Call) complete(trailer http.Header) {
	c.mu.Lock()
	c.received.Ended, c.received.Trailers = true, headersOf(nil, trailer)
	c.mu.Unlock()
	c.notify()
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
	for b.Len() < bufferSize {
		chunk := c.received.Pop()
		if chunk == nil {
			break
		}
		b.Push(chunk)
	}
	c.cond.Broadcast()
	if c.received.Len() == 0 {
		b.Ended, b.Trailers = c.received.Ended, c.received.Trailers
		if c.err != nil && b.Len() == 0 {
			return c.err
		}
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
	if c.err != nil || c.closed {
		c.out.Discard()
		return
	}
	for c.sending.Len() < bufferSize {
		chunk := c.out.Pop()
		if chunk == nil {
			break
		}
		c.sending.Push(chunk)
	}
	if c.out.Len() == 0 && c.out.Ended {
		c.sending.Ended, c.sending.Trailers = true, c.out.Trailers
	}
	c.cond.Broadcast()
}

// Close ends the call, wherever it stands.
func (c *Call) Close() {
	c.mu.Lock()
	c.closed = true
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
type body struct{ call *Call }

func (b body) Read(p []byte) (int, error) {
	c := b.call
	c.mu.Lock()
	for c.sending.Len() == 0 && !c.sending.Ended && !c.closed && c.err == nil && c.ctx.Err() == nil {
		c.cond.Wait()
	}
	chunk := c.sending.Take(len(p))
	ended, broken := c.sending.Ended && c.sending.Len() == 0, c.closed || c.err != nil || c.ctx.Err() != nil
	c.mu.Unlock()
	n := copy(p, chunk)
	if n > 0 {
		c.notify()
		return n, nil
	}
	if broken && !ended {
		return 0, context.Canceled
	}
	return 0, io.EOF
}

// Close ends a read that is under way: net/http won't send the rest.
func (b body) Close() error {
	b.call.mu.Lock()
	defer b.call.mu.Unlock()
	b.call.sending.Discard()
	b.call.sending.Ended = true
	b.call.cond.Broadcast()
	return nil
}
