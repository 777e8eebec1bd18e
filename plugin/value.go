package plugin

import (
	"math"
	"strconv"
	"time"
)

// Value is a value of an attribute or of metadata.
type Value struct {
	Kind ValueKind
	// Text is a text's or bytes' content.
	Text string
	// Int is an integer, a truth value (0 or 1), a time in nanoseconds since 1970
	// or a duration in nanoseconds.
	Int int64
	// Number is a number with a fraction.
	Number float64
	Map    map[string]Value
	List   []Value
}

// ValueKind is the kind of a Value.
type ValueKind uint8

// The kinds of values.
const (
	NullValue ValueKind = iota
	TextValue
	BytesValue
	IntValue
	NumberValue
	BoolValue
	TimeValue
	DurationValue
	MapValue
	ListValue
)

// Text is a text.
func Text(s string) Value { return Value{Kind: TextValue, Text: s} }

// Bytes is bytes, of which it keeps a copy.
func Bytes(b []byte) Value { return Value{Kind: BytesValue, Text: string(b)} }

// AsText is a text, or a whole number as one.
func (v Value) AsText() (string, bool) {
	switch {
	case v.Kind == TextValue || v.Kind == BytesValue:
		return v.Text, true
	case v.Kind == IntValue:
		return strconv.FormatInt(v.Int, 10), true
	case v.Kind == NumberValue && v.Number == math.Trunc(v.Number) && math.Abs(v.Number) < 1<<53:
		return strconv.FormatInt(int64(v.Number), 10), true
	}
	return "", false
}

// At follows a path into a map.
func (v Value) At(path ...string) (Value, bool) {
	for _, key := range path {
		inner, ok := v.Map[key]
		if !ok {
			return Value{}, false
		}
		v = inner
	}
	return v, true
}

// as makes of a value that came over the wire, where there are texts, numbers and
// truth values only, one of the kind that an attribute is documented to have.
func (v Value) as(kind ValueKind) Value {
	switch {
	case kind == IntValue && v.Kind == NumberValue && math.Abs(v.Number) < 1<<63:
		return Value{Kind: IntValue, Int: int64(v.Number)}
	case kind == TimeValue && v.Kind == TextValue:
		if t, err := time.Parse(time.RFC3339Nano, v.Text); err == nil {
			return Value{Kind: TimeValue, Int: t.UnixNano()}
		}
	case kind == DurationValue && v.Kind == TextValue:
		if d, err := time.ParseDuration(v.Text); err == nil {
			return Value{Kind: DurationValue, Int: int64(d)}
		}
	}
	return v
}
