package proxywasm

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/extproc/extproc/plugin"
)

// separator is between the parts of a property's path.
const separator = 0

// What a guest may set outside of the exchange's steps.
const (
	maxProperties     = 1000
	maxPropertyLength = 64 << 10
)

// source finds a property's value. rest is the part of the path that the row
// leaves open.
type source func(cx *Context, rest []byte) ([]byte, Status)

// ownProperties is the table of the properties that need nothing of the proxy: a
// path with dots, and where its value comes from. A path that ends with a dot is
// open: what follows is for the source. What is not here, or has no value, is
// looked up among the attributes of the exchange.
var ownProperties = map[string]source{
	"plugin_name":    func(cx *Context, _ []byte) ([]byte, Status) { return cx.plugin.told.name, OK },
	"plugin_root_id": rootIDProperty,
	"plugin_vm_id":   func(cx *Context, _ []byte) ([]byte, Status) { return cx.plugin.told.vmID, OK },

	"request.path":      requestField(":path"),
	"request.method":    requestField(":method"),
	"request.host":      requestField(":authority"),
	"request.scheme":    requestField(":scheme"),
	"request.referer":   requestField("referer"),
	"request.useragent": requestField("user-agent"),
	"request.id":        requestField("x-request-id"),
	"request.url_path":  func(cx *Context, _ []byte) ([]byte, Status) { return pathProperty(cx, false) },
	"request.query":     func(cx *Context, _ []byte) ([]byte, Status) { return pathProperty(cx, true) },
	"request.size":      requestSize,
	"request.headers":   mapProperty(requestHeadersMap),
	"request.headers.":  mapFieldProperty(requestHeadersMap),

	"response.code":         statusProperty,
	"response.code_details": detailsProperty,
	"response.size":         responseSize,
	"response.headers":      mapProperty(responseHeadersMap),
	"response.headers.":     mapFieldProperty(responseHeadersMap),
	"response.trailers":     mapProperty(responseTrailersMap),
	"response.trailers.":    mapFieldProperty(responseTrailersMap),
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

// property finds the value of a path with dots: in the table, among what the proxy
// tells, and among what plugins have set.
func (cx *Context) property(path []byte) ([]byte, Status) {
	if f := ownProperties[string(path)]; f != nil {
		if value, s := f(cx, nil); s == OK {
			return value, OK
		}
	} else if value, s := cx.openProperty(path); s == OK {
		return value, OK
	}
	s := cx.stream
	if s == nil {
		return nil, NotFound
	}
	if value, status := s.attribute(path); status != NotFound {
		return value, status
	}
	if value, ok := s.set(path); ok {
		return value, OK
	}
	return nil, NotFound
}

// set is the value of a property that a plugin has set.
func (s *stream) set(path []byte) ([]byte, bool) {
	if value, ok := s.properties[string(path)]; ok {
		return value, true
	}
	if !s.stepping() {
		return nil, false
	}
	return s.ex.Property(string(path))
}

// openProperty tries the rows whose path is a part of this one.
func (cx *Context) openProperty(path []byte) ([]byte, Status) {
	for i, b := range path {
		if b != '.' {
			continue
		}
		if f := ownProperties[string(path[:i+1])]; f != nil {
			if value, s := f(cx, path[i+1:]); s == OK {
				return value, OK
			}
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
	if _, set := s.set(path); set && c.cx.root.foreign.declared.Of(string(path)).ReadOnly {
		return BadArgument
	}
	return s.setProperty(string(path), slices.Clone(c.bytes(1)))
}

// setProperty leaves a value for later plugins and for the proxy: now, or with
// the exchange's next step.
func (s *stream) setProperty(path string, value []byte) Status {
	if s.stepping() {
		if !s.ex.SetProperty(path, value) {
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

func rootIDProperty(cx *Context, _ []byte) ([]byte, Status) { return cx.plugin.told.rootID, OK }

// requestField is a field of the request, as the guest has changed it. As in
// Envoy it is there while the guest may look at the headers.
func requestField(name string) source {
	return func(cx *Context, _ []byte) ([]byte, Status) {
		list, _ := cx.list(requestHeadersMap)
		if value, ok := list.Get(name); ok {
			return value, OK
		}
		return nil, NotFound
	}
}

// pathProperty is the path without its query, or the query.
func pathProperty(cx *Context, query bool) ([]byte, Status) {
	value, s := requestField(":path")(cx, nil)
	if s != OK {
		return nil, s
	}
	value, _, _ = bytes.Cut(value, []byte{'#'})
	path, rest, _ := bytes.Cut(value, []byte{'?'})
	if query {
		return rest, OK
	}
	return path, OK
}

// mapProperty is a whole map, serialized.
func mapProperty(id uint32) source {
	return func(cx *Context, _ []byte) ([]byte, Status) {
		list, ok := cx.list(id)
		if !ok {
			return nil, NotFound
		}
		b := make([]byte, pairsSize(list))
		writePairs(b, list)
		return b, OK
	}
}

// mapFieldProperty is all values of a field, as CEL sees them.
func mapFieldProperty(id uint32) source {
	return func(cx *Context, name []byte) ([]byte, Status) {
		list, _ := cx.list(id)
		var value []byte
		found := false
		for _, f := range list {
			if equalFold(f.Name, name) {
				if found {
					value = append(slices.Clip(value), ',')
					value = append(value, f.Value...)
					continue
				}
				value, found = f.Value, true
			}
		}
		if !found {
			return nil, NotFound
		}
		return value, OK
	}
}

// requestSize is the length that the request's headers tell while they are to be
// seen, as in Envoy, and then what has come of the body.
func requestSize(cx *Context, _ []byte) ([]byte, Status) {
	if value, s := requestField("content-length")(cx, nil); s == OK {
		if n, err := strconv.ParseUint(string(value), 10, 63); err == nil {
			return number(n), OK
		}
	}
	return bodySize(cx, plugin.Request, func(h *half) uint64 { return h.taken })
}

// responseSize is how much of the body has gone on.
func responseSize(cx *Context, _ []byte) ([]byte, Status) {
	return bodySize(cx, plugin.Response, func(h *half) uint64 { return h.given })
}

// bodySize is known of bodies that the guest sees.
func bodySize(cx *Context, d plugin.Direction, size func(*half) uint64) ([]byte, Status) {
	if cx.stream == nil {
		return nil, NotFound
	}
	h := &cx.stream.halves[d]
	if !h.seen || !cx.plugin.watches(d) {
		return nil, NotFound
	}
	return number(size(h)), OK
}

func statusProperty(cx *Context, _ []byte) ([]byte, Status) {
	if cx.stream == nil {
		return nil, NotFound
	}
	value, ok := cx.stream.halves[plugin.Response].headers.list.Get(":status")
	code, err := strconv.ParseUint(string(value), 10, 16)
	if !ok || err != nil {
		return nil, NotFound
	}
	return number(code), OK
}

func detailsProperty(cx *Context, _ []byte) ([]byte, Status) {
	if cx.stream == nil || cx.stream.details == "" {
		return nil, NotFound
	}
	return []byte(cx.stream.details), OK
}

// number is an integer as properties have it.
func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
