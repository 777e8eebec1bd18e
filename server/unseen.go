package server

import (
	"slices"
	"strings"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// What a proxy does not send of an exchange, because its header mode is SKIP or an
// earlier filter has answered, is put in from what else it tells.

// missing lets those headers arrive that the proxy has passed over: of the message
// that a body or trailers belong to, and of the request if the stream begins with
// the response and its attributes tell enough to make a request of.
func (p *process) missing(m *codec.Message, first bool) {
	if h := &p.halves[m.Direction]; !m.IsHeaders() && h.headers == nothing {
		h.gone(p.told.fields(m.Direction))
	}
	if !first || m.Direction == plugin.Request {
		return
	}
	if fields := p.told.fields(plugin.Request); len(fields) > 0 {
		q := &p.halves[plugin.Request]
		q.gone(fields)
		q.msg.NoBody, q.msg.In.Ended, q.over = true, true, true
	}
}

// gone lets headers arrive that have gone on already.
func (h *half) gone(fields plugin.Headers) {
	h.headers = paid
	h.msg.Arrived, h.msg.Unseen, h.msg.Original = true, true, fields
}

// tooLate counts what a guest made of headers, and of a body, that have gone on
// without it.
func (p *process) tooLate(h *half) (moved bool) {
	if !h.msg.Unseen || !h.msg.Released {
		return false
	}
	if !h.msg.Taken {
		h.msg.Taken = true
		// The error is of a mutation that isn't sent.
		m, rejected, _ := mutation(h.msg.Original, h.msg.Headers, h.place(plugin.HeadersPart, false))
		p.reject(rejected+len(m.GetSetHeaders())+len(m.GetRemoveHeaders()), "changes of headers that the proxy did not send")
	}
	if h.msg.NoBody && h.msg.Out.Len() > 0 {
		h.msg.Out.Discard()
		p.reject(1, "a body for a message that has gone on")
		return true
	}
	return false
}

// derived are the header fields that attributes tell, by direction.
var derived = [2][]struct{ attribute, field string }{
	plugin.Request: {
		{"request.method", ":method"}, {"request.scheme", ":scheme"},
		{"request.host", ":authority"}, {"request.path", ":path"},
	},
	plugin.Response: {{"response.code", ":status"}},
}

// needed are the fields without which there is no message, and what stands in
// their place if that is known.
var needed = [2]struct {
	names   []string
	instead plugin.Headers
	headers string
}{
	plugin.Request:  {names: []string{":method", ":path"}, headers: "request.headers"},
	plugin.Response: {names: []string{":status"}, instead: plugin.Headers{{Name: ":status", Value: []byte("200")}}, headers: "response.headers"},
}

// fields are the headers of a message as far as attributes tell.
func (a *attributes) fields(d plugin.Direction) plugin.Headers {
	var h plugin.Headers
	for _, row := range derived[d] {
		if v, ok := a.Attribute(row.attribute); ok {
			if text, ok := v.AsText(); ok && text != "" {
				h = append(h, plugin.Field{Name: row.field, Value: []byte(text)})
			}
		}
	}
	for _, name := range needed[d].names {
		if _, ok := h.Get(name); !ok {
			return needed[d].instead
		}
	}
	var rest plugin.Headers
	for _, list := range slices.Concat(a.told[0], a.told[1]) {
		for name, v := range list.GetFields() {
			key, ok := strings.CutPrefix(name, needed[d].headers)
			switch {
			case !ok:
			case key == "":
				for name, v := range v.GetStructValue().GetFields() {
					rest = append(rest, plugin.Field{Name: strings.ToLower(name), Value: []byte(v.GetStringValue())})
				}
			default:
				name := strings.Trim(key, `['"]`)
				rest = append(rest, plugin.Field{Name: strings.ToLower(name), Value: []byte(v.GetStringValue())})
			}
		}
	}
	rest = slices.DeleteFunc(byName(rest, nil), func(f plugin.Field) bool { return !validName(f.Name) || f.Name[0] == ':' || !validValue(f) })
	return append(h, rest...)
}
