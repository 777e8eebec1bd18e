// Package codec reads and writes ext_proc's messages faster than package proto
// does. What is common is read straight from the bytes that came, which the
// message then refers to, without a message of package proto; whatever else a message
// may hold goes through proto, so that the meaning of every message is proto's.
package codec

import (
	"slices"
	"unicode/utf8"
	"unsafe"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/extproc/extproc/plugin"
)

// Read reads a message. It refers to b, which must not be changed any more.
func Read(b []byte) (Message, error) {
	m := Message{}
	if m.read(b) {
		return m, nil
	}
	whole := &extprocv3.ProcessingRequest{}
	err := proto.Unmarshal(b, whole)
	return From(whole), err
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
	// Nearly all are short bytes with a small number: a byte for each.
	if len(b) >= 2 && b[0] >= 1<<3 && b[0] < 0x80 && b[0]&7 == byte(protowire.BytesType) && int(b[1]) <= min(len(b)-2, 0x7f) {
		end := 2 + int(b[1])
		return field{num: protowire.Number(b[0] >> 3), kind: protowire.BytesType, bytes: b[2:end:end]}, b[end:], true
	}
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

// noMetadata is the rest of a message with empty metadata, as nearly all of Envoy's
// are: it takes the place of what was told before. Nobody changes it.
var noMetadata = &extprocv3.ProcessingRequest{MetadataContext: &corev3.Metadata{}}

// read reads what it can; false says that proto is to be asked instead.
func (m *Message) read(b []byte) bool {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return false
		}
		whole := b[:len(b)-len(rest)]
		b = rest
		switch {
		case f.num == observabilityNum && f.kind == protowire.VarintType:
			m.Mute = f.n != 0
		case f.kind != protowire.BytesType:
			return false
		case f.num >= requestHeadersNum && f.num <= responseTrailersNum:
			if m.Shows || !m.readPart(f) {
				return false // the last of several counts, or they are merged
			}
		case f.num == metadataNum && len(f.bytes) == 0 && m.Rest == nil:
			m.Rest = noMetadata
		case f.num == protocolNum && len(f.bytes) == 0: // says nothing
		default:
			if !m.readRest(whole) {
				return false
			}
		}
	}
	return true
}

// readRest has proto read a field.
func (m *Message) readRest(b []byte) bool {
	switch m.Rest {
	case nil:
		m.Rest = &extprocv3.ProcessingRequest{}
	case noMetadata:
		m.Rest = &extprocv3.ProcessingRequest{MetadataContext: &corev3.Metadata{}}
	}
	return (proto.UnmarshalOptions{Merge: true}).Unmarshal(b, m.Rest) == nil
}

// readPart reads one of the six kinds of message, whose numbers go in pairs.
func (m *Message) readPart(f field) bool {
	of := int(f.num) - requestHeadersNum
	m.shows(plugin.Direction(of%2), plugin.Part(of/2)) //nolint:gosec // of six
	switch m.Part {
	case plugin.HeadersPart:
		return m.readHeaders(f.bytes)
	case plugin.BodyPart:
		return m.readBody(f.bytes)
	default:
		return m.readTrailers(f.bytes)
	}
}

func (m *Message) readHeaders(b []byte) bool {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return false
		}
		b = rest
		switch {
		case f.num == headersNum && f.kind == protowire.BytesType && m.Fields == nil:
			if !m.readFields(f.bytes) {
				return false
			}
		case f.num == headersEndNum && f.kind == protowire.VarintType:
			m.End = f.n != 0
		default:
			return false
		}
	}
	return true
}

func (m *Message) readTrailers(b []byte) bool {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok || f.num != trailersNum || f.kind != protowire.BytesType || m.Fields != nil {
			return false
		}
		b = rest
		if !m.readFields(f.bytes) {
			return false
		}
	}
	return true
}

func (m *Message) readBody(b []byte) bool {
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok {
			return false
		}
		b = rest
		switch {
		case f.num == bodyNum && f.kind == protowire.BytesType:
			m.Body = slices.Clip(f.bytes) // what is behind it is not for who appends
		case f.kind != protowire.VarintType:
			return false
		case f.num == bodyEndNum:
			m.End = f.n != 0
		case f.num == endWithoutMessageNum:
			m.EndWithoutMessage = f.n != 0
		case f.num == compressedNum:
			m.Compressed = f.n != 0
		case f.num == drainedNum:
			m.Drained = f.n != 0
		default:
			return false
		}
	}
	return true
}

// readFields reads a header map.
func (m *Message) readFields(b []byte) bool {
	count := 0
	for rest := b; len(rest) > 0; count++ {
		f, after, ok := next(rest)
		if !ok || f.num != fieldsNum || f.kind != protowire.BytesType {
			return false
		}
		rest = after
	}
	m.Fields = make(plugin.Headers, count)
	for i := range m.Fields {
		f, rest, _ := next(b)
		b = rest
		if !readField(f.bytes, &m.Fields[i]) {
			return false
		}
	}
	return true
}

func readField(b []byte, to *plugin.Field) bool {
	var key, value string
	var raw []byte
	for len(b) > 0 {
		f, rest, ok := next(b)
		if !ok || f.kind != protowire.BytesType {
			return false
		}
		b = rest
		switch f.num {
		case keyNum:
			key = text(f.bytes)
		case valueNum:
			value = text(f.bytes)
		case rawValueNum:
			raw = f.bytes
			continue
		default:
			return false
		}
		if !utf8.Valid(f.bytes) {
			return false // proto says what is wrong
		}
	}
	*to = fieldOf(key, value, raw)
	return true
}

// text is bytes that nobody changes any more as a text.
func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}
