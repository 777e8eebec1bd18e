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

// limits of what a guest may set in one exchange.
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
	"request.headers":   mapProperty(requestHeadersMap),
	"request.headers.":  mapFieldProperty(requestHeadersMap),

	"response.code":         statusProperty,
	"response.code_details": detailsProperty,
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

// property finds the value of a path with dots: of the guest's own first, then of
// the tables.
func (cx *Context) property(path []byte) ([]byte, Status) {
	if s := cx.stream; s != nil {
		if value, ok := s.properties[string(path)]; ok {
			return value, OK
		}
	}
	if f := ownProperties[string(path)]; f != nil {
		if value, s := f(cx, nil); s == OK {
			return value, OK
		}
	} else if value, s := cx.openProperty(path); s == OK {
		return value, OK
	}
	if cx.stream != nil {
		return cx.stream.attribute(path)
	}
	return nil, NotFound
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
	path := string(bytes.ReplaceAll(c.bytes(0), []byte{separator}, []byte{'.'}))
	if _, set := s.properties[path]; set && c.cx.root.foreign.declared.Of(path).ReadOnly {
		return BadArgument
	}
	return s.setProperty(path, slices.Clone(c.bytes(1)))
}

// setProperty keeps the value.
func (s *stream) setProperty(path string, value []byte) Status {
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

// requestField is a field of the request, as the guest has changed it.
func requestField(name string) source {
	return func(cx *Context, _ []byte) ([]byte, Status) {
		if cx.stream != nil {
			if value, ok := cx.stream.fields(requestHeadersMap).Get(name); ok {
				return value, OK
			}
		}
		return nil, NotFound
	}
}

// fields are headers or trailers, whether or not the guest may change them now.
func (s *stream) fields(id uint32) plugin.Headers {
	h := &s.halves[id/2]
	if id%2 == 1 {
		return h.trailers.list
	}
	return h.headers.list
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
		if cx.stream == nil || !cx.stream.halves[id/2].seen {
			return nil, NotFound
		}
		list := cx.stream.fields(id)
		b := make([]byte, pairsSize(list))
		writePairs(b, list)
		return b, OK
	}
}

// mapFieldProperty is all values of a field, as CEL sees them.
func mapFieldProperty(id uint32) source {
	return func(cx *Context, name []byte) ([]byte, Status) {
		if cx.stream == nil {
			return nil, NotFound
		}
		var value []byte
		found := false
		for _, f := range cx.stream.fields(id) {
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

func statusProperty(cx *Context, _ []byte) ([]byte, Status) {
	if cx.stream == nil {
		return nil, NotFound
	}
	value, ok := cx.stream.fields(responseHeadersMap).Get(":status")
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

// attribute is what the proxy tells of the exchange.
func (s *stream) attribute([]byte) ([]byte, Status) { return nil, NotFound }
