package server

import (
	"bytes"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/encoding"
	codecproto "google.golang.org/grpc/encoding/proto"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// TestFastCodec: what is written is what proto writes, and of the messages of all
// services; nothing of it changes when a body does that is used again.
func TestFastCodec(t *testing.T) {
	c := fastCodec{encoding.GetCodecV2(codecproto.Name)}
	body := bytes.Repeat([]byte("large"), 10_000)
	for _, m := range []proto.Message{
		rows[plugin.Request][plugin.HeadersPart].plain,
		rows[plugin.Response][plugin.BodyPart].body(&extprocv3.BodyResponse{Response: &extprocv3.CommonResponse{BodyMutation: wholeBody(body)}}),
		&healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING},
	} {
		want, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Marshal(m)
		clear(body)
		if err != nil || !bytes.Equal(got.Materialize(), want) {
			t.Errorf("%T: %d bytes that differ from the %d of proto (%v)", m, got.Len(), len(want), err)
		}
		got.Free()
	}

	sent := msg("qh :method: GET x-a: b eos")
	b, err := proto.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	pieces := mem.BufferSlice{mem.SliceBuffer(b[:7]), mem.SliceBuffer(b[7:])}
	var got codec.Message
	if err := c.Unmarshal(pieces, &got); err != nil {
		t.Fatal(err)
	}
	clear(b)
	want := codec.From(sent)
	if got.Phase != want.Phase || !got.End || len(got.Fields) != len(want.Fields) {
		t.Fatalf("%+v, expected %+v", got, want)
	}
	for i, f := range want.Fields {
		if got.Fields[i].Name != f.Name || !bytes.Equal(got.Fields[i].Value, f.Value) {
			t.Errorf("%q, expected %q", got.Fields[i], f)
		}
	}
	var asked healthv1.HealthCheckRequest
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer("\x0a\x01a")}, &asked); err != nil || asked.GetService() != "a" {
		t.Errorf("%v (%v), expected a question about a", &asked, err)
	}
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer("\xff")}, &got); err == nil {
		t.Error("what is no message was read")
	}
}
