package plugin

import (
	"bytes"
	"strconv"
	"strings"
	"unsafe"
)

// Sight is what a guest sees of an exchange at the moment. Properties that need
// nothing of the proxy are made of it.
type Sight interface {
	// Plugin is the guest's configuration.
	Plugin() *Spec
	// Headers and Trailers are those of a message, false while they are out of
	// sight.
	Headers(Direction) (Headers, bool)
	Trailers(Direction) (Headers, bool)
	// Status is that of the response, as in its headers.
	Status() ([]byte, bool)
	// Size is how many bytes of a body there have been, if that is known.
	Size(Direction) (uint64, bool)
	// Details says why there is a local response.
	Details() string
}

// source finds a property's value. rest is the part of the path that the row
// leaves open.
type source func(s Sight, rest string) (Value, bool)

// properties is the table of the properties that need nothing of the proxy, for
// guests of any kind: a path with dots, and where its value comes from. A path
// that ends with a dot is open: what follows is for the source. What is not here,
// or has no value, is looked up among what the proxy tells, see Told.
var properties = map[string]source{
	"plugin_name":    func(s Sight, _ string) (Value, bool) { return Text(s.Plugin().Name), true },
	"plugin_root_id": func(s Sight, _ string) (Value, bool) { return Text(s.Plugin().RootID()), true },
	"plugin_vm_id":   func(s Sight, _ string) (Value, bool) { return Text(s.Plugin().VM.ID), true },

	"request.path":      requestField(":path"),
	"request.method":    requestField(":method"),
	"request.host":      requestField(":authority"),
	"request.scheme":    requestField(":scheme"),
	"request.referer":   requestField("referer"),
	"request.useragent": requestField("user-agent"),
	"request.id":        requestField("x-request-id"),
	"request.url_path":  func(s Sight, _ string) (Value, bool) { return pathOf(s, false) },
	"request.query":     func(s Sight, _ string) (Value, bool) { return pathOf(s, true) },
	"request.size":      requestSize,
	"request.headers":   fieldsOf(Sight.Headers, Request),
	"request.headers.":  fieldOf(Sight.Headers, Request),

	"response.code":         responseCode,
	"response.code_details": responseDetails,
	"response.size":         responseSize,
	"response.headers":      fieldsOf(Sight.Headers, Response),
	"response.headers.":     fieldOf(Sight.Headers, Response),
	"response.trailers":     fieldsOf(Sight.Trailers, Response),
	"response.trailers.":    fieldOf(Sight.Trailers, Response),
}

// Property is the value of a path with dots that needs nothing of the proxy. It
// may lie in what the guest sees, and changes with it.
func Property(s Sight, path string) (Value, bool) {
	if f := properties[path]; f != nil {
		return f(s, "")
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if f := properties[path[:i+1]]; f != nil {
			return f(s, path[i+1:])
		}
	}
	return Value{}, false
}

// ReadOnly says whether a path with dots is the proxy's or the server's: what
// plugins set there would never be found.
func ReadOnly(path string) bool {
	root, _, _ := strings.Cut(path, ".")
	switch root {
	case "request", "response", "connection", "source", "destination", "upstream", "metadata", "upstream_filter_state", "xds",
		"plugin_name", "plugin_root_id", "plugin_vm_id":
		return true
	}
	return false
}

// Told is what the proxy tells of the exchange under a path with dots: an
// attribute, or a part of one, or dynamic metadata.
func (e *Exchange) Told(path string) (Value, bool) {
	for end := len(path); end > 0 && e.Attributes != nil; end = strings.LastIndexByte(path[:end], '.') {
		value, ok := e.Attribute(path[:end])
		if !ok {
			continue
		}
		if end < len(path) {
			return value.At(strings.Split(path[end+1:], ".")...)
		}
		return value, true
	}
	return e.toldMetadata(path)
}

// metadataPrefix begins the path of a value of dynamic metadata: the message that
// Envoy has it in, and the namespace.
const metadataPrefix = "metadata.filter_metadata."

// toldMetadata is a value of dynamic metadata. Names of namespaces have dots too.
func (e *Exchange) toldMetadata(path string) (Value, bool) {
	rest, ok := strings.CutPrefix(path, metadataPrefix)
	if !ok {
		return Value{}, false
	}
	for end := strings.LastIndexByte(rest, '.'); end > 0; end = strings.LastIndexByte(rest[:end], '.') {
		parts := strings.Split(rest[end+1:], ".")
		if value, ok := e.Metadata(rest[:end], parts[0]); ok {
			return value.At(parts[1:]...)
		}
	}
	return Value{}, false
}

// lying is the text of bytes, without a copy: it changes with them.
func lying(b []byte) Value {
	return Text(unsafe.String(unsafe.SliceData(b), len(b)))
}

func requestField(name string) source {
	return func(s Sight, _ string) (Value, bool) {
		list, _ := s.Headers(Request)
		value, ok := list.Get(name)
		return lying(value), ok
	}
}

// pathOf is the path without its query, or the query.
func pathOf(s Sight, query bool) (Value, bool) {
	list, _ := s.Headers(Request)
	value, ok := list.Get(":path")
	value, _, _ = bytes.Cut(value, []byte{'#'})
	path, rest, _ := bytes.Cut(value, []byte{'?'})
	if query {
		return lying(rest), ok
	}
	return lying(path), ok
}

// part is a block of fields that a guest sees.
type part func(Sight, Direction) (Headers, bool)

// fieldsOf is a whole map: each name with its values as fieldOf has them.
func fieldsOf(fields part, d Direction) source {
	return func(s Sight, _ string) (Value, bool) {
		list, ok := fields(s, d)
		if !ok {
			return Value{}, false
		}
		all := Value{Kind: MapValue, Map: make(map[string]Value, len(list))}
		for _, f := range list {
			value := string(f.Value)
			if before, twice := all.Map[f.Name]; twice {
				value = before.Text + "," + value
			}
			all.Map[f.Name] = Text(value)
		}
		return all, true
	}
}

// fieldOf is all values of a field, as CEL sees them.
func fieldOf(fields part, d Direction) source {
	return func(s Sight, name string) (Value, bool) {
		list, _ := fields(s, d)
		var value []byte
		found := false
		for _, f := range list {
			if !strings.EqualFold(f.Name, name) {
				continue
			}
			if found {
				value = append(append(value[:len(value):len(value)], ','), f.Value...)
				continue
			}
			value, found = f.Value, true
		}
		return lying(value), found
	}
}

// requestSize is the length that the request's headers tell while they are to be
// seen, as in Envoy, and then what has come of the body.
func requestSize(s Sight, _ string) (Value, bool) {
	list, _ := s.Headers(Request)
	if value, ok := list.Get("content-length"); ok {
		if n, err := strconv.ParseUint(string(value), 10, 63); err == nil {
			return Value{Kind: IntValue, Int: int64(n)}, true
		}
	}
	n, ok := s.Size(Request)
	return Value{Kind: IntValue, Int: int64(n)}, ok
}

// responseSize is how much of the body has gone on.
func responseSize(s Sight, _ string) (Value, bool) {
	n, ok := s.Size(Response)
	return Value{Kind: IntValue, Int: int64(n)}, ok
}

func responseCode(s Sight, _ string) (Value, bool) {
	value, ok := s.Status()
	code, err := strconv.ParseUint(string(value), 10, 16)
	return Value{Kind: IntValue, Int: int64(code)}, ok && err == nil
}

func responseDetails(s Sight, _ string) (Value, bool) {
	details := s.Details()
	return Text(details), details != ""
}
