// Package codec reads and writes ext_proc's messages faster than package proto
// does. What is common is read straight from the bytes that came, which the
// message then refers to; whatever else a message may hold goes through proto, so
// that the meaning of every message is proto's.
package codec

import (
	"unicode/utf8"
	"unsafe"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Unmarshal reads a message. It refers to b, which must not be changed any more.
func Unmarshal(b []byte) (*extprocv3.ProcessingRequest, error) {
	d := &request{}
	if d.read(b) {
		return &d.ProcessingRequest, nil
	}
	whole := &extprocv3.ProcessingRequest{}
	return whole, proto.Unmarshal(b, whole)
}

// request is a message with room for the parts that most have.
type request struct {
	extprocv3.ProcessingRequest
	requestHeaders   extprocv3.ProcessingRequest_RequestHeaders
	responseHeaders  extprocv3.ProcessingRequest_ResponseHeaders
	requestBody      extprocv3.ProcessingRequest_RequestBody
	responseBody     extprocv3.ProcessingRequest_ResponseBody
	requestTrailers  extprocv3.ProcessingRequest_RequestTrailers
	responseTrailers extprocv3.ProcessingRequest_ResponseTrailers
	fields           corev3.HeaderMap
}

// field is one field of a message: a number and either bytes or an integer.
type field struct {
	num   protowire.Number
	bytes []byte
	n     uint64
	kind  protowire.Type
}

// next takes a field off b; ok is false where proto is to be asked.
func next(b []byte) (f field, rest []byte, ok bool) {
	num, kind, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, false
	}
	b = b[n:]
	f.num, f.kind = num, kind
	switch kind {
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	case protowire.VarintType:
		f.n, n = protowire.ConsumeVarint(b)
	default:
		return f, nil, false
	}
	if n < 0 {
		return f, nil, false
	}
	return f, b[n:], true
}

// Numbers of the fields, see external_processor.proto and base.proto.
const (
	requestHeadersNum, responseHeadersNum           = 2, 3
	requestBodyNum, responseBodyNum                 = 4, 5
	requestTrailersNum, responseTrailersNum         = 6, 7
	metadataNum, attributesNum, observabilityNum    = 8, 9, 10
	protocolNum                                     = 11
	headersNum, headersEndNum                       = 1, 3
	bodyNum, bodyEndNum                             = 1, 2
	trailersNum                                     = 1
	fieldsNum                                       = 1
	keyNum, valueNum, rawValueNum                   = 1, 2, 3
	endWithoutMessageNum, compressedNum, drainedNum = 3, 4, 5
)

// read reads what it can; false says that proto is to be asked instead.
func (r *request) read(b []byte) bool {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return false
		}
		whole := b[:len(b)-len(rest)]
		b = rest
		switch {
		case f.num == observabilityNum && f.kind == protowire.VarintType:
			r.ObservabilityMode = f.n != 0
		case f.kind != protowire.BytesType:
			return false
		case f.num >= requestHeadersNum && f.num <= responseTrailersNum:
			if r.Request != nil || !r.readPart(f) {
				return false // the last of several counts, or they are merged
			}
		case f.num == metadataNum && len(f.bytes) == 0 && r.MetadataContext == nil:
			r.MetadataContext = &corev3.Metadata{} // Envoy sends one always
		case f.num == protocolNum && len(f.bytes) == 0 && r.ProtocolConfig == nil:
			r.ProtocolConfig = &extprocv3.ProtocolConfiguration{}
		default:
			if (proto.UnmarshalOptions{Merge: true}).Unmarshal(whole, &r.ProcessingRequest) != nil {
				return false
			}
		}
	}
	return true
}

// readPart reads one of the six kinds of message.
func (r *request) readPart(f field) bool {
	switch f.num {
	case requestHeadersNum:
		h := &extprocv3.HttpHeaders{}
		r.requestHeaders.RequestHeaders, r.Request = h, &r.requestHeaders
		return r.readHeaders(f.bytes, h)
	case responseHeadersNum:
		h := &extprocv3.HttpHeaders{}
		r.responseHeaders.ResponseHeaders, r.Request = h, &r.responseHeaders
		return r.readHeaders(f.bytes, h)
	case requestBodyNum:
		body := &extprocv3.HttpBody{}
		r.requestBody.RequestBody, r.Request = body, &r.requestBody
		return readBody(f.bytes, body)
	case responseBodyNum:
		body := &extprocv3.HttpBody{}
		r.responseBody.ResponseBody, r.Request = body, &r.responseBody
		return readBody(f.bytes, body)
	case requestTrailersNum:
		t := &extprocv3.HttpTrailers{}
		r.requestTrailers.RequestTrailers, r.Request = t, &r.requestTrailers
		return r.readTrailers(f.bytes, t)
	default:
		t := &extprocv3.HttpTrailers{}
		r.responseTrailers.ResponseTrailers, r.Request = t, &r.responseTrailers
		return r.readTrailers(f.bytes, t)
	}
}

func (r *request) readHeaders(b []byte, h *extprocv3.HttpHeaders) bool {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return false
		}
		b = rest
		switch {
		case f.num == headersNum && f.kind == protowire.BytesType && h.Headers == nil:
			h.Headers = &r.fields
			if !readFields(f.bytes, h.Headers) {
				return false
			}
		case f.num == headersEndNum && f.kind == protowire.VarintType:
			h.EndOfStream = f.n != 0
		default:
			return false
		}
	}
	return true
}

func (r *request) readTrailers(b []byte, t *extprocv3.HttpTrailers) bool {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok || f.num != trailersNum || f.kind != protowire.BytesType || t.Trailers != nil {
			return false
		}
		b = rest
		t.Trailers = &r.fields
		if !readFields(f.bytes, t.Trailers) {
			return false
		}
	}
	return true
}

func readBody(b []byte, body *extprocv3.HttpBody) bool {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return false
		}
		b = rest
		switch {
		case f.num == bodyNum && f.kind == protowire.BytesType:
			body.Body = f.bytes
		case f.kind != protowire.VarintType:
			return false
		case f.num == bodyEndNum:
			body.EndOfStream = f.n != 0
		case f.num == endWithoutMessageNum:
			body.EndOfStreamWithoutMessage = f.n != 0
		case f.num == compressedNum:
			body.GrpcMessageCompressed = f.n != 0
		case f.num == drainedNum:
			body.DrainComplete = f.n != 0
		default:
			return false
		}
	}
	return true
}

// readFields reads a header map: its fields in one piece of memory.
func readFields(b []byte, to *corev3.HeaderMap) bool {
	count := 0
	for rest := b; len(rest) > 0; count++ {
		f, after, ok := next(rest)
		if !ok || f.num != fieldsNum || f.kind != protowire.BytesType {
			return false
		}
		rest = after
	}
	values := make([]corev3.HeaderValue, count)
	to.Headers = make([]*corev3.HeaderValue, count)
	for i := range values {
		f, rest, _ := next(b)
		b = rest
		to.Headers[i] = &values[i]
		if !readField(f.bytes, &values[i]) {
			return false
		}
	}
	return true
}

func readField(b []byte, v *corev3.HeaderValue) bool {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok || f.kind != protowire.BytesType {
			return false
		}
		b = rest
		switch f.num {
		case keyNum:
			v.Key = text(f.bytes)
		case valueNum:
			v.Value = text(f.bytes)
		case rawValueNum:
			v.RawValue = f.bytes
			continue
		default:
			return false
		}
		if !utf8.Valid(f.bytes) {
			return false // proto says what is wrong
		}
	}
	return true
}

// text is bytes that nobody changes any more as a text.
func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}
