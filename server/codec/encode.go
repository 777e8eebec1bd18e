package codec

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Numbers of the fields of answers.
const (
	answerNum        = 1 // and up, in the order of the phases
	dynamicNum       = 8
	overrideNum      = 9
	responseNum      = 1
	statusNum        = 1
	mutationNum      = 2
	bodyMutationNum  = 3
	clearRouteNum    = 5
	setNum           = 1
	removeNum        = 2
	optionHeaderNum  = 1
	optionAppendNum  = 2
	optionActionNum  = 3
	keepEmptyNum     = 4
	wholeBodyNum     = 1
	clearBodyNum     = 2
	streamedNum      = 3
	streamedBodyNum  = 1
	streamedFlagsNum = 2 // and up
	boolNum          = 1
)

// Append appends a message to b, as proto would encode it. Fields that the
// message's type doesn't know are left out.
func Append(b []byte, m *extprocv3.ProcessingResponse) ([]byte, error) {
	begin := len(b)
	b, ok := appendAnswer(b, m)
	if !ok {
		return proto.MarshalOptions{}.MarshalAppend(b[:begin], m)
	}
	var err error
	if m.DynamicMetadata != nil {
		if b, err = appendProto(b, dynamicNum, m.DynamicMetadata); err != nil {
			return b[:begin], err
		}
	}
	if m.ModeOverride != nil {
		b, err = appendProto(b, overrideNum, m.ModeOverride)
	}
	return b, err
}

// appendAnswer appends the answer to one of the six phases; ok is false where
// proto is to be asked.
func appendAnswer(b []byte, m *extprocv3.ProcessingResponse) (_ []byte, ok bool) {
	if m.TypedDynamicMetadata != nil || m.GetRequestDrain() || //nolint:staticcheck // a message that has it is proto's
		m.RequestDrainRequests || m.RequestDrainResponses ||
		m.OverrideMessageTimeout != nil || m.ServerWindowUpdate != nil {
		return b, false
	}
	switch r := m.Response.(type) {
	case *extprocv3.ProcessingResponse_RequestHeaders:
		return appendCommon(b, answerNum, r.RequestHeaders.GetResponse(), r.RequestHeaders != nil)
	case *extprocv3.ProcessingResponse_ResponseHeaders:
		return appendCommon(b, answerNum+1, r.ResponseHeaders.GetResponse(), r.ResponseHeaders != nil)
	case *extprocv3.ProcessingResponse_RequestBody:
		return appendCommon(b, answerNum+2, r.RequestBody.GetResponse(), r.RequestBody != nil)
	case *extprocv3.ProcessingResponse_ResponseBody:
		return appendCommon(b, answerNum+3, r.ResponseBody.GetResponse(), r.ResponseBody != nil)
	case *extprocv3.ProcessingResponse_RequestTrailers:
		return appendTrailers(b, answerNum+4, r.RequestTrailers), r.RequestTrailers != nil
	case *extprocv3.ProcessingResponse_ResponseTrailers:
		return appendTrailers(b, answerNum+5, r.ResponseTrailers), r.ResponseTrailers != nil
	}
	return b, false
}

// open begins a message within one, whose length is about that given: the less it
// is so, the more close has to move.
func open(b []byte, num protowire.Number, length int) (_ []byte, begin int) {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	for range protowire.SizeVarint(uint64(length)) { //nolint:gosec // a length
		b = append(b, 0)
	}
	return b, len(b)
}

// end ends what open has begun.
func end(b []byte, begin, length int) []byte {
	reserved := protowire.SizeVarint(uint64(length)) //nolint:gosec // a length
	n := len(b) - begin
	if need := protowire.SizeVarint(uint64(n)); need != reserved { //nolint:gosec // a length
		for range need - reserved {
			b = append(b, 0)
		}
		copy(b[begin+need-reserved:], b[begin:begin+n])
		b = b[:begin+need-reserved+n]
	}
	protowire.AppendVarint(b[:begin-reserved], uint64(n)) //nolint:gosec // in place
	return b
}

// appendCommon appends what the answers to headers and to a body hold.
func appendCommon(b []byte, num protowire.Number, c *extprocv3.CommonResponse, there bool) (_ []byte, ok bool) {
	if !there || c.GetTrailers() != nil {
		return b, false
	}
	length := about(c)
	b, answer := open(b, num, length)
	if c != nil {
		var common int
		b, common = open(b, responseNum, length)
		b = appendInt(b, statusNum, uint64(c.Status)) //nolint:gosec // as proto does
		if c.HeaderMutation != nil {
			b = appendMutation(b, mutationNum, c.HeaderMutation)
		}
		if c.BodyMutation != nil {
			if b, ok = appendBody(b, c.BodyMutation, length); !ok {
				return b, false
			}
		}
		b = appendBool(b, clearRouteNum, c.ClearRouteCache)
		b = end(b, common, length)
	}
	return end(b, answer, length), true
}

// about is the length of an answer, but for what is around its bytes.
func about(c *extprocv3.CommonResponse) int {
	n := len(c.GetBodyMutation().GetBody()) + len(c.GetBodyMutation().GetStreamedResponse().GetBody())
	for _, o := range c.GetHeaderMutation().GetSetHeaders() {
		n += len(o.GetHeader().GetKey()) + len(o.GetHeader().GetRawValue()) + 12
	}
	for _, name := range c.GetHeaderMutation().GetRemoveHeaders() {
		n += len(name) + 2
	}
	return n
}

func appendTrailers(b []byte, num protowire.Number, t *extprocv3.TrailersResponse) []byte {
	b, begin := open(b, num, 0)
	if m := t.GetHeaderMutation(); m != nil {
		b = appendMutation(b, 1, m)
	}
	return end(b, begin, 0)
}

func appendMutation(b []byte, num protowire.Number, m *extprocv3.HeaderMutation) []byte {
	b, begin := open(b, num, 0)
	for _, o := range m.SetHeaders {
		b = appendOption(b, o)
	}
	for _, name := range m.RemoveHeaders {
		b = protowire.AppendTag(b, removeNum, protowire.BytesType)
		b = protowire.AppendString(b, name)
	}
	return end(b, begin, 0)
}

func appendOption(b []byte, o *corev3.HeaderValueOption) []byte {
	b, begin := open(b, setNum, 0)
	if o.Header != nil {
		var header int
		b, header = open(b, optionHeaderNum, 0)
		b = appendText(b, keyNum, o.Header.Key)
		b = appendText(b, valueNum, o.Header.Value)
		b = appendBytes(b, rawValueNum, o.Header.RawValue)
		b = end(b, header, 0)
	}
	if o.Append != nil {
		var value int
		b, value = open(b, optionAppendNum, 0)
		b = appendBool(b, boolNum, o.Append.Value)
		b = end(b, value, 0)
	}
	b = appendInt(b, optionActionNum, uint64(o.AppendAction)) //nolint:gosec // as proto does
	b = appendBool(b, keepEmptyNum, o.KeepEmptyValue)
	return end(b, begin, 0)
}

func appendBody(b []byte, m *extprocv3.BodyMutation, length int) (_ []byte, ok bool) {
	b, begin := open(b, bodyMutationNum, length)
	switch kind := m.Mutation.(type) {
	case nil:
	case *extprocv3.BodyMutation_Body:
		b = protowire.AppendTag(b, wholeBodyNum, protowire.BytesType)
		b = protowire.AppendBytes(b, kind.Body)
	case *extprocv3.BodyMutation_ClearBody:
		b = protowire.AppendTag(b, clearBodyNum, protowire.VarintType)
		b = protowire.AppendVarint(b, protowire.EncodeBool(kind.ClearBody))
	case *extprocv3.BodyMutation_StreamedResponse:
		s := kind.StreamedResponse
		if s == nil {
			return b, false
		}
		var streamed int
		b, streamed = open(b, streamedNum, length)
		b = appendBytes(b, streamedBodyNum, s.Body)
		for i, flag := range [...]bool{s.EndOfStream, s.EndOfStreamWithoutMessage, s.GrpcMessageCompressed, s.DrainComplete} {
			b = appendBool(b, streamedFlagsNum+protowire.Number(i), flag)
		}
		b = end(b, streamed, length)
	default:
		return b, false
	}
	return end(b, begin, length), true
}

// Fields without presence are left out when they have their default.

func appendText(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func appendInt(b []byte, num protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
}

func appendBool(b []byte, num protowire.Number, v bool) []byte {
	return appendInt(b, num, protowire.EncodeBool(v))
}

func appendProto(b []byte, num protowire.Number, m proto.Message) ([]byte, error) {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(proto.Size(m))) //nolint:gosec // a size
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
}
