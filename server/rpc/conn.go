package rpc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// conn is a connection. One goroutine at a time reads it, see turn.go; whoever has
// something to say writes it, see write.go.
type conn struct {
	srv *Server
	net net.Conn

	// Of the reader alone.
	in      *http2.Framer
	source  *bufio.Reader
	data    dataFrame
	headers headerBlock
	lastID  uint32 // of the newest stream

	mu      sync.Mutex
	changed sync.Cond // of mu: windows, what waits to be written, streams
	streams map[uint32]*Stream
	// serving is how many handlers run, for streams that are gone too.
	serving uint32
	closed  bool
	stopped bool // the server's end is that of the connection
	leaving bool // the client knows that it may open no more streams
	asked   bool // a ping is out that asks whether the client lives
	heard   bool // something has come since it was last looked

	control int    // frames since something moved on
	unwatch func() // ends the watch over a silent client

	reading
	writer
	window     int64 // what the client takes, of all streams
	initial    int64 // what it takes of a new stream
	maxPayload int   // of a frame
}

// connError ends a connection.
type connError struct {
	code http2.ErrCode
	what string
}

func (e connError) Error() string { return fmt.Sprintf("%v: %s", e.code, e.what) }

func protocolError(what string) error { return connError{http2.ErrCodeProtocol, what} }

// The protocol's initial values (RFC 9113, 6.5.2 and 6.9.2).
const (
	initialWindow  = 64<<10 - 1
	initialPayload = 16 << 10
	maxWindow      = 1<<31 - 1
)

// connWindow is what all streams of a connection together may send before it is
// credited, which happens as soon as it is read: only a stream's own window holds
// a client back.
const connWindow = 4 << 20

// sendBuffer is how many bytes the kernel may keep of a Unix socket, where its default
// holds three bodies of 64 KB and has the writer wait until three quarters are read.
const sendBuffer = 1 << 20

func newConn(s *Server, nc net.Conn) *conn {
	if u, ok := nc.(*net.UnixConn); ok {
		_ = u.SetWriteBuffer(sendBuffer) // without, it is only slower
	}
	nc = direct(nc)
	c := &conn{
		srv: s, net: nc, streams: map[uint32]*Stream{},
		window: initialWindow, initial: initialWindow, maxPayload: initialPayload,
	}
	c.role = 1
	c.changed.L = &c.mu
	c.source = bufio.NewReaderSize(nc, 2*maxFrame)
	c.in = http2.NewFramer(io.Discard, c.source)
	c.in.SetMaxReadFrameSize(maxFrame)
	c.headers.decoder = hpack.NewDecoder(4096, c.headers.add)
	c.headers.decoder.SetMaxStringLength(maxHeaderList)
	return c
}

// greeting is how a connection begins.
type greeting struct{ *conn }

// do implements job.
func (g greeting) do() {
	g.unwatch = g.watch()
	if err := g.greet(); err != nil {
		g.over(err)
		return
	}
	reader{g.conn, 1}.do()
}

// over ends the connection, of which nothing more can be read. It waits for the
// calls.
func (c *conn) over(err error) {
	var broken connError
	switch {
	case errors.As(err, &broken):
		c.srv.opts.Log.Warn("a client broke the protocol", "client", c.net.RemoteAddr(), "error", err)
		c.farewell(broken)
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	default:
		c.srv.opts.Log.Debug("connection lost", "client", c.net.RemoteAddr(), "error", err)
	}
	c.unwatch()
	c.end()
	c.srv.ended(c)
}

// greet exchanges the preface (RFC 9113, 3.4) and says what this side takes.
func (c *conn) greet() error {
	_ = c.net.SetReadDeadline(time.Now().Add(handshake)) // fails with the reads
	c.mu.Lock()
	c.frame(http2.FrameSettings, 0, 0, settings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: c.srv.opts.MaxStreams},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(c.srv.opts.Window)}, //nolint:gosec // positive
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderList},
		http2.Setting{ID: http2.SettingMaxFrameSize, Val: maxFrame},
	))
	c.windowUpdate(0, connWindow-initialWindow)
	c.flush()
	c.mu.Unlock()
	var preface [len(http2.ClientPreface)]byte
	if _, err := io.ReadFull(c.source, preface[:]); err != nil {
		return err
	}
	if string(preface[:]) != http2.ClientPreface {
		return protocolError("no HTTP/2: the connection doesn't begin with its preface")
	}
	f, err := c.in.ReadFrame()
	if err != nil {
		return translate(err)
	}
	if f.Header().Type != http2.FrameSettings || f.Header().Flags.Has(http2.FlagSettingsAck) {
		return protocolError("the first frame is not SETTINGS")
	}
	_ = c.net.SetReadDeadline(time.Time{})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.take(f)
}

func (c *conn) take(f http2.Frame) error {
	switch f := f.(type) {
	case *dataFrame:
		return c.takeData(f)
	case *http2.HeadersFrame:
		return c.takeHeaders(f)
	case *http2.ContinuationFrame:
		return c.takeFragment(f.StreamID, f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.WindowUpdateFrame:
		return c.takeWindow(f)
	case *http2.RSTStreamFrame:
		return c.takeReset(f)
	case *http2.SettingsFrame:
		return c.takeSettings(f)
	case *http2.PingFrame:
		return c.takePing(f)
	case *http2.PushPromiseFrame:
		return protocolError("a client can't push")
	default: // GOAWAY, PRIORITY and what is unknown: nothing to be done
		return c.idles()
	}
}

// idles counts a frame that moves nothing on.
func (c *conn) idles() error {
	if c.control++; c.control > maxControl {
		return connError{http2.ErrCodeEnhanceYourCalm, fmt.Sprintf("%d control frames in a row", maxControl)}
	}
	return nil
}

func (c *conn) takeSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return c.idles()
	}
	err := f.ForeachSetting(c.set)
	if err != nil {
		return translate(err)
	}
	c.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
	c.changed.Broadcast()
	return c.mayReply()
}

func (c *conn) set(s http2.Setting) error {
	if err := s.Valid(); err != nil {
		return err
	}
	switch s.ID {
	case http2.SettingInitialWindowSize:
		by := int64(s.Val) - c.initial
		c.initial = int64(s.Val)
		for _, st := range c.streams {
			if st.window += by; st.window > maxWindow {
				return http2.ConnectionError(http2.ErrCodeFlowControl)
			}
		}
	case http2.SettingMaxFrameSize:
		c.maxPayload = int(s.Val)
	default: // headers are sent without a table
	}
	return nil
}

// mayReply counts a frame that is answered, and says whether the client takes what
// it asks for.
func (c *conn) mayReply() error {
	if len(c.out) > maxReplies {
		return connError{http2.ErrCodeEnhanceYourCalm, "answers are left unread"}
	}
	return c.idles()
}

func (c *conn) takePing(f *http2.PingFrame) error {
	if f.IsAck() {
		if f.Data == leavePing {
			c.left()
		}
		return c.idles()
	}
	c.frame(http2.FramePing, http2.FlagPingAck, 0, f.Data[:])
	return c.mayReply()
}

func (c *conn) takeWindow(f *http2.WindowUpdateFrame) error {
	defer c.changed.Broadcast()
	if f.StreamID == 0 {
		if c.window += int64(f.Increment); c.window > maxWindow {
			return connError{http2.ErrCodeFlowControl, "the connection's window overflows"}
		}
		return c.idles()
	}
	st, err := c.find(f.StreamID)
	if st == nil {
		return err
	}
	if st.window += int64(f.Increment); st.window > maxWindow {
		c.reset(st, http2.ErrCodeFlowControl)
	}
	return c.idles()
}

func (c *conn) takeReset(f *http2.RSTStreamFrame) error {
	st, err := c.find(f.StreamID)
	if st == nil {
		return err
	}
	c.remove(st)
	if !st.started {
		return c.idles()
	}
	return nil
}

// find is a stream that is open; nil if it was. One that never was is an error
// (RFC 9113, 5.1).
func (c *conn) find(id uint32) (*Stream, error) {
	st := c.streams[id]
	if st == nil && (id > c.lastID || id%2 == 0) {
		return nil, protocolError("a frame of a stream that was never opened")
	}
	if st == nil {
		return nil, c.idles()
	}
	return st, nil
}

func (c *conn) takeData(f *dataFrame) error {
	length := int64(f.Length) // padding counts (RFC 9113, 6.9.1)
	if c.received += length; c.received >= connWindow/2 {
		c.windowUpdate(0, c.received)
		c.received = 0
	}
	st, err := c.find(f.StreamID)
	if st == nil {
		return err
	}
	end := f.Flags.Has(http2.FlagDataEndStream)
	if length == 0 && !end {
		return c.idles()
	}
	c.control = 0
	st.arrived(f.data, length, end)
	return nil
}

// resetBroken ends a stream in which the framer has found an error.
func (c *conn) resetBroken(id uint32, code http2.ErrCode) error {
	st, err := c.find(id)
	if st != nil {
		c.reset(st, code)
	}
	return err
}

// reset ends a stream and tells the client why.
func (c *conn) reset(st *Stream, code http2.ErrCode) {
	c.resetFrame(st.id, code)
	c.remove(st)
	c.flush()
}

// remove ends a stream: its handler learns that it is cancelled.
func (c *conn) remove(st *Stream) {
	delete(c.streams, st.id)
	st.cut()
	c.leave()
}

// leave closes a connection that was told to open no more streams, once the last
// has ended.
func (c *conn) leave() {
	if c.leaving && len(c.streams) == 0 && len(c.out) == 0 && !c.flushing {
		_ = c.net.Close() // the reader sees it
	}
}

// stop ends the connection at once.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	_ = c.net.Close() // its reader sees it, and ends all else
	c.changed.Broadcast()
}

// end is the end of the connection: of its streams too. It waits for the handlers.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	_ = c.net.Close() // there is nothing left to be told
	for _, st := range c.streams {
		c.remove(st)
	}
	c.spread()
	c.changed.Broadcast()
	for c.serving > 0 {
		c.changed.Wait()
	}
}

// leavePing is sent with a GOAWAY: once it has come back, the client knows.
var leavePing = [8]byte{'l', 'e', 'a', 'v', 'i', 'n', 'g'}

// goAway tells the client to open no more streams. Those that it opens before it
// has heard are served (RFC 9113, 6.8).
func (c *conn) goAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goAwayFrame(maxWindow, http2.ErrCodeNo, "")
	c.frame(http2.FramePing, 0, 0, leavePing[:])
	c.flush()
}

// left is called when the client knows.
func (c *conn) left() {
	c.leaving = true
	c.goAwayFrame(c.lastID, http2.ErrCodeNo, "")
	c.flush()
}

// farewell tells why the connection ends.
func (c *conn) farewell(why connError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.net.SetWriteDeadline(time.Now().Add(time.Second)) // or it is not told
	c.goAwayFrame(c.lastID, why.code, why.what)
	c.flush()
}

// watch asks a silent client whether it still lives, and closes the connection of
// one that doesn't answer.
func (c *conn) watch() (stop func()) {
	var timer *time.Timer
	var mu sync.Mutex
	done := false
	check := func() {
		mu.Lock()
		defer mu.Unlock()
		if !done && c.lives() {
			timer.Reset(c.srv.opts.Idle)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(c.srv.opts.Idle, check)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done = true
		timer.Stop()
	}
}

// lives is false if nothing has come since a ping was sent.
func (c *conn) lives() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.heard:
		c.heard, c.asked = false, false
		return true
	case c.asked:
		_ = c.net.Close() // the reader sees it
		return false
	}
	c.asked = true
	c.frame(http2.FramePing, 0, 0, make([]byte, 8))
	c.flush()
	return true
}
