package proxywasm

import (
	"slices"

	"github.com/extproc/extproc/plugin"
)

// proxy_map_type_t
const (
	requestHeadersMap = iota
	requestTrailersMap
	responseHeadersMap
	responseTrailersMap
	grpcInitialMap
	grpcTrailingMap
	callHeadersMap
	callTrailersMap
	mapCount
)

// fieldMap is headers or trailers that a guest may change. Until it does they
// are the proxy's own list.
type fieldMap struct {
	list    plugin.Headers
	own     bool // list may be changed
	visible bool // the guest may look at it and change it
}

func (m *fieldMap) set(list plugin.Headers) { *m = fieldMap{list: list, visible: true} }

// roomToAdd is for the fields that guests usually add to a message.
const roomToAdd = 4

// edit readies the list for changes.
func (m *fieldMap) edit() {
	if !m.own {
		m.list, m.own = append(make(plugin.Headers, 0, len(m.list)+roomToAdd), m.list...), true
	}
}

func (m *fieldMap) remove(name []byte) {
	for i := range m.list {
		if equalFold(m.list[i].Name, name) {
			m.edit()
			m.removeFrom(i, name)
			return
		}
	}
}

// removeFrom removes the field at i, and those of that name behind it.
func (m *fieldMap) removeFrom(i int, name []byte) {
	kept := m.list[:i]
	for i++; i < len(m.list); i++ {
		if !equalFold(m.list[i].Name, name) {
			kept = append(kept, m.list[i])
		}
	}
	clear(m.list[len(kept):])
	m.list = kept
}

// add appends a field; pseudo headers stay before the others.
func (m *fieldMap) add(f plugin.Field) {
	m.edit()
	m.list = append(m.list, f)
	if f.Name == "" || f.Name[0] != ':' {
		return
	}
	at := 0
	for at < len(m.list)-1 && m.list[at].Name != "" && m.list[at].Name[0] == ':' {
		at++
	}
	copy(m.list[at+1:], m.list[at:])
	m.list[at] = f
}

// fieldMap is the map that a guest may change now, or nil.
func (cx *Context) fieldMap(id uint32) *fieldMap {
	s := cx.stream
	if s == nil || id > responseTrailersMap {
		return nil
	}
	h := &s.halves[id/2]
	m := &h.headers
	if id%2 == 1 {
		m = &h.trailers
		h.offerTrailers()
	}
	if !m.visible {
		return nil
	}
	return m
}

// list is the content of a map and whether there is such a map now. While a
// stream is logged, there are those of its maps that have been seen.
func (cx *Context) list(id uint32) (list plugin.Headers, ok bool) {
	root := cx.root
	switch id {
	case grpcInitialMap:
		return root.initial, root.initial != nil
	case grpcTrailingMap:
		return root.trailing, root.trailing != nil
	case callHeadersMap:
		if root.response == nil {
			return nil, false
		}
		return root.response.Headers, true
	case callTrailersMap:
		if root.response == nil {
			return nil, false
		}
		return root.response.Trailers, root.response.Trailers != nil
	}
	s := cx.stream
	if s == nil {
		return nil, false
	}
	h := &s.halves[id/2]
	m := &h.headers
	if id%2 == 1 {
		m = &h.trailers
	}
	if s.logging && id != requestTrailersMap {
		return m.list, m.list != nil
	}
	if !m.visible {
		return nil, false
	}
	return m.list, true
}

func mapSize(c *call) Status {
	m := c.cx.fieldMap(c.u32(0))
	if m == nil {
		return BadArgument
	}
	// As in Envoy, the bytes of names and values and not of their serialization.
	size := 0
	for i := range m.list {
		size += len(m.list[i].Name) + len(m.list[i].Value)
	}
	c.num[0] = uint64(size)
	return OK
}

func mapPairs(c *call) Status {
	// As in Envoy, a map that is not there is empty.
	if list, ok := c.cx.list(c.u32(0)); ok {
		c.pairs = list
	}
	return OK
}

func mapValue(c *call) Status {
	list, ok := c.cx.list(c.u32(0))
	if !ok && (c.cx.stream == nil || !c.cx.stream.logging) {
		return BadArgument
	}
	name := c.bytes(1)
	for i := range list {
		if equalFold(list[i].Name, name) {
			c.data = list[i].Value
			return OK
		}
	}
	if c.cx.vm.machine.code.version == v010 {
		return OK // 0.1.0 has no status for it
	}
	return NotFound
}

func setMapPairs(c *call) Status {
	m := c.cx.fieldMap(c.u32(0))
	if m == nil {
		return BadArgument
	}
	list := make(plugin.Headers, 0, len(c.args[1].pairs))
	for _, f := range c.args[1].pairs {
		list = append(list, plugin.Field{Name: f.Name, Value: slices.Clone(f.Value)})
	}
	m.list, m.own = list, true
	return OK
}

func addMapValue(c *call) Status {
	m := c.cx.fieldMap(c.u32(0))
	if m == nil {
		return BadArgument
	}
	text := &c.cx.stream.text
	m.add(plugin.Field{Name: text.Lower(view(c.bytes(1))), Value: text.Bytes(view(c.bytes(2)))})
	return OK
}

func replaceMapValue(c *call) Status {
	m := c.cx.fieldMap(c.u32(0))
	if m == nil {
		return BadArgument
	}
	m.remove(c.bytes(1))
	return addMapValue(c)
}

func removeMapValue(c *call) Status {
	m := c.cx.fieldMap(c.u32(0))
	if m == nil {
		return BadArgument
	}
	m.remove(c.bytes(1))
	return OK
}

// lower is a name as fields carry it.
func lower(name []byte) string {
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			return lowered(name)
		}
	}
	return string(name)
}

func lowered(name []byte) string {
	b := slices.Clone(name)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// equalFold compares a lower-case name with one in any case.
func equalFold(name string, with []byte) bool {
	if len(name) != len(with) {
		return false
	}
	for i := range with {
		c := with[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if name[i] != c {
			return false
		}
	}
	return true
}
