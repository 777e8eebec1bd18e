package codec

import (
	"math"

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
	e := encoder{b: b, most: math.MaxInt}
	err := e.message(m)
	return e.b, err
}

// AppendAround is Append that leaves a large body out, for who would only copy it
// elsewhere: it belongs behind the first at bytes.
func AppendAround(b []byte, m *extprocv3.ProcessingResponse) (_ []byte, at int, body []byte, err error) {
	e := encoder{b: b, most: mostCopied}
	err = e.message(m)
	return e.b, e.at, e.body, err
}

// mostCopied is the size of a body that is not worth the trouble.
const mostCopied = 2 << 10

// encoder appends to b. A body longer than most is left out: it is body then, and
// belongs at.
type encoder struct {
	b    []byte
	most int
	body []byte
	at   int
}

func (e *encoder) message(m *extprocv3.ProcessingResponse) (err error) {
	begin := len(e.b)
	if !e.answer(m) {
		e.b, err = proto.MarshalOptions{}.MarshalAppend(e.b[:begin], m)
		e.body = nil
		return err
	}
	if m.DynamicMetadata != nil {
		err = e.proto(dynamicNum, m.DynamicMetadata)
	}
	if m.ModeOverride != nil && err == nil {
		err = e.proto(overrideNum, m.ModeOverride)
	}
	if err != nil {
		e.b, e.body = e.b[:begin], nil
	}
	return err
}

// answer appends the answer to one of the six phases; it is false where proto is to be
// asked.
func (e *encoder) answer(m *extprocv3.ProcessingResponse) bool {
	if m.TypedDynamicMetadata != nil || m.GetRequestDrain() || //nolint:staticcheck // a message that has it is proto's
		m.RequestDrainRequests || m.RequestDrainResponses ||
		m.OverrideMessageTimeout != nil || m.ServerWindowUpdate != nil {
		return false
	}
	switch r := m.Response.(type) {
	case *extprocv3.ProcessingResponse_RequestHeaders:
		return e.common(answerNum, r.RequestHeaders.GetResponse(), r.RequestHeaders != nil)
	case *extprocv3.ProcessingResponse_ResponseHeaders:
		return e.common(answerNum+1, r.ResponseHeaders.GetResponse(), r.ResponseHeaders != nil)
	case *extprocv3.ProcessingResponse_RequestBody:
		return e.common(answerNum+2, r.RequestBody.GetResponse(), r.RequestBody != nil)
	case *extprocv3.ProcessingResponse_ResponseBody:
		return e.common(answerNum+3, r.ResponseBody.GetResponse(), r.ResponseBody != nil)
	case *extprocv3.ProcessingResponse_RequestTrailers:
		return e.trailers(answerNum+4, r.RequestTrailers)
	case *extprocv3.ProcessingResponse_ResponseTrailers:
		return e.trailers(answerNum+5, r.ResponseTrailers)
	}
	return false
}

// open begins a message within one, whose length is about that given: the less it
// is so, the more end has to move.
func (e *encoder) open(num protowire.Number, length int) (begin int) {
	e.b = protowire.AppendTag(e.b, num, protowire.BytesType)
	for range protowire.SizeVarint(uint64(length)) { //nolint:gosec // a length
		e.b = append(e.b, 0)
	}
	return len(e.b)
}

// end ends what open has begun. What was left out is in it, as all that is open when a
// body comes is around that.
func (e *encoder) end(begin, length int) {
	reserved := protowire.SizeVarint(uint64(length)) //nolint:gosec // a length
	n := len(e.b) - begin
	whole := uint64(n + len(e.body)) //nolint:gosec // a length
	if need := protowire.SizeVarint(whole); need != reserved {
		for range need - reserved {
			e.b = append(e.b, 0)
		}
		copy(e.b[begin+need-reserved:], e.b[begin:begin+n])
		e.b = e.b[:begin+need-reserved+n]
		e.at += need - reserved
	}
	protowire.AppendVarint(e.b[:begin-reserved], whole) // in place
}

// common appends what the answers to headers and to a body hold.
func (e *encoder) common(num protowire.Number, c *extprocv3.CommonResponse, there bool) bool {
	if !there || c.GetTrailers() != nil {
		return false
	}
	length := about(c)
	answer := e.open(num, length)
	if c != nil {
		common := e.open(responseNum, length)
		e.int(statusNum, uint64(c.Status)) //nolint:gosec // as proto does
		if c.HeaderMutation != nil {
			e.mutation(mutationNum, c.HeaderMutation)
		}
		if c.BodyMutation != nil && !e.bodyMutation(c.BodyMutation, length) {
			return false
		}
		e.bool(clearRouteNum, c.ClearRouteCache)
		e.end(common, length)
	}
	e.end(answer, length)
	return true
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

func (e *encoder) trailers(num protowire.Number, t *extprocv3.TrailersResponse) bool {
	if t == nil {
		return false
	}
	begin := e.open(num, 0)
	if t.HeaderMutation != nil {
		e.mutation(1, t.HeaderMutation)
	}
	e.end(begin, 0)
	return true
}

func (e *encoder) mutation(num protowire.Number, m *extprocv3.HeaderMutation) {
	begin := e.open(num, 0)
	for _, o := range m.SetHeaders {
		e.option(o)
	}
	for _, name := range m.RemoveHeaders {
		e.b = protowire.AppendTag(e.b, removeNum, protowire.BytesType)
		e.b = protowire.AppendString(e.b, name)
	}
	e.end(begin, 0)
}

func (e *encoder) option(o *corev3.HeaderValueOption) {
	begin := e.open(setNum, 0)
	if o.Header != nil {
		header := e.open(optionHeaderNum, 0)
		e.text(keyNum, o.Header.Key)
		e.text(valueNum, o.Header.Value)
		e.bytes(rawValueNum, o.Header.RawValue)
		e.end(header, 0)
	}
	if o.Append != nil {
		value := e.open(optionAppendNum, 0)
		e.bool(boolNum, o.Append.Value)
		e.end(value, 0)
	}
	e.int(optionActionNum, uint64(o.AppendAction)) //nolint:gosec // as proto does
	e.bool(keepEmptyNum, o.KeepEmptyValue)
	e.end(begin, 0)
}

func (e *encoder) bodyMutation(m *extprocv3.BodyMutation, length int) bool {
	begin := e.open(bodyMutationNum, length)
	switch kind := m.Mutation.(type) {
	case nil:
	case *extprocv3.BodyMutation_Body:
		e.large(wholeBodyNum, kind.Body)
	case *extprocv3.BodyMutation_ClearBody:
		e.b = protowire.AppendTag(e.b, clearBodyNum, protowire.VarintType)
		e.b = protowire.AppendVarint(e.b, protowire.EncodeBool(kind.ClearBody))
	case *extprocv3.BodyMutation_StreamedResponse:
		s := kind.StreamedResponse
		if s == nil {
			return false
		}
		streamed := e.open(streamedNum, length)
		if len(s.Body) > 0 {
			e.large(streamedBodyNum, s.Body)
		}
		for i, flag := range [...]bool{s.EndOfStream, s.EndOfStreamWithoutMessage, s.GrpcMessageCompressed, s.DrainComplete} {
			e.bool(streamedFlagsNum+protowire.Number(i), flag)
		}
		e.end(streamed, length)
	default:
		return false
	}
	e.end(begin, length)
	return true
}

// large appends bytes, or leaves them out.
func (e *encoder) large(num protowire.Number, v []byte) {
	e.b = protowire.AppendTag(e.b, num, protowire.BytesType)
	e.b = protowire.AppendVarint(e.b, uint64(len(v)))
	if len(v) > e.most {
		e.body, e.at = v, len(e.b)
		return
	}
	e.b = append(e.b, v...)
}

// Fields without presence are left out when they have their default.

func (e *encoder) text(num protowire.Number, s string) {
	if s != "" {
		e.b = protowire.AppendString(protowire.AppendTag(e.b, num, protowire.BytesType), s)
	}
}

func (e *encoder) bytes(num protowire.Number, v []byte) {
	if len(v) > 0 {
		e.b = protowire.AppendBytes(protowire.AppendTag(e.b, num, protowire.BytesType), v)
	}
}

func (e *encoder) int(num protowire.Number, n uint64) {
	if n != 0 {
		e.b = protowire.AppendVarint(protowire.AppendTag(e.b, num, protowire.VarintType), n)
	}
}

func (e *encoder) bool(num protowire.Number, v bool) { e.int(num, protowire.EncodeBool(v)) }

func (e *encoder) proto(num protowire.Number, m proto.Message) (err error) {
	e.b = protowire.AppendTag(e.b, num, protowire.BytesType)
	e.b = protowire.AppendVarint(e.b, uint64(proto.Size(m))) //nolint:gosec // a size
	e.b, err = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(e.b, m)
	return err
}
