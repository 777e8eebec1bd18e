package proxywasm

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/extproc/extproc/plugin"
)

// separator is between the parts of a property's path.
const separator = 0

// What a guest may set outside of the exchange's steps.
const (
	maxProperties     = 1000
	maxPropertyLength = 64 << 10
)

// mapProperties are maps that the guest gets as it gets maps: in order, and with
// all their fields.
var mapProperties = map[string]uint32{
	"request.headers":   requestHeadersMap,
	"response.headers":  responseHeadersMap,
	"response.trailers": responseTrailersMap,
}

func property(c *call) Status {
	path := c.bytes(0)
	if n := len(path); n > 0 && path[n-1] == separator {
		path = path[:n-1]
	}
	if bytes.Equal(path, []byte("plugin_root_id")) {
		c.cx.root.readRootID = true
	}
	if c.cx.plugin == nil {
		return NotFound
	}
	v := c.cx.vm
	v.path = append(v.path[:0], path...)
	for i, b := range v.path {
		if b == separator {
			v.path[i] = '.'
		}
	}
	value, s := c.cx.property(v.path)
	c.data = value
	return s
}

// property finds the value of a path with dots: in what the guest sees, among what
// the proxy tells, and among what plugins have set.
func (cx *Context) property(path []byte) ([]byte, Status) {
	if id, ok := mapProperties[string(path)]; ok {
		if list, ok := cx.list(id); ok {
			b := make([]byte, pairsSize(list))
			writePairs(b, list)
			return b, OK
		}
	}
	name := view(path)
	if value, ok := plugin.Property(cx, name); ok {
		return serialize(value)
	}
	s := cx.stream
	if s == nil {
		return nil, NotFound
	}
	if s.stepping() {
		if name == "metadata" && s.ex.Attributes != nil {
			// Envoy answers with its whole message, which is there but empty without
			// metadata. What is in it is to be had by its path only.
			return nil, OK
		}
		if value, ok := s.ex.Told(name); ok {
			return serialize(value)
		}
	}
	return s.set(path)
}

// set is the value of a property that a plugin has set.
func (s *stream) set(path []byte) ([]byte, Status) {
	if value, ok := s.properties[string(path)]; ok {
		return value, OK
	}
	if s.stepping() {
		if value, ok := s.ex.Property(view(path)); ok {
			return serialize(value)
		}
	}
	return nil, NotFound
}

func setProperty(c *call) Status {
	s := c.cx.stream
	if s == nil {
		return NotFound
	}
	path := bytes.ReplaceAll(c.bytes(0), []byte{separator}, []byte{'.'})
	if _, found := s.set(path); found == OK && c.cx.root.foreign.declared.Of(string(path)).ReadOnly {
		return BadArgument
	}
	return s.setProperty(string(path), slices.Clone(c.bytes(1)))
}

// setProperty leaves a value for later plugins and for the proxy: now, or with
// the exchange's next step.
func (s *stream) setProperty(path string, value []byte) Status {
	if s.stepping() {
		if !s.ex.SetProperty(path, plugin.Bytes(value)) {
			return InternalFailure
		}
		return OK
	}
	if len(path)+len(value) > maxPropertyLength || len(s.properties) >= maxProperties {
		return InternalFailure
	}
	if s.properties == nil {
		s.properties = map[string][]byte{}
	}
	s.properties[path] = value
	return OK
}

// Plugin implements plugin.Sight, as what follows does.
func (cx *Context) Plugin() *plugin.Spec { return cx.plugin.spec }

// Headers are there while the guest may look at them, as in Envoy, as it has
// changed them.
func (cx *Context) Headers(d plugin.Direction) (plugin.Headers, bool) {
	return cx.list([2]uint32{requestHeadersMap, responseHeadersMap}[d])
}

// Trailers are there when headers would be.
func (cx *Context) Trailers(d plugin.Direction) (plugin.Headers, bool) {
	return cx.list([2]uint32{requestTrailersMap, responseTrailersMap}[d])
}

// Status is there longer than the headers are.
func (cx *Context) Status() ([]byte, bool) {
	if cx.stream == nil {
		return nil, false
	}
	return cx.stream.halves[plugin.Response].headers.list.Get(":status")
}

// Size is known of bodies that the guest sees: of the request's what has come, of
// the response's what has gone on.
func (cx *Context) Size(d plugin.Direction) (uint64, bool) {
	if cx.stream == nil {
		return 0, false
	}
	h := &cx.stream.halves[d]
	if !h.seen || !cx.plugin.watches(d) {
		return 0, false
	}
	if d == plugin.Request {
		return h.taken, true
	}
	return h.given, true
}

// Details are those of a local response.
func (cx *Context) Details() string {
	if cx.stream == nil {
		return ""
	}
	return cx.stream.details
}

// number is an integer as properties have it.
func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

// view is b as a string, and raw s as bytes, without a copy.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func raw(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
