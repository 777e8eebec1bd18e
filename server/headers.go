package server

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/extproc/extproc/plugin"
)

// What a proxy takes in one mutation, by Envoy's defaults; what goes beyond
// fails the whole request there.
const (
	maxSets       = 100
	maxRemovals   = 100
	maxFields     = 100
	maxFieldBytes = 60 << 10
)

// place is where a block of fields stands: what may be changed depends on it.
type place struct {
	plugin.Phase
	// newBody is set when the body that follows is not the one that came.
	newBody bool
}

// errTooLarge: a mutation that the proxy would fail the request for.
var errTooLarge = errors.New("too large")

// mutation renders the difference between two blocks of fields as the smallest
// mutation; nil if there is none. Fields that may not be changed, or that the
// proxy would choke on, stay as they are and are counted as rejected.
//
// Envoy runs removals before sets, ignores append_action and heeds only the
// older `append`: both are set, alike, for clients that heed the newer one. A
// set without append replaces all values of a name.
func mutation(from, to plugin.Headers, at place) (m *extprocv3.HeaderMutation, rejected int, err error) {
	return new(difference).mutation(from, to, at)
}

// mutation is the function in memory that is there. It is used once.
func (d *difference) mutation(from, to plugin.Headers, at place) (m *extprocv3.HeaderMutation, rejected int, err error) {
	if unchanged(from, to) {
		return lengthOnly(from, at), 0, nil
	}
	d.at = at
	d.m.SetHeaders, d.m.RemoveHeaders = d.sets[:0], d.removes[:0]
	a, b := from, to
	if !at.newBody {
		a, b = rest(from, to)
	}
	var few [2][fewFields]plugin.Field
	a, b = byName(a, few[0][:0]), byName(b, few[1][:0])
	for len(a) > 0 || len(b) > 0 {
		var was, is []plugin.Field
		var name string
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Name < b[0].Name:
			name = a[0].Name
		default:
			name = b[0].Name
		}
		was, a = group(a, name)
		is, b = group(b, name)
		d.name(name, was, is)
	}
	if len(d.m.SetHeaders) == 0 && len(d.m.RemoveHeaders) == 0 {
		return nil, d.rejected, nil
	}
	return &d.m, d.rejected, d.check(from, to)
}

// lengthOnly is the mutation when the guest changed no field.
func lengthOnly(from plugin.Headers, at place) *extprocv3.HeaderMutation {
	if _, ok := from.Get("content-length"); ok && at.rule("content-length") == drop {
		return &extprocv3.HeaderMutation{RemoveHeaders: []string{"content-length"}}
	}
	return nil
}

// unchanged says whether two lists are one and the same.
func unchanged(a, b plugin.Headers) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// byName is a copy sorted by name, in which the values of a name keep their order. It
// is in the memory that is lent if there is room.
func byName(h plugin.Headers, s []plugin.Field) []plugin.Field {
	s = append(s, h...)
	slices.SortStableFunc(s, func(a, b plugin.Field) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// fewFields is how many changed fields are looked for among the unchanged ones
// one by one.
const fewFields = 16

// rest is what follows the fields that two lists begin with alike, if no name of
// it is among those. Most changes are few, and at the end.
func rest(a, b plugin.Headers) (plugin.Headers, plugin.Headers) {
	n := 0
	for n < len(a) && n < len(b) && a[n].Name == b[n].Name && bytes.Equal(a[n].Value, b[n].Value) {
		n++
	}
	if len(a)+len(b)-2*n > fewFields {
		return a, b
	}
	for _, list := range []plugin.Headers{a[n:], b[n:]} {
		for i := range list {
			if _, both := a[:n].Get(list[i].Name); both {
				return a, b
			}
		}
	}
	return a[n:], b[n:]
}

// group splits the fields of a name off the front of a sorted list.
func group(h []plugin.Field, name string) (of, rest []plugin.Field) {
	n := 0
	for n < len(h) && h[n].Name == name {
		n++
	}
	return h[:n], h[n:]
}

// difference becomes a mutation. It has room for what most plugins change: a message
// of package proto takes a piece of memory for each of its parts otherwise.
type difference struct {
	m        extprocv3.HeaderMutation
	at       place
	rejected int

	sets    [fewChanges]*corev3.HeaderValueOption
	removes [fewChanges]string
	room    [fewChanges]struct {
		option corev3.HeaderValueOption
		header corev3.HeaderValue
	}
}

const fewChanges = 3

// name renders what became of one name.
func (d *difference) name(name string, was, is []plugin.Field) {
	switch d.at.rule(name) {
	case keep:
		if len(is) > 0 && !sameValues(was, is) {
			d.rejected++
		}
		return
	case drop:
		is = nil
	case keepOne:
		if len(is) == 0 {
			return
		}
		if len(is) > 1 {
			d.rejected += len(is) - 1
			is = is[:1]
		}
	}
	if sameValues(was, is) {
		return
	}
	wanted := len(is)
	is = d.sendable(is)
	switch {
	case len(is) == 0 && wanted > 0:
	case len(is) == 0:
		d.m.RemoveHeaders = append(d.m.RemoveHeaders, name)
	case len(was) < len(is) && sameValues(was, is[:len(was)]):
		d.set(is[len(was):], len(was) > 0)
	default:
		d.set(is, false)
	}
}

func sameValues(a, b []plugin.Field) bool {
	return slices.EqualFunc(a, b, func(a, b plugin.Field) bool { return bytes.Equal(a.Value, b.Value) })
}

// set adds the values of a name; the first replaces what is there unless more
// says that all are added to it.
func (d *difference) set(fields []plugin.Field, more bool) {
	for _, f := range fields {
		n := len(d.m.SetHeaders)
		if n < len(d.room) {
			d.m.SetHeaders = append(d.m.SetHeaders, fill(&d.room[n].option, &d.room[n].header, f, more))
		} else {
			d.m.SetHeaders = append(d.m.SetHeaders, option(f, more))
		}
		more = true
	}
}

// sendable drops the fields that the proxy would fail the whole request for.
func (d *difference) sendable(fields []plugin.Field) []plugin.Field {
	bad := func(f plugin.Field) bool { return !validName(f.Name) || !validValue(f) }
	if !slices.ContainsFunc(fields, bad) {
		return fields
	}
	good := slices.DeleteFunc(slices.Clone(fields), bad)
	d.rejected += len(fields) - len(good)
	return good
}

// check refuses what the proxy would: it answers the whole request with 500.
func (d *difference) check(from, to plugin.Headers) error {
	if n := len(d.m.SetHeaders); n > maxSets {
		return fmt.Errorf("%v: %d fields to set, the proxy takes %d: %w", d.at.Phase, n, maxSets, errTooLarge)
	}
	if n := len(d.m.RemoveHeaders); n > maxRemovals {
		return fmt.Errorf("%v: %d names to remove, the proxy takes %d: %w", d.at.Phase, n, maxRemovals, errTooLarge)
	}
	// A proxy whose limits are raised may have sent more than the defaults allow.
	if n := len(to); n > max(maxFields, len(from)) {
		return fmt.Errorf("%v: %d fields, the proxy takes %d: %w", d.at.Phase, n, maxFields, errTooLarge)
	}
	if n := size(to); n > max(maxFieldBytes, size(from)) {
		return fmt.Errorf("%v: %d bytes of fields, the proxy takes %d: %w", d.at.Phase, n, maxFieldBytes, errTooLarge)
	}
	return nil
}

func size(h plugin.Headers) (n int) {
	for i := range h {
		n += len(h[i].Name) + len(h[i].Value)
	}
	return n
}

var (
	appendYes = wrapperspb.Bool(true)
	appendNo  = wrapperspb.Bool(false)
)

// option is one field to set, or to add to those of its name.
func option(f plugin.Field, more bool) *corev3.HeaderValueOption {
	return fill(&corev3.HeaderValueOption{}, &corev3.HeaderValue{}, f, more)
}

// fill makes an option of memory that is there.
func fill(o *corev3.HeaderValueOption, v *corev3.HeaderValue, f plugin.Field, more bool) *corev3.HeaderValueOption {
	v.Key, v.RawValue = f.Name, f.Value
	o.Header, o.Append, o.AppendAction = v, appendNo, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	if more {
		o.Append, o.AppendAction = appendYes, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
	}
	return o
}

// mayLackBody says whether a message that does not end with its headers may end
// with trailers alone.
func mayLackBody(h plugin.Headers) bool {
	length, ok := h.Get("content-length")
	return !ok || string(length) == "0"
}

// hasTrailers says whether a response must be expected to have trailers.
func hasTrailers(h plugin.Headers) bool {
	_, announced := h.Get("trailer")
	return announced || isGRPC(h)
}

// takesTrailers says whether the response to a request may well have trailers.
func takesTrailers(h plugin.Headers) bool {
	te, _ := h.Get("te")
	return strings.Contains(string(te), "trailers") || isGRPC(h)
}

func isGRPC(h plugin.Headers) bool {
	kind, _ := h.Get("content-type")
	return bytes.HasPrefix(kind, []byte("application/grpc"))
}
