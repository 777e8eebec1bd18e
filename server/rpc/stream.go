package rpc

import (
	"context"
	"encoding/binary"
	"io"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin/buffer"
)

// Stream is one call of a method. Poll, Recv, Send and Detach are for its turns, or
// for a goroutine that stands in for one; the other methods may be called from
// anywhere.
//
// All its fields are of conn.mu but those that never change.
type Stream struct {
	c      *conn
	id     uint32
	method Method
	fields []hpack.HeaderField
	call   Call

	queue   []buffer.Chunk  // that have come
	first   [1]buffer.Chunk // room for one of them
	queued  int64           // their bytes
	message buffer.Chunk    // that is coming
	prefix  [prefixSize]byte
	have    int   // bytes of the prefix and the message that is coming
	owed    int64 // bytes that came and that the client has not been credited
	waiting bool  // Recv waits for a message
	ended   bool  // no more will come
	broken  error // what comes can't be used

	window   int64         // what the client takes
	answered bool          // the headers of the answer are sent
	started  bool          // its call is
	gone     bool          // the stream is over
	turning  bool          // a turn is under way, or due
	news     bool          // there is something that the turn may not have seen
	detached bool          // the turn waits for something, or has
	role     uint64        // of the reader that runs the turn, 0 if none does
	wake     chan struct{} // readable when Recv has something new; made when it is asked for
	err      error         // why the context is done
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

// Poll is the next message, of which the caller becomes the owner; ok is false if
// there is none yet. The error is io.EOF when the client has sent its last, and one
// of package status otherwise.
func (s *Stream) Poll() (message buffer.Chunk, ok bool, err error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.waiting = false
	switch {
	case s.err != nil:
		return buffer.Chunk{}, true, status.FromContextError(s.err).Err()
	case len(s.queue) > 0:
		message = s.queue[0]
		s.queue[0] = buffer.Chunk{}
		if s.queue = s.queue[1:]; len(s.queue) == 0 {
			s.queue = s.first[:0]
		}
		s.queued -= int64(len(message.Bytes) + prefixSize)
		s.credit(s.queued + int64(s.have))
		return message, true, nil
	case s.broken != nil:
		return buffer.Chunk{}, true, s.broken
	case s.ended:
		return buffer.Chunk{}, true, io.EOF
	}
	s.waiting, s.news = true, false
	s.credit(0) // or a message larger than the window would never be whole
	return buffer.Chunk{}, false, nil
}

// Recv is Poll that waits.
func (s *Stream) Recv() ([]byte, error) {
	for {
		if m, ok, err := s.Poll(); ok {
			return m.Bytes, err
		}
		s.Detach()
		<-s.Ready()
	}
}

// Ready is readable when there may be something to Poll.
func (s *Stream) Ready() <-chan struct{} {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
		s.wake <- struct{}{}
	}
	return s.wake
}

// credit lets the client send more in place of what need not be kept.
func (s *Stream) credit(keep int64) {
	n := s.owed - keep
	if s.ended || s.gone || n < int64(s.c.srv.opts.Window)/4 {
		return
	}
	s.owed -= n
	s.c.windowUpdate(s.id, n)
	s.push()
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
	if !s.started && !s.start() {
		return
	}
	s.rouse()
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
		s.message = buffer.Room(min(int(size), int(s.c.srv.opts.Window)))
	}
	size := int(binary.BigEndian.Uint32(s.prefix[1:]))
	b := s.message.Bytes
	n := min(size-len(b), len(data))
	if len(b)+n > cap(b) {
		s.message = buffer.Chunk{Bytes: append(make([]byte, 0, min(size, 4*len(b))), b...)}
	}
	s.message.Bytes = append(s.message.Bytes, data[:n]...)
	s.have += n
	if len(s.message.Bytes) == size {
		s.queue = append(s.queue, s.message)
		s.queued += int64(size + prefixSize)
		s.message, s.have = buffer.Chunk{}, 0
	}
	return data[n:]
}

// start says whether the call may take turns. While too many are under way, of this
// connection, it is not read any further: streams that are opened and reset cost
// nothing then.
func (s *Stream) start() bool {
	c := s.c
	c.waiting = true
	for c.serving >= c.srv.opts.MaxStreams && !c.stopped {
		c.changed.Wait()
	}
	c.waiting = false
	if s.gone {
		return false
	}
	s.started = true
	c.serving++
	return true
}

// cut ends the stream for its handler.
func (s *Stream) cut() {
	s.gone = true
	s.queue, s.message = nil, buffer.Chunk{}
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
		s.c.spread()
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
	s.rouse()
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
