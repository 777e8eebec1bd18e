package wasihttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/plugin"
)

// Bounds of what guests may say.
const (
	maxPath   = 4 << 10 // bytes of a property's path
	maxJSON   = 1 << 20 // bytes of a value's text, which takes many times that once it is read
	maxNested = 32      // maps and lists within each other
)

// sight is what a guest sees of an exchange: the messages as they arrived at it.
type sight struct {
	ex   *plugin.Exchange
	spec *plugin.Spec
}

var _ plugin.Sight = sight{}

// Plugin implements plugin.Sight, as what follows does.
func (s sight) Plugin() *plugin.Spec { return s.spec }

// Headers are there once they have arrived.
func (s sight) Headers(d plugin.Direction) (plugin.Headers, bool) {
	m := s.ex.Message(d)
	return m.Original, m.Arrived
}

// Trailers are there when the body is at its end, if there are any.
func (s sight) Trailers(d plugin.Direction) (plugin.Headers, bool) {
	m := s.ex.Message(d)
	return m.In.Trailers, m.In.Ended && m.In.Trailers != nil
}

// Status is that of the response that arrived.
func (s sight) Status() ([]byte, bool) { return s.ex.Response.Original.Get(":status") }

// Size is what the proxy tells.
func (s sight) Size(plugin.Direction) (uint64, bool) { return 0, false }

// Details is empty: it is other plugins that have them.
func (s sight) Details() string { return "" }

// known is the exchange whose properties can be asked for: the one at hand, or one
// that has ended and is logged. It is nil if there is none.
func (g *guest) known() *plugin.Exchange {
	if g.ex != nil {
		return g.ex
	}
	return g.told
}

// open is the exchange at hand, nil if there is none that can be changed.
func (g *guest) open() *plugin.Exchange {
	if g.ended {
		return nil
	}
	return g.ex
}

// path is the path that is the first argument, with dots. It returns false if it is
// too long.
func path(c *abi.Call) (string, bool) {
	list := c.Args[0].List
	size := 0
	for i := range list {
		size += len(list[i].Str) + 1
	}
	if size > maxPath {
		return "", false
	}
	var b strings.Builder
	b.Grow(size)
	for i := range list {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(list[i].Str)
	}
	return b.String(), true
}

func propertyGet(g *guest, c *abi.Call) error {
	c.ReturnNone()
	ex := g.known()
	name, ok := path(c)
	if ex == nil || !ok {
		return nil
	}
	value, ok := plugin.Property(sight{ex, g.mod.spec}, name)
	if !ok {
		value, ok = ex.Told(name)
	}
	if !ok {
		value, ok = ex.Property(name)
	}
	return some(c, value, ok)
}

func propertySet(g *guest, c *abi.Call) error {
	ex := g.open()
	name, short := path(c)
	switch {
	case ex == nil:
		c.Result = c.ErrCase("no-exchange")
		return nil
	case !short:
		c.Result = c.ErrCase("too-large")
		return nil
	case name == "" || plugin.ReadOnly(name):
		c.Result = c.ErrCase("read-only")
		return nil
	}
	value, err := valueOf(c.Args[1], c.ParamType(1))
	switch {
	case errors.Is(err, errJSON):
		c.Result = c.ErrCase("too-large")
	case err != nil:
		c.Result = c.ErrCase("invalid", abi.String(err.Error()))
	case !ex.SetProperty(name, value):
		c.Result = c.ErrCase("too-large")
	default:
		c.ReturnOk()
	}
	return nil
}

func metadataGet(g *guest, c *abi.Call) error {
	c.ReturnNone()
	ex := g.known()
	if ex == nil {
		return nil
	}
	value, ok := ex.Metadata(c.Args[0].Str, c.Args[1].Str)
	return some(c, value, ok)
}

func metadataSet(g *guest, c *abi.Call) error {
	ex := g.open()
	namespace := c.Args[0].Str
	switch {
	case ex == nil:
		c.Result = c.ErrCase("no-exchange")
		return nil
	case !slices.Contains(g.mod.spec.WritesMetadata, namespace):
		c.Result = c.ErrCase("not-allowed")
		return nil
	}
	value, err := valueOf(c.Args[2], c.ParamType(2))
	switch {
	case errors.Is(err, errJSON):
		c.Result = c.ErrCase("too-large")
	case err != nil:
		c.Result = c.ErrCase("invalid", abi.String(err.Error()))
	case !ex.SetMetadata(strings.Clone(namespace), strings.Clone(c.Args[1].Str), value):
		c.Result = c.ErrCase("too-large")
	default:
		c.ReturnOk()
	}
	return nil
}

// clearRouteCache has the route chosen anew when the request's headers go on.
func clearRouteCache(g *guest, c *abi.Call) error {
	ex := g.open()
	early := ex != nil && !ex.Request.Taken
	if early {
		ex.Request.Reroute = true
	}
	c.Result = abi.Bool(early)
	return nil
}

// some sets the result of a function that has an optional value.
func some(c *abi.Call, v plugin.Value, ok bool) error {
	if !ok {
		return nil
	}
	t := c.ResultType().Cases[1].Type
	switch v.Kind {
	case plugin.TextValue:
		if utf8.ValidString(v.Text) {
			c.Result = c.Some(c.Case(t, "text", abi.String(v.Text)))
			return nil
		}
		c.Result = c.Some(c.Case(t, "bytes", abi.String(v.Text)))
	case plugin.BytesValue:
		c.Result = c.Some(c.Case(t, "bytes", abi.String(v.Text)))
	case plugin.IntValue:
		c.Result = c.Some(c.Case(t, "integer", abi.U64(uint64(v.Int))))
	case plugin.NumberValue:
		c.Result = c.Some(c.Case(t, "number", abi.U64(math.Float64bits(v.Number))))
	case plugin.BoolValue:
		c.Result = c.Some(c.Case(t, "boolean", abi.Bool(v.Int != 0)))
	case plugin.TimeValue:
		c.Result = c.Some(c.Case(t, "time", abi.U64(uint64(max(v.Int, 0)))))
	case plugin.DurationValue:
		c.Result = c.Some(c.Case(t, "span", abi.U64(uint64(v.Int))))
	default:
		if text, err := json.Marshal(plain(v)); err == nil { // or it has a number that JSON has no word for
			c.Result = c.Some(c.Case(t, "json", abi.Bytes(text)))
		}
	}
	return nil
}

// plain is a value as JSON has it.
func plain(v plugin.Value) any {
	switch v.Kind {
	case plugin.TextValue, plugin.BytesValue:
		return v.Text
	case plugin.IntValue, plugin.TimeValue, plugin.DurationValue:
		return v.Int
	case plugin.NumberValue:
		return v.Number
	case plugin.BoolValue:
		return v.Int != 0
	case plugin.MapValue:
		m := make(map[string]any, len(v.Map))
		for key, inner := range v.Map {
			m[key] = plain(inner)
		}
		return m
	case plugin.ListValue:
		list := make([]any, len(v.List))
		for i, inner := range v.List {
			list[i] = plain(inner)
		}
		return list
	}
	return nil
}

var (
	errNumber = errors.New("no finite number")
	errJSON   = errors.New("more than 1 MiB of JSON")
)

// valueOf is a value that a guest has made. The error is for people.
func valueOf(v abi.Value, t *canon.Type) (plugin.Value, error) {
	p := v.Payload()
	switch t.Cases[v.Num].Name {
	case "boolean":
		return plugin.Value{Kind: plugin.BoolValue, Int: int64(p.Num)}, nil
	case "integer":
		return plugin.Value{Kind: plugin.IntValue, Int: int64(p.Num)}, nil
	case "number":
		n := math.Float64frombits(p.Num)
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return plugin.Value{}, errNumber
		}
		return plugin.Value{Kind: plugin.NumberValue, Number: n}, nil
	case "text":
		return plugin.Text(strings.Clone(p.Str)), nil
	case "bytes":
		return plugin.Bytes(raw(p.Str)), nil
	case "time":
		return plugin.Value{Kind: plugin.TimeValue, Int: int64(min(p.Num, math.MaxInt64))}, nil
	case "span":
		return plugin.Value{Kind: plugin.DurationValue, Int: int64(p.Num)}, nil
	case "json":
		if len(p.Str) > maxJSON {
			return plugin.Value{}, errJSON
		}
		var tree any
		if err := json.Unmarshal([]byte(p.Str), &tree); err != nil {
			return plugin.Value{}, err
		}
		return ofJSON(tree, 0)
	}
	return plugin.Value{}, fmt.Errorf("the kind of value %q is unknown", t.Cases[v.Num].Name)
}

func ofJSON(v any, depth int) (plugin.Value, error) {
	if depth > maxNested {
		return plugin.Value{}, fmt.Errorf("nested more than %d deep", maxNested)
	}
	switch v := v.(type) {
	case string:
		return plugin.Text(v), nil
	case float64:
		return plugin.Value{Kind: plugin.NumberValue, Number: v}, nil
	case bool:
		b := plugin.Value{Kind: plugin.BoolValue}
		if v {
			b.Int = 1
		}
		return b, nil
	case map[string]any:
		m := plugin.Value{Kind: plugin.MapValue, Map: make(map[string]plugin.Value, len(v))}
		for key, inner := range v {
			value, err := ofJSON(inner, depth+1)
			if err != nil {
				return m, err
			}
			m.Map[key] = value
		}
		return m, nil
	case []any:
		list := plugin.Value{Kind: plugin.ListValue, List: make([]plugin.Value, len(v))}
		for i, inner := range v {
			value, err := ofJSON(inner, depth+1)
			if err != nil {
				return list, err
			}
			list.List[i] = value
		}
		return list, nil
	}
	return plugin.Value{}, nil
}
