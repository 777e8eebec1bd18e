package server

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/extproc/extproc/plugin"
)

// attributes is what the proxy has told of an exchange beside its messages. Of
// metadata the last message's word counts, of attributes the first's.
type attributes struct {
	// told are the attributes by direction: they come once, with the first message
	// of each.
	told     [2][]*structpb.Struct
	metadata *corev3.Metadata
}

// maxTold is how many lists of attributes are kept of a direction. A proxy sends one,
// with the first message of each.
const maxTold = 8

// learn keeps what a message tells.
func (a *attributes) learn(d plugin.Direction, req *extprocv3.ProcessingRequest) {
	for _, list := range req.GetAttributes() {
		if len(a.told[d]) < maxTold {
			a.told[d] = append(a.told[d], list)
		}
	}
	if m := req.GetMetadataContext(); m != nil {
		a.metadata = m
	}
}

// Attribute implements plugin.Attributes.
func (a *attributes) Attribute(name string) (plugin.Value, bool) {
	for _, d := range [...]plugin.Direction{plugin.Response, plugin.Request} {
		for _, list := range a.told[d] {
			if v, ok := list.GetFields()[name]; ok {
				return valueOf(v), true
			}
		}
	}
	return plugin.Value{}, false
}

// Metadata implements plugin.Attributes.
func (a *attributes) Metadata(namespace string) (plugin.Value, bool) {
	fields, ok := a.metadata.GetFilterMetadata()[namespace]
	if !ok {
		return plugin.Value{}, false
	}
	return mapOf(fields), true
}

func valueOf(v *structpb.Value) plugin.Value {
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return plugin.Text(k.StringValue)
	case *structpb.Value_NumberValue:
		return plugin.Value{Kind: plugin.NumberValue, Number: k.NumberValue}
	case *structpb.Value_BoolValue:
		b := plugin.Value{Kind: plugin.BoolValue}
		if k.BoolValue {
			b.Int = 1
		}
		return b
	case *structpb.Value_StructValue:
		return mapOf(k.StructValue)
	case *structpb.Value_ListValue:
		list := plugin.Value{Kind: plugin.ListValue}
		for _, one := range k.ListValue.GetValues() {
			list.List = append(list.List, valueOf(one))
		}
		return list
	}
	return plugin.Value{}
}

func mapOf(s *structpb.Struct) plugin.Value {
	m := plugin.Value{Kind: plugin.MapValue, Map: make(map[string]plugin.Value, len(s.GetFields()))}
	for key, v := range s.GetFields() {
		m.Map[key] = valueOf(v)
	}
	return m
}
