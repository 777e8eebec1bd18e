package codec

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	modev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/extproc/extproc/plugin"
)

func fields(n int) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for i := range n {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: "x-some-name", RawValue: bytes.Repeat([]byte{byte(i)}, i*3)})
	}
	return m
}

// requests are one of each kind, and what is rare.
var requests = []*extprocv3.ProcessingRequest{
	{},
	{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{Headers: fields(10), EndOfStream: true}},
		MetadataContext: &corev3.Metadata{}, ProtocolConfig: &extprocv3.ProtocolConfiguration{RequestBodyMode: modev3.ProcessingMode_BUFFERED}},
	{Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{Headers: fields(3)}}, ProtocolConfig: &extprocv3.ProtocolConfiguration{}},
	{Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: &extprocv3.HttpBody{Body: []byte("abc"), EndOfStream: true}}, ObservabilityMode: true},
	{Request: &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: &extprocv3.HttpBody{EndOfStreamWithoutMessage: true, GrpcMessageCompressed: true, DrainComplete: true}}},
	{Request: &extprocv3.ProcessingRequest_RequestTrailers{RequestTrailers: &extprocv3.HttpTrailers{Trailers: fields(2)}}},
	{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}}},
	{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "a", Value: "text"}, {}}}}},
		Attributes:      map[string]*structpb.Struct{"envoy.filters.http.ext_proc": {Fields: map[string]*structpb.Value{"source.port": structpb.NewNumberValue(7)}}},
		MetadataContext: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"a": {}}}},
}

func common(c *extprocv3.CommonResponse) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{Response: c}}}
}

func mutation(n int) *extprocv3.HeaderMutation {
	m := &extprocv3.HeaderMutation{RemoveHeaders: []string{"a", ""}}
	for _, f := range fields(n).Headers {
		m.SetHeaders = append(m.SetHeaders, &corev3.HeaderValueOption{Header: f, Append: wrapperspb.Bool(len(f.RawValue)%2 == 0), AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD})
	}
	return m
}

func body(m *extprocv3.BodyMutation) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: &extprocv3.BodyResponse{Response: &extprocv3.CommonResponse{BodyMutation: m}}}}
}

func piece(b []byte, end bool) *extprocv3.ProcessingResponse {
	return body(&extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_StreamedResponse{StreamedResponse: &extprocv3.StreamedBodyResponse{Body: b, EndOfStream: end}}})
}

// responses are one of each kind, of sizes around those at which a length takes one
// byte more.
func responses() []*extprocv3.ProcessingResponse {
	metadata, _ := structpb.NewStruct(map[string]any{"ns": map[string]any{"key": 1}})
	list := []*extprocv3.ProcessingResponse{
		{},
		{Response: &extprocv3.ProcessingResponse_RequestHeaders{}},
		common(nil),
		common(&extprocv3.CommonResponse{}),
		common(&extprocv3.CommonResponse{Status: extprocv3.CommonResponse_CONTINUE_AND_REPLACE, ClearRouteCache: true, HeaderMutation: mutation(3),
			BodyMutation: &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: []byte("new")}}}),
		common(&extprocv3.CommonResponse{Trailers: fields(1)}),
		body(&extprocv3.BodyMutation{}),
		body(&extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_ClearBody{ClearBody: true}}),
		body(&extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_ClearBody{}}),
		body(&extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{}}),
		body(&extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_StreamedResponse{}}),
		{Response: &extprocv3.ProcessingResponse_RequestTrailers{RequestTrailers: &extprocv3.TrailersResponse{HeaderMutation: mutation(2)}}},
		{Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}}},
		{Response: &extprocv3.ProcessingResponse_ImmediateResponse{ImmediateResponse: &extprocv3.ImmediateResponse{Body: []byte("no")}}, DynamicMetadata: metadata},
		{ModeOverride: &modev3.ProcessingMode{RequestBodyMode: modev3.ProcessingMode_FULL_DUPLEX_STREAMED}},
		{RequestDrain: true, Response: common(nil).Response},
	}
	asked := common(&extprocv3.CommonResponse{HeaderMutation: mutation(1)})
	asked.ModeOverride, asked.DynamicMetadata = list[len(list)-2].ModeOverride, metadata
	list = append(list, asked)
	for n := range 300 {
		list = append(list, piece(make([]byte, n), n%2 == 0), common(&extprocv3.CommonResponse{HeaderMutation: mutation(n / 8)}))
	}
	for n := 16<<10 - 40; n < 16<<10+40; n++ {
		list = append(list, piece(make([]byte, n), false))
	}
	return list
}

func TestRead(t *testing.T) {
	for i, m := range requests {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := same(b); err != "" {
			t.Errorf("%d: %s", i, err)
		}
	}
}

// same compares with proto; "" is the same.
func same(b []byte) string {
	want := &extprocv3.ProcessingRequest{}
	wantErr := proto.Unmarshal(b, want)
	got, err := Read(bytes.Clone(b))
	switch {
	case (err == nil) != (wantErr == nil):
		return "got " + errorText(err) + ", proto says " + errorText(wantErr)
	case err != nil:
		return ""
	}
	expected := From(want)
	if !proto.Equal(rest(got.Rest), rest(want)) {
		return fmt.Sprintf("beside the phase, got %v\nproto has %v", got.Rest, want)
	}
	got.Rest, expected.Rest = nil, nil
	if fmt.Sprintf("%+q", got) != fmt.Sprintf("%+q", expected) {
		return fmt.Sprintf("got %+q\nproto has %+q", got, expected)
	}
	return ""
}

// rest is what a message says beside its phase, in one way only.
func rest(m *extprocv3.ProcessingRequest) *extprocv3.ProcessingRequest {
	if m == nil {
		return &extprocv3.ProcessingRequest{}
	}
	m = proto.CloneOf(m)
	m.Request, m.ObservabilityMode = nil, false
	m.ProtoReflect().SetUnknown(nil)
	if proto.Size(m.ProtocolConfig) == 0 {
		m.ProtocolConfig = nil
	}
	return m
}

// TestFrom: fields as clients write them, and what most leave out.
func TestFrom(t *testing.T) {
	m := From(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{Trailers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
		{Key: "A-b", RawValue: []byte("\xff")}, {Key: "c", Value: "text"}, nil, {Key: "d"},
	}}}}})
	if got := fmt.Sprintf("%q", m.Fields); got != `[{"a-b" "\xff"} {"c" "text"} {"" ""} {"d" ""}]` || m.Phase != (plugin.Phase{Direction: plugin.Response, Part: plugin.TrailersPart}) {
		t.Errorf("got %v %s", m.Phase, got)
	}
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

func TestAppend(t *testing.T) {
	for i, m := range responses() {
		got, err := Append([]byte("before"), m)
		if err != nil {
			t.Errorf("%d: %v", i, err)
			continue
		}
		got = bytes.TrimPrefix(got, []byte("before"))
		around, at, body, err := AppendAround(nil, m)
		if whole := slices.Concat(around[:at], body, around[at:]); err != nil || !bytes.Equal(whole, got) && m.DynamicMetadata == nil {
			t.Errorf("%d: around the body it is other bytes", i)
		}
		if long := len(m.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse().GetBody()) > mostCopied; long != (body != nil) {
			t.Errorf("%d: a body of %d bytes is left out: %v", i, len(body), body != nil)
		}
		again := &extprocv3.ProcessingResponse{}
		if err := proto.Unmarshal(got, again); err != nil || !proto.Equal(again, m) || len(got) != proto.Size(m) {
			t.Errorf("%d: %v\nbecame %v in %d bytes, expected %d: %v", i, m, again, len(got), proto.Size(m), err)
		}
	}
}

// FuzzRead: whatever the bytes, it is what proto makes of them.
func FuzzRead(f *testing.F) {
	for _, m := range requests {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := same(b); err != "" {
			t.Error(err)
		}
	})
}

// FuzzAppend: whatever message can be made of bytes, it is encoded so that proto
// makes the same of it.
func FuzzAppend(f *testing.F) {
	for _, m := range responses()[:30] {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &extprocv3.ProcessingResponse{}
		if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, m) != nil {
			return
		}
		encoded, at, left, err := AppendAround(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		encoded = slices.Concat(encoded[:at], left, encoded[at:])
		again := &extprocv3.ProcessingResponse{}
		if err := proto.Unmarshal(encoded, again); err != nil || !proto.Equal(m, again) {
			t.Errorf("%v\nbecame %v %v", m, again, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	wire, err := proto.Marshal(requests[1])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("codec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Read(wire); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("proto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := proto.Unmarshal(wire, &extprocv3.ProcessingRequest{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for name, m := range map[string]*extprocv3.ProcessingResponse{"headers": common(&extprocv3.CommonResponse{HeaderMutation: mutation(1)}), "piece": piece(make([]byte, 64<<10), false)} {
		var buffer []byte
		b.Run(name+"/codec", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buffer, _ = Append(buffer[:0], m)
			}
		})
		b.Run(name+"/proto", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buffer, _ = proto.MarshalOptions{}.MarshalAppend(buffer[:0], m)
			}
		})
	}
}
