package rpc

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// headerBlock is the fields of a stream as they come, in one frame or several.
type headerBlock struct {
	decoder *hpack.Decoder
	fields  []hpack.HeaderField // memory for the next block
	last    []hpack.HeaderField // what was kept of the last one
	size    int                 // of the fields, as RFC 9113, 10.5.1 counts
	encoded int                 // of the frames
	end     bool                // the stream ends with it
	regular bool                // a field that is no pseudo header field has come
	broken  bool                // the fields are not in order (RFC 9113, 8.3)
}

func (b *headerBlock) begin(end bool) {
	clear(b.fields)
	b.fields, b.size, b.encoded, b.end = b.fields[:0], 0, 0, end
	b.regular, b.broken = false, false
}

// add keeps a field, as long as there is room for it.
func (b *headerBlock) add(f hpack.HeaderField) {
	if f.IsPseudo() {
		b.broken = b.broken || b.regular || b.value(f.Name) != ""
	} else {
		b.regular = true
	}
	if b.size += int(f.Size()); b.size <= maxHeaderList {
		b.fields = append(b.fields, f)
	}
}

func (b *headerBlock) value(name string) string {
	for i := range b.fields {
		if b.fields[i].Name == name {
			return b.fields[i].Value
		}
	}
	return ""
}

func (c *conn) takeHeaders(f *http2.HeadersFrame) error {
	c.headers.begin(f.StreamEnded())
	return c.takeFragment(f.StreamID, f.HeaderBlockFragment(), f.HeadersEnded())
}

// takeFragment decodes a part of a header block. The table that all blocks share
// has to be kept, so that even those that are refused are decoded, up to a limit.
func (c *conn) takeFragment(id uint32, fragment []byte, last bool) error {
	b := &c.headers
	if b.encoded += len(fragment); b.encoded > 2*maxHeaderList {
		return connError{http2.ErrCodeEnhanceYourCalm, "a stream's headers are too large"}
	}
	if _, err := b.decoder.Write(fragment); err != nil {
		return connError{http2.ErrCodeCompression, "malformed headers"}
	}
	if !last {
		return c.idles()
	}
	if err := b.decoder.Close(); err != nil {
		return connError{http2.ErrCodeCompression, "headers are cut off"}
	}
	if id > c.lastID {
		return c.open(id)
	}
	st, err := c.find(id)
	if st == nil {
		return err
	}
	if !b.end || st.ended {
		c.reset(st, http2.ErrCodeProtocol)
		return nil
	}
	st.arrived(nil, 0, true) // trailers, of which gRPC has none in requests
	return nil
}

// open begins a stream. Its handler is started with its first message.
func (c *conn) open(id uint32) error {
	if id%2 == 0 {
		return protocolError("a stream of a client with an even number")
	}
	c.lastID = id
	b := &c.headers
	st := &Stream{c: c, id: id, window: c.initial}
	st.queue = st.first[:0]
	if uint32(len(c.streams)) >= c.srv.opts.MaxStreams { //nolint:gosec // bounded by what it is compared with
		c.resetFrame(id, http2.ErrCodeRefusedStream)
		return c.idles()
	}
	c.streams[id] = st
	if b.broken || b.size > maxHeaderList || b.value(":method") != "POST" || !strings.HasPrefix(b.value("content-type"), "application/grpc") {
		c.reset(st, http2.ErrCodeProtocol)
		return c.idles()
	}
	path := b.value(":path")
	if st.method = c.srv.methods[path]; st.method == nil {
		c.finish(st, status.Error(codes.Unimplemented, "unknown method "+path))
		return c.idles()
	}
	if timeout := b.value("grpc-timeout"); timeout != "" {
		d, ok := parseTimeout(timeout)
		if !ok {
			c.finish(st, status.Error(codes.Internal, "malformed grpc-timeout"))
			return c.idles()
		}
		st.limit(d)
	}
	st.keep(b.fields)
	if b.end {
		st.arrived(nil, 0, true)
	}
	return nil
}

// keep notes the fields that are the caller's metadata: neither HTTP/2's nor
// gRPC's own. Nearly always they are those of the stream before.
func (s *Stream) keep(fields []hpack.HeaderField) {
	own := func(name string) bool {
		return name[0] == ':' && name != ":authority" || name == "te" || name == "content-type" || strings.HasPrefix(name, "grpc-")
	}
	fields = slices.DeleteFunc(fields, func(f hpack.HeaderField) bool { return f.Name == "" || own(f.Name) })
	if last := s.c.headers.last; slices.Equal(fields, last) {
		s.fields = last
		return
	}
	s.fields = slices.Clone(fields)
	s.c.headers.last = s.fields
}

// parseTimeout reads a grpc-timeout: up to eight digits and a unit.
func parseTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 {
		return 0, false
	}
	unit, ok := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second,
		'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	return time.Duration(min(n, uint64(math.MaxInt64/unit))) * unit, true //nolint:gosec // both are positive
}
