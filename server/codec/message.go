package codec

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/buffer"
)

// Message is what a ProcessingRequest says.
type Message struct {
	// Shows is set when it is one of the six that show a part of the exchange, which
	// Phase then is.
	Shows bool
	plugin.Phase
	// Fields are the headers or trailers, their names in lower case.
	Fields plugin.Headers
	// Body is a piece of the body, and In the memory that it was lent from, or nil.
	Body []byte
	In   *buffer.Buffer
	// End is the end of the stream, in headers or a piece of a body. The others are
	// of a piece only (HttpBody in external_processor.proto).
	End, EndWithoutMessage, Compressed, Drained bool
	// Mute is set in observability mode.
	Mute bool
	// Rest is all else, in a message that may say again what is above; nil is nothing.
	Rest *extprocv3.ProcessingRequest
}

// IsHeaders says whether the message shows headers.
func (m *Message) IsHeaders() bool { return m.Shows && m.Part == plugin.HeadersPart }

// IsBody says whether the message shows a piece of a body, be it empty.
func (m *Message) IsBody() bool { return m.Shows && m.Part == plugin.BodyPart }

// From takes what a message of package proto says. It refers to that.
func From(req *extprocv3.ProcessingRequest) Message {
	m := Message{Mute: req.GetObservabilityMode(), Rest: req}
	switch r := req.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		m.headers(plugin.Request, r.RequestHeaders)
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		m.headers(plugin.Response, r.ResponseHeaders)
	case *extprocv3.ProcessingRequest_RequestBody:
		m.body(plugin.Request, r.RequestBody)
	case *extprocv3.ProcessingRequest_ResponseBody:
		m.body(plugin.Response, r.ResponseBody)
	case *extprocv3.ProcessingRequest_RequestTrailers:
		m.trailers(plugin.Request, r.RequestTrailers)
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		m.trailers(plugin.Response, r.ResponseTrailers)
	}
	return m
}

func (m *Message) shows(d plugin.Direction, part plugin.Part) {
	m.Shows, m.Phase = true, plugin.Phase{Direction: d, Part: part}
}

func (m *Message) headers(d plugin.Direction, h *extprocv3.HttpHeaders) {
	m.shows(d, plugin.HeadersPart)
	m.Fields, m.End = fieldsOf(h.GetHeaders()), h.GetEndOfStream()
}

func (m *Message) body(d plugin.Direction, b *extprocv3.HttpBody) {
	m.shows(d, plugin.BodyPart)
	m.Body, m.End = b.GetBody(), b.GetEndOfStream()
	m.EndWithoutMessage, m.Compressed, m.Drained = b.GetEndOfStreamWithoutMessage(), b.GetGrpcMessageCompressed(), b.GetDrainComplete()
}

func (m *Message) trailers(d plugin.Direction, t *extprocv3.HttpTrailers) {
	m.shows(d, plugin.TrailersPart)
	m.Fields = fieldsOf(t.GetTrailers())
}

// fieldsOf are the fields of a header map.
func fieldsOf(m *corev3.HeaderMap) plugin.Headers {
	list := m.GetHeaders()
	h := make(plugin.Headers, len(list))
	for i, v := range list {
		h[i] = fieldOf(v.GetKey(), v.GetValue(), v.GetRawValue())
	}
	return h
}

// fieldOf is a field. A value that a client puts in `value` instead of `raw_value`
// counts too.
func fieldOf(key, value string, raw []byte) plugin.Field {
	if len(raw) == 0 {
		raw = []byte(value)
	}
	return plugin.Field{Name: lower(key), Value: raw}
}

// lower is strings.ToLower for the names that are lower-case already, as all of
// a proxy's are.
func lower(name string) string {
	for i := range len(name) {
		if c := name[i]; 'A' <= c && c <= 'Z' {
			return strings.ToLower(name)
		}
	}
	return name
}
