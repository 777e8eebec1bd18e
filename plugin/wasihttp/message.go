package wasihttp

import (
	"bytes"
	"strconv"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// incoming is a message that arrives: the exchange's request or response, or
// the response to a callout. It stands behind incoming-request and
// incoming-response.
type incoming struct {
	headers  plugin.Headers
	body     incomingBody
	consumed bool
}

// header is a pseudo header as a guest may see it: a string, and nothing when
// it is missing.
func (m *incoming) header(name string) (string, bool) {
	value, ok := m.headers.Get(name)
	return shown(value), ok
}

func (m *incoming) status() uint64 {
	value, _ := m.headers.Get(":status")
	status, err := strconv.ParseUint(string(value), 10, 16)
	if err != nil {
		return 0
	}
	return status
}

// contentLength is what a list says of its body's length, -1 if nothing.
func contentLength(list plugin.Headers) int64 {
	for i := range list {
		if list[i].Name == "content-length" {
			n, err := strconv.ParseInt(string(list[i].Value), 10, 64)
			if err != nil || n < 0 {
				return -1
			}
			return n
		}
	}
	return -1
}

// outgoing is a message a guest makes. It stands behind outgoing-request and
// outgoing-response.
type outgoing struct {
	direction plugin.Direction
	fields    *fields
	body      outgoingBody
	status    uint64 // of a response

	// Of a request. The method is "GET" unless set; the others may be absent.
	method                  string
	path, scheme, authority option
}

// make makes a message of fields, which can't be changed any more.
func (g *guest) make(d plugin.Direction, f *fields) *outgoing {
	var o *outgoing
	if g.makes < len(g.made) {
		o = &g.made[g.makes]
	} else {
		o = new(outgoing)
	}
	g.makes++
	f.immutable = true
	o.direction, o.fields = d, f
	o.body.of, o.body.queue, o.body.expected = o, &o.body.own, contentLength(f.list)
	return o
}

// option is a string that may be absent.
type option struct {
	string
	ok bool
}

// compose is what goes on in place of original: o's pseudo headers and fields,
// and those fields of original that the guest could not see. It is original
// itself if that comes to the same.
func (o *outgoing) compose(g *guest, original plugin.Headers) plugin.Headers {
	pseudo := o.pseudo(g)
	if o.fields.shows(original) && o.keeps(original, pseudo) {
		return original
	}
	size := len(o.fields.list)
	for i := range original {
		if name := original[i].Name; isPseudo(name) || isForbidden(name) {
			size++
		}
	}
	for i := range pseudo {
		if adds(original, &pseudo[i]) {
			size++
		}
	}
	list := make(plugin.Headers, 0, size)
	for i := range original {
		if isPseudo(original[i].Name) {
			list = append(list, override(original[i], pseudo))
		}
	}
	for i := range pseudo {
		if adds(original, &pseudo[i]) {
			list = append(list, pseudo[i])
		}
	}
	for i := range original {
		if isForbidden(original[i].Name) {
			list = append(list, original[i])
		}
	}
	return permitted(list, o.fields.list)
}

// adds reports whether a pseudo header is one that original lacks.
func adds(original plugin.Headers, p *plugin.Field) bool {
	if p.Value == nil {
		return false
	}
	_, had := original.Get(p.Name)
	return !had
}

// override is a pseudo header with the guest's value, if it has one of its own.
func override(f plugin.Field, pseudo []plugin.Field) plugin.Field {
	for _, p := range pseudo {
		if p.Name == f.Name && p.Value != nil && shown(f.Value) != view(p.Value) {
			return p
		}
	}
	return f
}

// keeps reports whether none of the pseudo headers differs from original's.
func (o *outgoing) keeps(original plugin.Headers, pseudo []plugin.Field) bool {
	for _, p := range pseudo {
		value, had := original.Get(p.Name)
		if p.Value != nil && (!had || shown(value) != view(p.Value)) {
			return false
		}
	}
	return true
}

// pseudo lists the pseudo headers; one without a value stays as it was.
func (o *outgoing) pseudo(g *guest) []plugin.Field {
	list := g.pseudo[:0]
	if o.direction == plugin.Response {
		return append(list, plugin.Field{Name: ":status", Value: g.statusText(o.status)})
	}
	list = append(list, plugin.Field{Name: ":method", Value: raw(o.method)})
	for _, p := range [...]struct {
		name  string
		value option
	}{{":scheme", o.scheme}, {":authority", o.authority}, {":path", o.path}} {
		f := plugin.Field{Name: p.name}
		if p.value.ok {
			f.Value = raw(p.value.string)
		}
		list = append(list, f)
	}
	return list
}

// statusText is the status as it stands in :status.
func (g *guest) statusText(status uint64) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], status, 10)
	if value, _ := g.ex.Response.Original.Get(":status"); bytes.Equal(value, text) {
		return value
	}
	return bytes.Clone(text)
}

// bodiless reports whether o is a message that has no body whatever its
// content-length says: the response to HEAD, 204 and 304 (RFC 9110, 6.4.1).
func (o *outgoing) bodiless(g *guest) bool {
	if o.direction == plugin.Request || g.ex == nil {
		return false
	}
	method, _ := g.ex.Request.Original.Get(":method")
	return o.status == 204 || o.status == 304 || string(method) == "HEAD"
}

// send binds o to a message of the exchange: it goes on as soon as it is known
// what becomes of its body.
func (o *outgoing) send(g *guest, m *plugin.Message) {
	b := &o.body
	if !b.made {
		b.finished = true
	}
	b.msg = m
	g.bound[o.direction] = b
	b.moveTo(&m.Out)
	b.decide(g)
}

// sendTo binds o's body to a callout.
func (o *outgoing) sendTo(g *guest, call *host.Call) {
	if o.body.made {
		o.body.call = call
		o.body.decide(g)
	}
}
