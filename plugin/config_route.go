package plugin

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reference is a plugin's name in a list, to be looked up when all are known.
type reference struct {
	n    *yaml.Node
	at   string
	name string
}

// chosen are the plugins that one route names.
type chosen struct {
	to    *[]string
	names []reference
}

// route reads one entry of the list of routes.
func (r *reader) route(c *Config) field {
	return func(n *yaml.Node, at string) error {
		s := &RouteSpec{}
		listed := len(r.chosen)
		err := r.mapping(n, at, fields{
			"name":    r.name(&s.Name),
			"prefix":  r.prefix(&s.Prefix),
			"plugins": r.choose(&s.Plugins),
			"match":   r.match(s),
		})
		switch {
		case err != nil:
			return err
		case s.Name == "":
			return r.fail(n, at+".name", "is missing")
		case len(r.chosen) == listed:
			return r.fail(n, at+".plugins", "is missing, expected a list of plugins' names, which may be empty")
		}
		for _, other := range c.Routes {
			if other.Name == s.Name {
				return r.fail(entry(n, "name"), at+".name", "%q is the name of another route too", s.Name)
			}
		}
		if s.Metadata == nil && s.Attributes == nil {
			s.Metadata = []Mark{{RouteKey, s.Name}}
		}
		c.Routes = append(c.Routes, s)
		return nil
	}
}

// prefix reads the beginning of a path.
func (r *reader) prefix(to *string) field {
	return func(n *yaml.Node, at string) error {
		if err := r.text(to)(n, at); err != nil {
			return err
		}
		if !strings.HasPrefix(*to, "/") || strings.ContainsAny(*to, "?#") || strings.ContainsFunc(*to, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			return r.fail(n, at, "is %q, expected the beginning of a path such as /checkout", *to)
		}
		return nil
	}
}

// match reads what marks a route's exchanges.
func (r *reader) match(s *RouteSpec) field {
	return func(n *yaml.Node, at string) error {
		err := r.mapping(n, at, fields{
			"metadata":  r.marks(&s.Metadata, r.metadataKey),
			"attribute": r.marks(&s.Attributes, r.attribute),
		})
		if err == nil && len(s.Metadata)+len(s.Attributes) == 0 {
			return r.fail(n, at, "is empty, expected metadata or attribute; exchanges that match nothing get the plugins under default")
		}
		return err
	}
}

func (r *reader) marks(to *[]Mark, check func(n *yaml.Node, at, key string) error) field {
	return func(n *yaml.Node, at string) error {
		return r.entries(n, at, func(key string, n *yaml.Node, at string) error {
			if err := check(n, at, key); err != nil {
				return err
			}
			m := Mark{Key: key}
			if err := r.text(&m.Value)(n, at); err != nil {
				return err
			}
			if m.Value == "" {
				return r.fail(n, at, "is empty, expected a value")
			}
			*to = append(*to, m)
			return nil
		})
	}
}

// metadataKey checks a key of gRPC's metadata.
func (r *reader) metadataKey(n *yaml.Node, at, key string) error {
	if key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.HasSuffix(key, "-bin") {
		return r.fail(n, at, "%q is no key of gRPC metadata with a text, expected one such as %s", key, RouteKey)
	}
	return nil
}

// choose reads a list of plugins' names.
func (r *reader) choose(to *[]string) field {
	return func(n *yaml.Node, at string) error {
		c := chosen{to: to}
		err := r.list(n, at, func(n *yaml.Node, at string) error {
			var name string
			if err := r.text(&name)(n, at); err != nil {
				return err
			}
			c.names = append(c.names, reference{n, at, name})
			return nil
		})
		r.chosen = append(r.chosen, c)
		return err
	}
}

// resolve looks up what the routes name. A route's plugins are in the order of all
// plugins.
func (r *reader) resolve(c *Config) error {
	all := make([]string, len(c.Plugins))
	for i, s := range c.Plugins {
		all[i] = s.Name
	}
	c.Default.Plugins = all
	for _, one := range r.chosen {
		names := []string{}
		for _, ref := range one.names {
			if err := r.known(ref, all, names); err != nil {
				return err
			}
			names = append(names, ref.name)
		}
		slices.SortFunc(names, func(a, b string) int { return slices.Index(all, a) - slices.Index(all, b) })
		*one.to = names
	}
	return nil
}

// known checks that a name is a plugin's, and that it has not been said yet.
func (r *reader) known(ref reference, all, said []string) error {
	if slices.Contains(said, ref.name) {
		return r.fail(ref.n, ref.at, "%q occurs twice", ref.name)
	}
	if slices.Contains(all, ref.name) {
		return nil
	}
	if near := nearest(ref.name, all); near != "" {
		return r.fail(ref.n, ref.at, "%q is no plugin, did you mean %s?", ref.name, near)
	}
	const few = 10
	list := strings.Join(all[:min(few, len(all))], ", ")
	if len(all) > few {
		list += fmt.Sprintf(" and %d more", len(all)-few)
	}
	return r.fail(ref.n, ref.at, "%q is no plugin, expected one of %s", ref.name, list)
}
