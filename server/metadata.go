package server

import (
	"strings"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/extproc/extproc/plugin"
)

// withMetadata adds the dynamic metadata that plugins have set since the last
// answer. An answer of one of the six phases or an immediate one may carry it; the
// proxy merges it with what it has of the namespace, and drops those namespaces
// that it isn't configured to receive.
func (p *process) withMetadata(resp *extprocv3.ProcessingResponse) *extprocv3.ProcessingResponse {
	if resp.Response == nil {
		return resp
	}
	unsent := p.ex.UnsentMetadata()
	if unsent == nil {
		return resp
	}
	all := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(unsent))}
	for namespace, keys := range unsent {
		all.Fields[valid(namespace)] = structpb.NewStructValue(structOf(keys))
	}
	// The answer itself may be a shared one.
	return &extprocv3.ProcessingResponse{Response: resp.Response, ModeOverride: resp.ModeOverride, DynamicMetadata: all}
}

func structOf(m map[string]plugin.Value) *structpb.Struct {
	s := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(m))}
	for key, v := range m {
		s.Fields[valid(key)] = protoOf(v)
	}
	return s
}

func protoOf(v plugin.Value) *structpb.Value {
	switch v.Kind {
	case plugin.TextValue, plugin.BytesValue:
		return structpb.NewStringValue(valid(v.Text))
	case plugin.IntValue:
		return structpb.NewNumberValue(float64(v.Int))
	case plugin.NumberValue:
		return structpb.NewNumberValue(v.Number)
	case plugin.BoolValue:
		return structpb.NewBoolValue(v.Int != 0)
	case plugin.TimeValue:
		return structpb.NewStringValue(time.Unix(0, v.Int).UTC().Format(time.RFC3339Nano))
	case plugin.DurationValue:
		return structpb.NewStringValue(time.Duration(v.Int).String())
	case plugin.MapValue:
		return structpb.NewStructValue(structOf(v.Map))
	case plugin.ListValue:
		list := &structpb.ListValue{}
		for _, one := range v.List {
			list.Values = append(list.Values, protoOf(one))
		}
		return structpb.NewListValue(list)
	}
	return structpb.NewNullValue()
}

// valid is a text as protos take it.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
