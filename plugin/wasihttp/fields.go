package wasihttp

import (
	"errors"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
)

// Bounds of what a guest may put in fields. Beyond them it traps, as
// wasi:http's header-error has no case for it.
const (
	maxFields     = 32768
	maxFieldBytes = 128 << 10
	maxHeldBytes  = 16 << 20 // in all the fields of an exchange
	maxFieldSets  = 16384    // resources
)

var (
	errTooManyFields = errors.New("more than 32768 fields in one list of header fields")
	errFieldsSize    = errors.New("more than 128 KiB in one list of header fields")
	errFieldsHeld    = errors.New("more header fields held at once than an exchange may need")
)

// fields is the resource of that name. Its list is shared with others until it
// is changed.
type fields struct {
	list      plugin.Headers
	owned     bool // list is nobody else's and may be written to
	immutable bool
	size      int // bytes in list, once it has been changed

	// source is the complete list that list shows what a guest may see of, as
	// long as nothing is changed.
	source  plugin.Headers
	changed bool
	// lazy is a body whose trailers these are, to be had once it has ended.
	lazy *incomingBody
	// phantom marks trailers that the guest was given, and what it made of them,
	// when in the end none came: it would have been told so had it waited.
	phantom bool
}

// shownFields makes fields that show what a guest may see of a list.
func (g *guest) shownFields(source plugin.Headers) *fields {
	f := g.fieldSets.take()
	f.list, f.source, f.immutable = visible(source), source, true
	return f
}

// visible leaves out what guests may not see. The proxy puts pseudo headers
// first and most messages have no others of the kind: then nothing is copied.
func visible(source plugin.Headers) plugin.Headers {
	start := 0
	for start < len(source) && isPseudo(source[start].Name) {
		start++
	}
	rest := source[start:]
	for i := range rest {
		if isPseudo(rest[i].Name) || isForbidden(rest[i].Name) {
			return filtered(rest)
		}
	}
	return rest[:len(rest):len(rest)]
}

func filtered(list plugin.Headers) plugin.Headers {
	kept := make(plugin.Headers, 0, len(list))
	for _, f := range list {
		if !isPseudo(f.Name) && !isForbidden(f.Name) {
			kept = append(kept, f)
		}
	}
	return kept
}

func isPseudo(name string) bool { return len(name) > 0 && name[0] == ':' }

// isForbidden reports the fields that are the proxy's business: those of one
// connection, and host, which is the authority here.
func isForbidden(name string) bool {
	switch name {
	case "connection", "host", "http2-settings", "keep-alive", "proxy-authenticate",
		"proxy-authorization", "proxy-connection", "te", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// permitted appends what guests may say of a message to list.
func permitted(list, said plugin.Headers) plugin.Headers {
	for _, f := range said {
		if !isForbidden(f.Name) {
			list = append(list, f)
		}
	}
	return list
}

// sameList reports whether two lists are one and the same.
func sameList(a, b plugin.Headers) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// shows reports whether f is source, unchanged.
func (f *fields) shows(source plugin.Headers) bool {
	return !f.changed && f.lazy == nil && sameList(f.source, source)
}

// known waits for the list if it is not known yet.
func (f *fields) known(g *guest) error {
	if f.lazy == nil {
		return nil
	}
	body := f.lazy
	body.joined.pump(g)
	if err := g.await(body.joined); err != nil {
		return err
	}
	f.resolve()
	return nil
}

// resolve fills in trailers that have come, or not.
func (f *fields) resolve() {
	f.source = f.lazy.src.Trailers
	f.list, f.phantom, f.lazy = visible(f.source), len(f.source) == 0, nil
}

// change makes f's list its own, or tells why it can't be changed.
func (f *fields) change(g *guest) {
	f.changed = true
	if f.owned {
		return
	}
	f.owned = true
	f.list = append(g.list(len(f.list)+4), f.list...)
	g.held -= f.size
	f.size = 0
	for i := range f.list {
		f.size += len(f.list[i].Name) + len(f.list[i].Value)
	}
	g.held += f.size
}

// grow accounts for n more bytes, which may be negative.
func (f *fields) grow(g *guest, n int) error {
	f.size += n
	g.held += n
	switch {
	case len(f.list) > maxFields:
		return errTooManyFields
	case f.size > maxFieldBytes:
		return errFieldsSize
	case g.held > maxHeldBytes:
		return errFieldsHeld
	}
	return nil
}

// list is an empty list with room for n fields.
func (g *guest) list(n int) plugin.Headers {
	if k := len(g.lists); k > 0 && cap(g.lists[k-1]) >= n {
		l := g.lists[k-1]
		g.lists = g.lists[:k-1]
		return l
	}
	return make(plugin.Headers, 0, n)
}

const (
	listsKept  = 4
	listMaxCap = 64
)

// dropFields gives back what f holds. What becomes of a message is never f's
// own list but a copy.
func dropFields(g *guest, f *fields) {
	g.held -= f.size
	if f.owned && len(g.lists) < listsKept && cap(f.list) <= listMaxCap {
		clear(f.list[:cap(f.list)])
		g.lists = append(g.lists, f.list[:0])
	}
	g.fieldSets.give(f)
}

// headerError names the case of header-error that a change of f by name gives,
// or "".
func (f *fields) headerError(name string, values ...abi.Value) string {
	if !validName(name) {
		return "invalid-syntax"
	}
	if key := lower(name); isForbidden(key) && key != "te" { // which goes no further, see permitted
		return "forbidden"
	}
	for _, v := range values {
		if !validValue(v.Str) || len(name) == len("content-length") && equalFold(name, "content-length") && !digits(v.Str) {
			return "invalid-syntax"
		}
	}
	if f.immutable {
		return "immutable"
	}
	return ""
}

func (f *fields) append(g *guest, name, value string) error {
	f.change(g)
	f.list = append(f.list, plugin.Field{Name: g.text.Lower(name), Value: g.text.Bytes(value)})
	return f.grow(g, len(name)+len(value))
}

// set puts the values where the first of that name was, or at the end.
func (f *fields) set(g *guest, name string, values []abi.Value) error {
	f.change(g)
	first := 0
	for first < len(f.list) && !equalFold(f.list[first].Name, name) {
		first++
	}
	kept, grown := f.list[:first], 0
	for _, field := range f.list[first:] {
		if !equalFold(field.Name, name) {
			kept = append(kept, field)
			continue
		}
		grown -= len(field.Name) + len(field.Value)
		if len(values) > 0 {
			kept = append(kept, plugin.Field{Name: field.Name, Value: g.text.Bytes(values[0].Str)})
			grown += len(name) + len(values[0].Str)
			values = values[1:]
		}
	}
	clear(f.list[len(kept):])
	f.list = kept
	if err := f.grow(g, grown); err != nil || len(values) == 0 {
		return err
	}
	key := g.text.Lower(name)
	for _, v := range values {
		f.list = append(f.list, plugin.Field{Name: key, Value: g.text.Bytes(v.Str)})
		if err := f.grow(g, len(key)+len(v.Str)); err != nil {
			return err
		}
	}
	return nil
}

func newFields(g *guest, c *abi.Call) error {
	f := g.fieldSets.take()
	f.changed = true
	c.ReturnOwn(f)
	return g.full()
}

func fieldsFromList(g *guest, c *abi.Call) error {
	f := g.fieldSets.take()
	f.changed, f.owned = true, true
	f.list = make(plugin.Headers, 0, min(len(c.Args[0].List), maxFields))
	for _, entry := range c.Args[0].List {
		name, value := entry.List[0].Str, entry.List[1]
		if code := f.headerError(name, value); code != "" {
			dropFields(g, f)
			c.Result = c.ErrCase(code)
			return nil
		}
		if err := f.append(g, name, value.Str); err != nil {
			return err
		}
	}
	c.ReturnOkOwn(f)
	return g.full()
}

func fieldsGet(g *guest, c *abi.Call) error {
	f, name := c.Args[0].Obj.(*fields), c.Args[1].Str
	if err := f.known(g); err != nil {
		return err
	}
	n := 0
	for i := range f.list {
		if equalFold(f.list[i].Name, name) {
			n++
		}
	}
	values := c.List(n)[:0]
	for i := range f.list {
		if equalFold(f.list[i].Name, name) {
			values = append(values, abi.Bytes(f.list[i].Value))
		}
	}
	c.Result = abi.Value{List: values}
	return nil
}

func fieldsHas(g *guest, c *abi.Call) error {
	f, name := c.Args[0].Obj.(*fields), c.Args[1].Str
	if err := f.known(g); err != nil {
		return err
	}
	c.Result = abi.Bool(false)
	for i := range f.list {
		if equalFold(f.list[i].Name, name) {
			c.Result = abi.Bool(true)
			break
		}
	}
	return nil
}

// mutate does a change of fields, or answers why not.
func mutate(c *abi.Call, values []abi.Value, change func(f *fields, name string) error) error {
	f, name := c.Args[0].Obj.(*fields), c.Args[1].Str
	if code := f.headerError(name, values...); code != "" {
		c.Result = c.ErrCase(code)
		return nil
	}
	c.ReturnOk()
	return change(f, name)
}

func fieldsSet(g *guest, c *abi.Call) error {
	return mutate(c, c.Args[2].List, func(f *fields, name string) error { return f.set(g, name, c.Args[2].List) })
}

func fieldsDelete(g *guest, c *abi.Call) error {
	return mutate(c, nil, func(f *fields, name string) error { return f.set(g, name, nil) })
}

func fieldsAppend(g *guest, c *abi.Call) error {
	return mutate(c, c.Args[2:3], func(f *fields, name string) error { return f.append(g, name, c.Args[2].Str) })
}

func fieldsEntries(g *guest, c *abi.Call) error {
	f := c.Args[0].Obj.(*fields)
	if err := f.known(g); err != nil {
		return err
	}
	entries, pairs := c.List(len(f.list)), c.List(2*len(f.list))
	for i := range f.list {
		pair := pairs[2*i : 2*i+2]
		pair[0], pair[1] = abi.String(f.list[i].Name), abi.Bytes(f.list[i].Value)
		entries[i].List = pair
	}
	c.Result = abi.Value{List: entries}
	return nil
}

func fieldsClone(g *guest, c *abi.Call) error {
	f := c.Args[0].Obj.(*fields)
	if err := f.known(g); err != nil {
		return err
	}
	clone := g.shared(f)
	clone.immutable = false
	c.ReturnOwn(clone)
	return g.full()
}

// shared makes fields with the list of f, which from now on is nobody's own.
func (g *guest) shared(f *fields) *fields {
	f.owned = false
	s := g.fieldSets.take()
	s.list, s.size, s.source, s.changed, s.lazy, s.phantom = f.list, f.size, f.source, f.changed, f.lazy, f.phantom
	g.held += s.size
	return s
}
