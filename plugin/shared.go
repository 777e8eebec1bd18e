package plugin

// shared is what the plugins of an exchange leave for each other and the proxy.
type shared struct {
	properties map[string]Value
	metadata   map[string]map[string]Value
	unsent     map[string]map[string]Value
	size       int
}

// maxShared is how many bytes plugins may leave in one exchange.
const maxShared = 1 << 20

// entrySize is what an entry counts for beside its bytes.
const entrySize = 64

// PropertyNamespace is the namespace of dynamic metadata in which the proxy is
// told of properties.
const PropertyNamespace = "wasm"

func (e *Exchange) left() *shared {
	if e.shared == nil {
		e.shared = &shared{}
	}
	return e.shared
}

// room takes room for more bytes, if there is.
func (s *shared) room(n int) bool {
	if s.size+n+entrySize > maxShared {
		return false
	}
	s.size += n + entrySize
	return true
}

// SetProperty leaves a value for the plugins that see the exchange later. The
// proxy is told of it as dynamic metadata. It returns false if that is too much.
func (e *Exchange) SetProperty(path string, value Value) bool {
	s := e.left()
	if !s.room(len(path) + value.size()) {
		return false
	}
	if s.properties == nil {
		s.properties = map[string]Value{}
	}
	s.properties[path] = value
	return e.SetMetadata(PropertyNamespace, path, value)
}

// Property is a value that a plugin has left.
func (e *Exchange) Property(path string) (Value, bool) {
	if e.shared == nil {
		return Value{}, false
	}
	value, ok := e.shared.properties[path]
	return value, ok
}

// SetMetadata sets a key of a namespace of dynamic metadata. The proxy is told
// with the next answer. It returns false if that is too much.
func (e *Exchange) SetMetadata(namespace, key string, value Value) bool {
	s := e.left()
	if !s.room(len(namespace) + len(key) + value.size()) {
		return false
	}
	put(&s.metadata, namespace, key, value)
	put(&s.unsent, namespace, key, value)
	return true
}

func put(to *map[string]map[string]Value, namespace, key string, value Value) {
	if *to == nil {
		*to = map[string]map[string]Value{}
	}
	if (*to)[namespace] == nil {
		(*to)[namespace] = map[string]Value{}
	}
	(*to)[namespace][key] = value
}

// size is about how many bytes a value takes.
func (v Value) size() int {
	n := len(v.Text)
	for key, inner := range v.Map {
		n += len(key) + entrySize + inner.size()
	}
	for _, inner := range v.List {
		n += entrySize + inner.size()
	}
	return n
}

// Metadata is a value of dynamic metadata: as plugins have set it, or else as the
// proxy tells.
func (e *Exchange) Metadata(namespace, key string) (Value, bool) {
	if e.shared != nil {
		if v, ok := e.shared.metadata[namespace][key]; ok {
			return v, true
		}
	}
	if e.Attributes == nil {
		return Value{}, false
	}
	all, _ := e.Attributes.Metadata(namespace)
	return all.At(key)
}

// UnsentMetadata is what plugins have set since it was last asked for, by
// namespace and key; nil if nothing.
func (e *Exchange) UnsentMetadata() map[string]map[string]Value {
	if e.shared == nil {
		return nil
	}
	unsent := e.shared.unsent
	e.shared.unsent = nil
	return unsent
}
