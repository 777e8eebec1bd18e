// Package rpc serves gRPC methods on HTTP/2 frames: messages are bytes, and calls run
// on the goroutine that reads their connection, as long as they are quick. It does
// what a proxy asks of one streaming method and no more: no compression, no
// interceptors, no reflection. Which method that is, it does not know.
//
// References are to RFC 9113 (HTTP/2) and to gRPC over HTTP2 (PROTOCOL-HTTP2.md).
package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Options of a Server. What is 0 has a sensible default.
type Options struct {
	// MaxMessage is the size of the largest message that is taken, in bytes. Default 64 MiB.
	MaxMessage int
	// MaxStreams is how many streams of a connection may be served at once, those
	// included that the client has given up but whose handler has not returned.
	// Default 100,000.
	MaxStreams uint32
	// Window is how many bytes of a stream may wait for its handler before the
	// client is held back. Default 256 KiB.
	Window int32
	// Idle is how long a connection may be silent before it is asked whether it
	// still lives. Default 2 minutes.
	Idle time.Duration
	// Log is told of connections that broke the protocol; nil is nobody.
	Log *slog.Logger
}

const (
	// maxHeaderList is how many bytes the headers of a stream may have.
	maxHeaderList = 64 << 10
	// handshake is how long a client may take to say that it speaks HTTP/2.
	handshake = 10 * time.Second
	// maxWaiting is how many bytes may wait to be written to a client that doesn't
	// read before those who write have to wait.
	maxWaiting = 1 << 20
	// maxControl is how many control frames a client may send in a row without
	// anything that moves a stream on, and maxReplies how many bytes of answers to
	// them it may leave unread.
	maxControl = 10_000
	maxReplies = maxWaiting + 64<<10
)

// Server serves connections. Its methods may be called at any time.
type Server struct {
	opts    Options
	methods map[string]Method
	workers

	mu        sync.Mutex
	conns     map[*conn]bool
	listeners map[net.Listener]bool
	draining  bool
	idle      sync.Cond // of mu: a connection has ended
}

// ErrStopped is the error of Serve after Stop or Drain.
var ErrStopped = errors.New("the server is stopped")

// NewServer makes a server of methods by their path: "/package.Service/Method".
func NewServer(methods map[string]Method, opts Options) *Server {
	if opts.MaxMessage <= 0 {
		opts.MaxMessage = 64 << 20
	}
	if opts.MaxStreams == 0 {
		opts.MaxStreams = 100_000
	}
	if opts.Window <= 0 {
		opts.Window = 256 << 10
	}
	if opts.Idle <= 0 {
		opts.Idle = 2 * time.Minute
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: opts, methods: methods, conns: map[*conn]bool{}, listeners: map[net.Listener]bool{}}
	s.jobs, s.over = make(chan job), make(chan struct{})
	s.idle.L = &s.mu
	return s
}

// Serve takes connections of l until it fails or the server is stopped, which is
// ErrStopped.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		_ = l.Close() // nothing was taken from it
		return ErrStopped
	}
	s.listeners[l] = true
	s.mu.Unlock()
	for {
		nc, err := l.Accept()
		if err == nil {
			s.start(nc)
			continue
		}
		if s.stopped() {
			return ErrStopped
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			return err
		}
		s.opts.Log.Warn("accepting a connection", "error", err)
		time.Sleep(10 * time.Millisecond) // out of file descriptors, most likely
	}
}

func (s *Server) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

func (s *Server) start(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		_ = nc.Close()
		return
	}
	s.conns[c] = true
	s.do(greeting{c})
}

func (s *Server) ended(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.idle.Broadcast()
}

// Drain takes no more connections, tells the clients to open no more streams, and
// waits until those under way have ended or ctx has.
func (s *Server) Drain(ctx context.Context) error {
	for _, c := range s.close() {
		c.goAway()
	}
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.idle.Broadcast()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.idle.Wait()
	}
	return nil
}

// Stop ends all connections at once and waits for the handlers to return.
func (s *Server) Stop() {
	for _, c := range s.close() {
		c.stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 {
		s.idle.Wait()
	}
}

// close closes the listeners and lists the connections.
func (s *Server) close() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.draining = true
		close(s.over)
	}
	for l := range s.listeners {
		_ = l.Close()
	}
	clear(s.listeners)
	var all []*conn
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}
