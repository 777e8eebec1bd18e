package server

import (
	"encoding/binary"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/extproc/extproc/plugin"
)

// wired is messages as they are on the wire, each after its length.
func wired(tb testing.TB, msgs ...*extprocv3.ProcessingRequest) []byte {
	tb.Helper()
	var b []byte
	for _, m := range msgs {
		one, err := proto.Marshal(m)
		if err != nil {
			tb.Fatal(err)
		}
		b = append(binary.AppendUvarint(b, uint64(len(one))), one...)
	}
	return b
}

// unwired reads what it can of wired messages.
func unwired(b []byte) []*extprocv3.ProcessingRequest {
	var msgs []*extprocv3.ProcessingRequest
	for len(b) > 0 && len(msgs) < 40 {
		n, used := binary.Uvarint(b)
		if used <= 0 {
			break
		}
		b = b[used:]
		size := min(n, uint64(len(b)))
		m := &extprocv3.ProcessingRequest{}
		if proto.Unmarshal(b[:size], m) == nil {
			msgs = append(msgs, m)
		}
		b = b[size:]
	}
	return msgs
}

func attributesOf(tb testing.TB, fields map[string]any) map[string]*structpb.Struct {
	tb.Helper()
	s, err := structpb.NewStruct(fields)
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]*structpb.Struct{"envoy.filters.http.ext_proc": s}
}

// FuzzMessages sends messages made of any bytes that a protobuf can be: without a
// oneof, with fields that are no headers, with modes that there aren't. Each
// stream ends well or as a broken protocol, and what is answered could be sent to
// a proxy.
func FuzzMessages(f *testing.F) {
	first := msg("qh :method: POST, x-do: attributes")
	first.Attributes = attributesOf(f, map[string]any{"source.port": 1.0, "request.time": "x", "connection.mtls": true, "a": []any{map[string]any{"b": nil}}})
	first.ProtocolConfig = &extprocv3.ProtocolConfiguration{RequestBodyMode: duplex, ResponseBodyMode: duplex}
	first.MetadataContext = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"before": first.Attributes["envoy.filters.http.ext_proc"]}}
	for _, do := range []string{"pass", "headers", "attributes", "metadata"} {
		one := msg("qh :method: GET, X-Upper: \xff\x00, :: , x-do: " + do)
		f.Add(wired(f, one, msg("qb abc eos"), msg("rh :status: 200"), msg("rb eos")))
	}
	f.Add(wired(f, first, msg("qb abc"), msg("qt t: 1"), msg("rh :status: 200"), msg("rb abc eos")))
	f.Add(wired(f, &extprocv3.ProcessingRequest{}, msg("rh"), msg("qh"), msg("qh"), msg("qt"), msg("qb eos")))
	f.Add([]byte("\x02\x12\x00\x02\x22\x00\x02\x1a\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _ := service(t, plugin.FailClose)
		s.lingering = 10 * time.Millisecond
		answers, err := talk(t, s, unwired(b)...)
		if code := status.Code(err); code != codes.OK && code != codes.InvalidArgument {
			t.Fatalf("the stream ended with %v", err)
		}
		for _, list := range answers {
			for _, a := range list {
				sendable(t, a)
			}
		}
	})
}

// sendable checks the fields that an answer sets.
func sendable(t *testing.T, a *extprocv3.ProcessingResponse) {
	t.Helper()
	if _, err := proto.Marshal(a); err != nil {
		t.Errorf("%v: %s", err, show(a))
	}
	_, _, common := contentOf(a)
	for _, o := range common.GetHeaderMutation().GetSetHeaders() {
		f := plugin.Field{Name: o.GetHeader().GetKey(), Value: o.GetHeader().GetRawValue()}
		if !validName(f.Name) || !validValue(f) {
			t.Errorf("sets %q", f)
		}
	}
}

// FuzzAttributes looks for any name in any attributes and metadata, by all ways
// that guests have.
func FuzzAttributes(f *testing.F) {
	m := &extprocv3.ProcessingRequest{
		Attributes: attributesOf(f, map[string]any{
			"source.port": 1e300, "source.address": "a", "request.time": "2020-01-01T00:00:00Z", "request.duration": "1s", "connection.mtls": "true",
			"xds.node": map[string]any{"id": "x", "list": []any{1.0, nil, true}}, "request.size": -1.0, "upstream.port": "99999999999999999999",
		}),
		MetadataContext: &corev3.Metadata{FilterMetadata: attributesOf(f, map[string]any{"a.b": map[string]any{"c": "d"}})},
	}
	b, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{
		"source.port", "source.address", "request.time", "request.duration", "xds.node.id", "xds.node.list.2", "request.size", "upstream.port",
		"metadata.filter_metadata.envoy.filters.http.ext_proc.a.b.c", "...", "", "request.headers.x", "connection.mtls",
	} {
		f.Add(b, name)
	}
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		req := &extprocv3.ProcessingRequest{}
		if proto.Unmarshal(b, req) != nil {
			return
		}
		a := &attributes{}
		a.learn(plugin.Request, req)
		a.learn(plugin.Response, req)
		ex := plugin.Exchange{Attributes: a}
		direct, ok := ex.Attribute(name)
		told, found := ex.Told(name)
		if ok && name != "" && (!found || told.Kind != direct.Kind) {
			t.Errorf("%q is %v, but by its path %v", name, direct, told)
		}
		for namespace := range req.GetMetadataContext().GetFilterMetadata() {
			ex.Metadata(namespace, name)
		}
		direct.At(name, "0", name)
	})
}
