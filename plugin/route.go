package plugin

import (
	"strconv"
	"sync/atomic"
)

// RouteSpec is the configuration of a route: which of the plugins see its
// exchanges.
type RouteSpec struct {
	// Name is the route's in logs and metrics; "" is that of the exchanges that are
	// of no other route.
	Name string
	// Prefix is the beginning of the paths that the proxy is to send this way; ""
	// leaves the proxy's routes to others. What route an exchange has is for the
	// proxy to say, as only it knows how it reads a path.
	Prefix string
	// Metadata and Attributes are what marks an exchange as the route's: all must
	// be as said.
	Metadata, Attributes []Mark
	// Plugins are names, in the order in which requests reach the plugins.
	Plugins []string
}

// Mark is a key of the stream's initial metadata or the name of an attribute, and
// its value.
type Mark struct{ Key, Value string }

// RouteKey is the key of initial metadata that names a route.
const RouteKey = "x-extproc-route"

// Route is a route of a set.
type Route struct {
	*RouteSpec
	Plugins []*Plugin
	// unasked is 1 once the proxy has shown a response that nobody was to look at.
	// Routes are copied when a set is made, which an atomic.Bool must not be.
	unasked uint32
}

// LearnUnasked notes that the proxy shows responses although no plugin of the exchange
// looks at them any more: the header modes of its configuration are not told.
func (r *Route) LearnUnasked() {
	if !r.Unasked() {
		atomic.StoreUint32(&r.unasked, 1)
	}
}

// Unasked says whether that has been learned.
func (r *Route) Unasked() bool { return atomic.LoadUint32(&r.unasked) != 0 }

// Signs are what the proxy says of an exchange before its plugins are known.
type Signs interface {
	// InitialMetadata are the values of a key that the stream came with.
	InitialMetadata(key string) []string
	Attribute(name string) (Value, bool)
}

// Route is the first route that an exchange has the marks of, or else the default.
func (s *Set) Route(signs Signs) *Route {
	for i := range s.Routes {
		if s.Routes[i].marks(signs) {
			return &s.Routes[i]
		}
	}
	return &s.Default
}

func (r *RouteSpec) marks(signs Signs) bool {
	for _, m := range r.Metadata {
		if !m.among(signs.InitialMetadata(m.Key)) {
			return false
		}
	}
	for _, m := range r.Attributes {
		v, ok := signs.Attribute(m.Key)
		if !ok || v.plain() != m.Value {
			return false
		}
	}
	return true
}

// among compares with the last of the values: where proxies add to what a client
// sent, theirs comes last.
func (m Mark) among(values []string) bool {
	return len(values) > 0 && values[len(values)-1] == m.Value
}

// plain is a text, number or truth value as one writes it in a configuration.
func (v Value) plain() string {
	switch v.Kind {
	case IntValue:
		return strconv.FormatInt(v.Int, 10)
	case NumberValue:
		return strconv.FormatFloat(v.Number, 'f', -1, 64)
	case BoolValue:
		return strconv.FormatBool(v.Int != 0)
	}
	return v.Text
}

// assign gives each route its plugins.
func (s *Set) assign(c *Config) {
	byName := make(map[string]*Plugin, len(s.Plugins))
	for _, p := range s.Plugins {
		byName[p.Spec.Name] = p
	}
	route := func(spec *RouteSpec) Route {
		r := Route{RouteSpec: spec}
		for _, name := range spec.Plugins {
			r.Plugins = append(r.Plugins, byName[name])
		}
		return r
	}
	for _, spec := range c.Routes {
		s.Routes = append(s.Routes, route(spec))
	}
	s.Default = route(&c.Default)
}
