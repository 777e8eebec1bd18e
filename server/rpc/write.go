package rpc

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// writer is what waits to be written to a connection. Whoever adds to it while
// nobody writes does so for all: under load one write takes many answers.
type writer struct {
	out, spare []byte
	flushing   bool
	received   int64 // bytes of all streams that the client has not been credited
}

// frame adds a frame.
func (c *conn) frame(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) {
	c.head(kind, flags, id, len(payload))
	c.out = append(c.out, payload...)
}

// head adds the header of a frame (RFC 9113, 4.1).
func (c *conn) head(kind http2.FrameType, flags http2.Flags, id uint32, length int) {
	c.out = append(c.out, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags)) //nolint:gosec // 24 bits
	c.out = binary.BigEndian.AppendUint32(c.out, id)
}

func settings(list ...http2.Setting) []byte {
	var b []byte
	for _, s := range list {
		b = binary.BigEndian.AppendUint16(b, uint16(s.ID))
		b = binary.BigEndian.AppendUint32(b, s.Val)
	}
	return b
}

func (c *conn) windowUpdate(id uint32, by int64) {
	c.head(http2.FrameWindowUpdate, 0, id, 4)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(by)) //nolint:gosec // no more than a window
}

func (c *conn) resetFrame(id uint32, code http2.ErrCode) {
	c.head(http2.FrameRSTStream, 0, id, 4)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(code))
}

func (c *conn) goAwayFrame(last uint32, code http2.ErrCode, why string) {
	c.head(http2.FrameGoAway, 0, 0, 8+len(why))
	c.out = binary.BigEndian.AppendUint32(c.out, last)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(code))
	c.out = append(c.out, why...)
}

// keptBuffer is the size of a buffer that is kept for the next write.
const keptBuffer = 256 << 10

// flush writes what waits, if nobody else does. It lets go of the lock meanwhile.
func (c *conn) flush() {
	if c.flushing {
		return
	}
	c.flushing = true
	for len(c.out) > 0 && !c.closed {
		b := c.out
		c.out, c.spare = c.spare[:0], nil
		c.mu.Unlock()
		_, err := c.net.Write(b)
		c.mu.Lock()
		if cap(b) <= keptBuffer {
			c.spare = b
		}
		c.changed.Broadcast() // there is room
		if err != nil {
			_ = c.net.Close() // the reader sees it and ends all
			c.out = c.out[:0]
			break
		}
	}
	c.flushing = false
	c.leave()
}

// The headers of all answers, and the trailers of all that went well, encoded once
// and without the table that HPACK has for what repeats.
var (
	answerHeaders = encode(":status", "200", "content-type", "application/grpc")
	okTrailers    = encode("grpc-status", "0")
)

func encode(nameValues ...string) []byte {
	var b strings.Builder
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	for i := 0; i < len(nameValues); i += 2 {
		// A sensitive field is never put into the table.
		_ = e.WriteField(hpack.HeaderField{Name: nameValues[i], Value: nameValues[i+1], Sensitive: true}) // a Builder takes all
	}
	return []byte(b.String())
}

// Send sends a message, whose parts it copies. It waits while the client doesn't take
// more. The error is one of package status.
func (s *Stream) Send(parts ...[]byte) error {
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	if length > math.MaxInt32 {
		return status.Errorf(codes.ResourceExhausted, "a message of %d bytes", length)
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone {
		return errGone
	}
	c.control = 0
	if !s.answered {
		s.answered = true
		c.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, s.id, answerHeaders)
	}
	prefix := make([]byte, prefixSize)
	binary.BigEndian.PutUint32(prefix[1:], uint32(length)) //nolint:gosec // checked above
	rest := prefix
	for left := prefixSize + length; left > 0; {
		n, err := s.room(left)
		if err != nil {
			return err
		}
		left -= n
		c.head(http2.FrameData, 0, s.id, n)
		for n > 0 {
			for len(rest) == 0 {
				rest, parts = parts[0], parts[1:]
			}
			some := min(n, len(rest))
			c.out = append(c.out, rest[:some]...)
			rest, n = rest[some:], n-some
		}
		if left > 0 && len(c.out) > keptBuffer/2 {
			c.flush() // rather than have the buffer grow
		}
	}
	s.push()
	return nil
}

// batch is how many bytes of answers may wait until the reader comes to write them.
const batch = 32 << 10

// push has what waits written: by the reader, if this is its turn, and now otherwise.
func (s *Stream) push() {
	if s.role == 0 || s.role != s.c.role || len(s.c.out) > batch {
		s.c.flush()
	}
}

// room waits until there is room for some of n bytes and says for how many.
func (s *Stream) room(n int) (int, error) {
	c := s.c
	for {
		if s.gone || c.closed {
			return 0, errGone
		}
		if s.err != nil {
			return 0, status.FromContextError(s.err).Err()
		}
		if len(c.out) < maxWaiting {
			if some := min(int64(n), int64(c.maxPayload), s.window, c.window); some > 0 {
				s.window -= some
				c.window -= some
				return int(some), nil
			}
		}
		if len(c.out) > 0 && !c.flushing {
			c.flush() // which lets go of the lock: look again
			continue
		}
		s.detach() // the reader hears of windows
		c.changed.Wait()
	}
}

// finish sends the status of a stream and forgets it. A client that has more to
// send is told that nobody will listen (RFC 9113, 8.1).
func (c *conn) finish(s *Stream, err error) {
	block := okTrailers
	if err != nil {
		st, ok := status.FromError(err)
		if !ok {
			st = status.FromContextError(err) // as grpc-go does
		}
		block = encode("grpc-status", strconv.Itoa(int(st.Code())), "grpc-message", percent(st.Message()))
	}
	if !s.answered {
		block = append(append(make([]byte, 0, len(answerHeaders)+len(block)), answerHeaders...), block...)
	}
	c.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, s.id, block)
	if !s.ended {
		c.resetFrame(s.id, http2.ErrCodeNo)
	}
	c.remove(s)
	s.push()
}

// maxStatus is the length of a status message beyond which it is cut.
const maxStatus = 4 << 10

// percent encodes a status message (PROTOCOL-HTTP2.md, Status-Message).
func percent(s string) string {
	var b strings.Builder
	for i := range min(len(s), maxStatus) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
