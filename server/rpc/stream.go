package rpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Stream is one call of a method. Recv, Send and Ready are for its handler's
// goroutine, or for one that stands in for it; the methods of context.Context may
// be called from anywhere.
//
// All its fields are of conn.mu but those that never change.
type Stream struct {
	c      *conn
	id     uint32
	method Handler
	fields []hpack.HeaderField
	wake   chan struct{} // readable when Recv has something new

	queue   [][]byte // messages that have come
	queued  int64    // their bytes
	message []byte   // that is coming
	prefix  [prefixSize]byte
	have    int   // bytes of the prefix and the message that is coming
	owed    int64 // bytes that came and that the client has not been credited
	waiting bool  // Recv waits for a message
	ended   bool  // no more will come
	broken  error // what comes can't be used

	window   int64 // what the client takes
	answered bool  // the headers of the answer are sent
	started  bool  // the handler is
	gone     bool  // the stream is over
	err      error // why the context is done
	timer    *time.Timer
	deadline time.Time // zero if there is none
	done     chan struct{}
	after    []*func()
	meta     context.Context // made when it is asked for
}

// prefixSize is the size of what precedes a message: a flag and its length
// (PROTOCOL-HTTP2.md, Length-Prefixed-Message).
const prefixSize = 5

// errGone is what a stream's methods return when its client has given it up.
var errGone = status.FromContextError(context.Canceled).Err()

// Recv is the next message, of which the caller becomes the owner. The error is
// io.EOF when the client has sent its last, and one of package status otherwise.
func (s *Stream) Recv() ([]byte, error) {
	for {
		if m, ok, err := s.poll(); ok {
			return m, err
		}
		<-s.wake
	}
}

// Ready is readable when Recv may have something to return.
func (s *Stream) Ready() <-chan struct{} { return s.wake }

// Poll is Recv if it need not wait.
func (s *Stream) poll() (message []byte, ok bool, err error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.waiting = false
	switch {
	case s.err != nil:
		return nil, true, status.FromContextError(s.err).Err()
	case len(s.queue) > 0:
		message = s.queue[0]
		s.queue = s.queue[1:]
		s.queued -= int64(len(message) + prefixSize)
		s.credit(s.queued + int64(s.have))
		return message, true, nil
	case s.broken != nil:
		return nil, true, s.broken
	case s.ended:
		return nil, true, io.EOF
	}
	s.waiting = true
	s.credit(0) // or a message larger than the window would never be whole
	return nil, false, nil
}

// credit lets the client send more in place of what need not be kept.
func (s *Stream) credit(keep int64) {
	n := s.owed - keep
	if s.ended || s.gone || n < int64(s.c.srv.opts.Window)/4 {
		return
	}
	s.owed -= n
	s.c.windowUpdate(s.id, n)
	s.c.flush()
}

// arrived takes what has come for the stream, which took length bytes of its
// window.
func (s *Stream) arrived(data []byte, length int64, end bool) {
	if s.ended {
		s.c.reset(s, http2.ErrCodeStreamClosed)
		return
	}
	s.owed += length
	if s.owed > int64(s.c.srv.opts.Window) {
		s.c.reset(s, http2.ErrCodeFlowControl)
		return
	}
	for len(data) > 0 && s.broken == nil {
		data = s.assemble(data)
	}
	if end {
		s.ended = true
		if s.have > 0 && s.broken == nil {
			s.broken = status.Error(codes.Internal, "the stream ends in the middle of a message")
		}
	}
	if len(s.queue) == 0 && s.broken == nil && !s.ended {
		if s.waiting || !s.started {
			s.credit(0)
		}
		return
	}
	s.notify()
	if !s.started {
		s.start()
	}
}

// assemble takes bytes of a message and returns what follows it.
func (s *Stream) assemble(data []byte) []byte {
	if s.have < prefixSize {
		n := copy(s.prefix[s.have:], data)
		s.have += n
		data = data[n:]
		if s.have < prefixSize {
			return data
		}
		if s.prefix[0] != 0 {
			s.broken = status.Error(codes.Unimplemented, "compressed messages are not taken")
			return nil
		}
		size := binary.BigEndian.Uint32(s.prefix[1:])
		if int64(size) > int64(s.c.srv.opts.MaxMessage) {
			s.broken = status.Errorf(codes.ResourceExhausted, "a message of %d bytes, the largest that is taken has %d", size, s.c.srv.opts.MaxMessage)
			return nil
		}
		// No more is set aside than a window, whatever length the client claims.
		s.message = make([]byte, 0, min(int(size), int(s.c.srv.opts.Window)))
	}
	size := int(binary.BigEndian.Uint32(s.prefix[1:]))
	n := min(size-len(s.message), len(data))
	s.message = append(s.message, data[:n]...)
	s.have += n
	if len(s.message) == size {
		s.queue = append(s.queue, s.message)
		s.queued += int64(size + prefixSize)
		s.message, s.have = nil, 0
	}
	return data[n:]
}

func (s *Stream) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// start starts the handler. While too many run, of this connection, it is not read
// any further: streams that are opened and reset cost nothing then.
func (s *Stream) start() {
	c := s.c
	for c.serving >= c.srv.opts.MaxStreams && !c.closed {
		c.changed.Wait()
	}
	if s.gone {
		return
	}
	s.started = true
	c.serving++
	go s.run()
}

func (s *Stream) run() {
	err := s.handle()
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.serving--
	if !s.gone {
		s.c.finish(s, err)
	}
	s.c.changed.Broadcast()
}

func (s *Stream) handle() (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.c.srv.opts.Log.Error("a handler panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "internal error")
		}
	}()
	return s.method(s)
}

// cut ends the stream for its handler.
func (s *Stream) cut() {
	s.gone = true
	s.queue, s.message = nil, nil
	s.cancel(context.Canceled)
}

// limit gives the stream a deadline.
func (s *Stream) limit(d time.Duration) {
	s.deadline = time.Now().Add(d)
	s.timer = time.AfterFunc(d, func() {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		s.cancel(context.DeadlineExceeded)
		if !s.started && !s.gone {
			s.c.finish(s, status.FromContextError(s.err).Err())
		}
	})
}

// cancel ends the stream's context.
func (s *Stream) cancel(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.done != nil {
		close(s.done)
	}
	for _, f := range s.after {
		go (*f)()
	}
	s.after = nil
	s.notify()
	s.c.changed.Broadcast() // a Send may wait
}

// Deadline implements context.Context.
func (s *Stream) Deadline() (time.Time, bool) { return s.deadline, !s.deadline.IsZero() }

// Done implements context.Context.
func (s *Stream) Done() <-chan struct{} {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.err != nil {
			close(s.done)
		}
	}
	return s.done
}

// Err implements context.Context.
func (s *Stream) Err() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.err
}

// AfterFunc has contexts that are derived from the stream wait without a goroutine
// each, see context.WithCancel.
func (s *Stream) AfterFunc(f func()) (stop func() bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.err != nil {
		go f()
		return func() bool { return false }
	}
	s.after = append(s.after, &f)
	return func() bool {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		for i := range s.after {
			if s.after[i] == &f {
				s.after = append(s.after[:i], s.after[i+1:]...)
				return true
			}
		}
		return false
	}
}

// Value implements context.Context. It holds the caller's metadata, as grpc-go's
// package metadata finds it.
func (s *Stream) Value(key any) any {
	s.c.mu.Lock()
	if s.meta == nil {
		md := make(metadata.MD, len(s.fields))
		for i := range s.fields {
			md.Append(s.fields[i].Name, s.fields[i].Value)
		}
		s.meta = metadata.NewIncomingContext(context.Background(), md)
	}
	meta := s.meta
	s.c.mu.Unlock()
	return meta.Value(key)
}
