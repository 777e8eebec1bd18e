package proxywasm

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/extproc/extproc/plugin"
)

// attribute is what the proxy tells of the exchange: the value of the attribute
// of that name, or a part of one.
func (s *stream) attribute(path []byte) ([]byte, Status) {
	if s.ex.Attributes == nil || !s.stepping() {
		return nil, NotFound
	}
	for end := len(path); end > 0; end = bytes.LastIndexByte(path[:end], '.') {
		value, ok := s.ex.Attribute(string(path[:end]))
		if !ok {
			continue
		}
		if end < len(path) {
			if value, ok = value.At(strings.Split(string(path[end+1:]), ".")...); !ok {
				return nil, NotFound
			}
		}
		return serialize(value)
	}
	return s.metadata(path)
}

// metadataPrefix begins the path of a value of dynamic metadata: the message that
// Envoy has it in, and the namespace.
const metadataPrefix = "metadata.filter_metadata."

// metadata is a value of dynamic metadata. Names of namespaces have dots too.
func (s *stream) metadata(path []byte) ([]byte, Status) {
	if string(path) == "metadata" {
		// Envoy answers with its whole message, which is there but empty without
		// metadata. What is in it is to be had by its path only.
		return nil, OK
	}
	rest, ok := bytes.CutPrefix(path, []byte(metadataPrefix))
	if !ok {
		return nil, NotFound
	}
	for end := bytes.LastIndexByte(rest, '.'); end > 0; end = bytes.LastIndexByte(rest[:end], '.') {
		parts := strings.Split(string(rest[end+1:]), ".")
		if value, ok := s.ex.Metadata(string(rest[:end]), parts[0]); ok {
			if value, ok = value.At(parts[1:]...); ok {
				return serialize(value)
			}
			return nil, NotFound
		}
	}
	return nil, NotFound
}

// serialize is a value as a guest gets it: texts and bytes as they are, numbers in
// eight bytes and truth values in one, times and durations in nanoseconds, maps
// and lists as serialized maps, those of lists without values.
func serialize(v plugin.Value) ([]byte, Status) {
	switch v.Kind {
	case plugin.TextValue, plugin.BytesValue:
		return []byte(v.Text), OK
	case plugin.IntValue, plugin.TimeValue, plugin.DurationValue:
		return number(uint64(v.Int)), OK
	case plugin.NumberValue:
		return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v.Number)), OK
	case plugin.BoolValue:
		return []byte{byte(v.Int)}, OK
	case plugin.MapValue, plugin.ListValue:
		return serializePairs(v)
	}
	return nil, SerializationFailure
}

func serializePairs(v plugin.Value) ([]byte, Status) {
	var list plugin.Headers
	for _, key := range slices.Sorted(maps.Keys(v.Map)) {
		value, s := serialize(v.Map[key])
		if s != OK {
			return nil, s
		}
		list = append(list, plugin.Field{Name: key, Value: value})
	}
	for _, inner := range v.List {
		value, s := serialize(inner)
		if s != OK {
			return nil, s
		}
		list = append(list, plugin.Field{Name: string(value)})
	}
	b := make([]byte, pairsSize(list))
	writePairs(b, list)
	return b, OK
}
