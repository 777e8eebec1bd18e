package foreign

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// Attributes finds an attribute of an exchange by its path with dots
// ("request.headers.x-a"), as a property's bytes. Those of maps are pairs.
type Attributes func(path string) (value []byte, typ PropertyType, ok bool)

// kind is how the bytes of an attribute are to be read.
type kind uint8

const (
	opaque  kind = iota // as the property's type says
	text                // a string
	integer             // an int
	truth               // a bool
	instant             // a timestamp, in nanoseconds
	length              // a duration, in nanoseconds
	object              // attributes whose paths begin with this one
	fields              // a map of strings, each of them an attribute too
)

// known are the attributes that Envoy documents, those that are not text.
var known = map[string]kind{
	"request": object, "request.headers": fields, "request.time": instant, "request.duration": length,
	"request.size": integer, "request.total_size": integer,
	"response": object, "response.headers": fields, "response.trailers": fields, "response.code": integer,
	"response.flags": integer, "response.grpc_status": integer, "response.size": integer, "response.total_size": integer,
	"response.backend_latency": length,
	"connection":               object, "connection.id": integer, "connection.mtls": truth, "connection.termination_details": text,
	"source": object, "source.port": integer, "destination": object, "destination.port": integer,
	"upstream": object, "upstream.port": integer, "upstream.num_endpoints": integer, "upstream.request_attempt_count": integer,
	"upstream.cx_pool_ready_duration": length,
	"metadata":                        object, "metadata.filter_metadata": object, "filter_state": object, "node": object, "node.metadata": object,
	"xds": object, "listener_direction": integer, "connection_id": integer,
	"plugin_name": text, "plugin_root_id": text, "plugin_vm_id": text, "cluster_name": text, "route_name": text,
}

// kindOf tells how to read an attribute: those in an object are text unless the
// table says otherwise, the rest is as its setter has declared it.
func kindOf(path string) kind {
	if k, ok := known[path]; ok {
		return k
	}
	if dot := strings.LastIndexByte(path, '.'); dot > 0 {
		if parent, ok := known[path[:dot]]; ok && parent == object {
			return text
		}
	}
	for _, prefix := range []string{"metadata.filter_metadata.", "request.headers.", "response.headers.", "response.trailers."} {
		if strings.HasPrefix(path, prefix) {
			return text
		}
	}
	return opaque
}

// value is an attribute as CEL sees it; nil if there is none.
func (a Attributes) value(path string) ref.Val {
	k := kindOf(path)
	if k == object || k == fields {
		return attributesOf{a, path, k}
	}
	b, typ, ok := a(path)
	if !ok {
		return nil
	}
	switch {
	case k == text, k == opaque && typ == StringProperty:
		return types.String(b)
	case k == truth:
		return types.Bool(len(b) > 0 && b[0] != 0)
	case k == opaque:
		return types.Bytes(b)
	case len(b) != 8:
		return nil
	}
	n := int64(binary.LittleEndian.Uint64(b))
	switch k {
	case instant:
		return types.Timestamp{Time: time.Unix(0, n).UTC()}
	case length:
		return types.Duration{Duration: time.Duration(n)}
	}
	return types.Int(n)
}

// activation is what the names of an expression stand for.
type activation struct{ attributes Attributes }

// ResolveName implements interpreter.Activation.
func (a activation) ResolveName(name string) (any, bool) {
	if strings.ContainsRune(name, '.') {
		return nil, false // found by way of its first part
	}
	v := a.attributes.value(name)
	return v, v != nil
}

// Parent implements interpreter.Activation.
func (a activation) Parent() interpreter.Activation { return nil }

// attributesOf is an object or a map of fields, as a map of CEL that looks its
// entries up when they are asked for.
type attributesOf struct {
	attributes Attributes
	path       string
	kind       kind
}

var _ traits.Mapper = attributesOf{}

// Find implements traits.Mapper.
func (o attributesOf) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	if o.path == "metadata.filter_metadata" { // by namespace, whose name may have dots
		return attributesOf{o.attributes, o.path + "." + string(name), object}, true
	}
	v := o.attributes.value(o.path + "." + string(name))
	return v, v != nil
}

// Get implements traits.Indexer.
func (o attributesOf) Get(key ref.Val) ref.Val {
	if v, ok := o.Find(key); ok {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

// Contains implements traits.Container.
func (o attributesOf) Contains(key ref.Val) ref.Val {
	_, ok := o.Find(key)
	return types.Bool(ok)
}

// all is the entries; of an object there are none to be listed.
func (o attributesOf) all() traits.Mapper {
	entries := map[string]string{}
	if o.kind == fields {
		b, _, _ := o.attributes(o.path)
		for _, p := range pairsOf(b) {
			if value, twice := entries[p[0]]; twice {
				p[1] = value + "," + p[1]
			}
			entries[p[0]] = p[1]
		}
	}
	return types.NewStringStringMap(types.DefaultTypeAdapter, entries)
}

// Iterator implements traits.Iterable.
func (o attributesOf) Iterator() traits.Iterator { return o.all().Iterator() }

// Size implements traits.Sizer.
func (o attributesOf) Size() ref.Val { return o.all().Size() }

// Equal implements ref.Val.
func (o attributesOf) Equal(other ref.Val) ref.Val { return o.all().Equal(other) }

// ConvertToNative implements ref.Val.
func (o attributesOf) ConvertToNative(t reflect.Type) (any, error) { return o.all().ConvertToNative(t) }

// ConvertToType implements ref.Val.
func (o attributesOf) ConvertToType(t ref.Type) ref.Val { return o.all().ConvertToType(t) }

// Type implements ref.Val.
func (o attributesOf) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (o attributesOf) Value() any { return o.all().Value() }

// pairsOf reads a serialized map: the number of pairs, the lengths of each name
// and value, and these with a NUL after each. Nil if it isn't one.
func pairsOf(b []byte) [][2]string {
	if len(b) < 4 {
		return nil
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if n*10 > uint64(len(b)-4) {
		return nil
	}
	sizes, rest := b[4:4+n*8], b[4+n*8:]
	pairs := make([][2]string, n)
	for i := range pairs {
		for j := range 2 {
			size := uint64(binary.LittleEndian.Uint32(sizes[i*8+j*4:]))
			if size+1 > uint64(len(rest)) {
				return nil
			}
			pairs[i][j], rest = string(rest[:size]), rest[size+1:]
		}
	}
	return pairs
}

func appendPairs(b []byte, pairs [][2][]byte) ([]byte, error) {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(pairs)))
	for _, p := range pairs {
		for _, s := range p {
			if len(s) > math.MaxInt32 {
				return nil, ErrSerialization
			}
			b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		}
	}
	for _, p := range pairs {
		for _, s := range p {
			b = append(append(b, s...), 0)
		}
	}
	return b, nil
}

// maxNested is how deep the maps and lists of a value may be nested.
const maxNested = 16

// serialize writes a value as properties are written.
func serialize(value ref.Val, depth int) ([]byte, error) {
	word := func(n uint64) ([]byte, error) { return binary.LittleEndian.AppendUint64(nil, n), nil }
	if depth > maxNested {
		return nil, fmt.Errorf("%w: too deep", ErrSerialization)
	}
	switch v := value.(type) {
	case types.String:
		return []byte(v), nil
	case types.Bytes:
		return v, nil
	case types.Int:
		return word(uint64(v))
	case types.Uint:
		return word(uint64(v))
	case types.Double:
		return word(math.Float64bits(float64(v)))
	case types.Bool:
		if v {
			return []byte{1}, nil
		}
		return []byte{0}, nil
	case types.Duration:
		return word(uint64(v.Nanoseconds()))
	case types.Timestamp:
		return word(uint64(v.UnixNano()))
	case traits.Mapper:
		return serializeMap(v, depth)
	case traits.Lister:
		return serializeList(v, depth)
	}
	return nil, fmt.Errorf("%w: of %v", ErrSerialization, value.Type())
}

func serializeMap(m traits.Mapper, depth int) ([]byte, error) {
	if o, ok := m.(attributesOf); ok {
		m = o.all()
	}
	var pairs [][2][]byte
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, err := serialize(key, depth+1)
		if err != nil {
			return nil, err
		}
		entry, err := serialize(m.Get(key), depth+1)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, [2][]byte{name, entry})
	}
	slices.SortFunc(pairs, func(a, b [2][]byte) int { return bytes.Compare(a[0], b[0]) })
	return appendPairs(nil, pairs)
}

// serializeList writes the elements as the names of pairs without values.
func serializeList(l traits.Lister, depth int) ([]byte, error) {
	var pairs [][2][]byte
	for it := l.Iterator(); it.HasNext() == types.True; {
		element, err := serialize(it.Next(), depth+1)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, [2][]byte{element})
	}
	return appendPairs(nil, pairs)
}
