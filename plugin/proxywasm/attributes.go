package proxywasm

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/extproc/extproc/plugin"
)

// serialize is a value as a guest gets it: texts and bytes as they are, numbers in
// eight bytes and truth values in one, times and durations in nanoseconds, maps
// and lists as serialized maps, those of lists without values.
func serialize(v plugin.Value) ([]byte, Status) {
	switch v.Kind {
	case plugin.TextValue, plugin.BytesValue:
		return raw(v.Text), OK // nobody changes it
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
