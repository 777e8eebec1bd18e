package rpc

import (
	"bytes"
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
	steady  []byte              // the last block, if it means the same when it comes again
	request request             // what it asks for
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
	b := &c.headers
	b.begin(f.StreamEnded())
	block := f.HeaderBlockFragment()
	switch {
	case !f.HeadersEnded() || f.StreamID <= c.lastID:
		b.steady = b.steady[:0]
	case b.again(block):
		return c.open(f.StreamID, b.request)
	}
	return c.takeFragment(f.StreamID, block, f.HeadersEnded())
}

// again says whether a block is the last one once more, and means the same. If not, it
// takes note of it.
func (b *headerBlock) again(block []byte) bool {
	if len(block) > 0 && bytes.Equal(block, b.steady) {
		return true
	}
	b.steady = b.steady[:0]
	if steady(block) {
		b.steady = append(b.steady, block...)
	}
	return false
}

// steady says whether a block means the same when it comes again: it has no fields that
// are to be remembered, and does not change what is remembered (RFC 7541, 6). So it is
// with a proxy's streams but for the first. Indices and lengths that take more than a
// byte are not looked at.
func steady(block []byte) bool {
	text := func() bool { // RFC 7541, 5.2
		if len(block) == 0 || block[0]&0x7f == 0x7f || len(block) <= int(block[0]&0x7f) {
			return false
		}
		block = block[1+block[0]&0x7f:]
		return true
	}
	for len(block) > 0 {
		first := block[0]
		block = block[1:]
		switch {
		case first == 0xff:
			return false
		case first >= 0x80: // a field of the tables
		case first >= 0x20, first&0x0f == 0x0f:
			return false
		case first&0x0f == 0 && !text(): // a name that is not of the tables
			return false
		case !text():
			return false
		}
	}
	return true
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
		b.request = b.read(c.srv.methods)
		return c.open(id, b.request)
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

// request is what the headers of a stream ask for.
type request struct {
	method  Method
	limited bool // by the timeout
	timeout time.Duration
	fields  []hpack.HeaderField
	broken  bool           // it is none of gRPC
	refusal *status.Status // of one that isn't served
}

// read makes a request of the fields.
func (b *headerBlock) read(methods map[string]Method) (r request) {
	if b.broken || b.size > maxHeaderList || b.value(":method") != "POST" || !strings.HasPrefix(b.value("content-type"), "application/grpc") {
		return request{broken: true}
	}
	path := b.value(":path")
	if r.method = methods[path]; r.method == nil {
		return request{refusal: status.New(codes.Unimplemented, "unknown method "+path)}
	}
	if timeout := b.value("grpc-timeout"); timeout != "" {
		d, ok := parseTimeout(timeout)
		if !ok {
			return request{refusal: status.New(codes.Internal, "malformed grpc-timeout")}
		}
		r.timeout, r.limited = d, true
	}
	r.fields = slices.Clone(b.metadata())
	return r
}

// metadata are the fields that are the caller's: neither HTTP/2's nor gRPC's own. The
// others are lost.
func (b *headerBlock) metadata() []hpack.HeaderField {
	return slices.DeleteFunc(b.fields, func(f hpack.HeaderField) bool {
		name := f.Name
		return name == "" || name[0] == ':' && name != ":authority" || name == "te" || name == "content-type" || strings.HasPrefix(name, "grpc-")
	})
}

// open begins a stream. Its handler is started with its first message.
func (c *conn) open(id uint32, r request) error {
	if id%2 == 0 {
		return protocolError("a stream of a client with an even number")
	}
	c.lastID = id
	st := &Stream{c: c, id: id, window: c.initial, method: r.method, fields: r.fields}
	st.queue = st.first[:0]
	if uint32(len(c.streams)) >= c.srv.opts.MaxStreams { //nolint:gosec // bounded by what it is compared with
		c.resetFrame(id, http2.ErrCodeRefusedStream)
		return c.idles()
	}
	c.streams[id] = st
	switch {
	case r.broken:
		c.reset(st, http2.ErrCodeProtocol)
		return c.idles()
	case r.refusal != nil:
		c.finish(st, r.refusal.Err())
		return c.idles()
	case r.limited:
		st.limit(r.timeout)
	}
	if c.headers.end {
		st.arrived(nil, 0, true)
	}
	return nil
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
