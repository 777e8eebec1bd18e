package plugin

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxWorkers is how many VMs one plugin may have.
const maxWorkers = 1024

func (r *reader) workers(to *int) field {
	return func(n *yaml.Node, at string) error {
		if err := r.positive(to)(n, at); err != nil {
			return err
		}
		if *to > maxWorkers {
			return r.fail(n, at, "is %d, expected at most %d", *to, maxWorkers)
		}
		return nil
	}
}

// vmConfiguration reads what a VM is started with, as pluginConfig is read.
func (r *reader) vmConfiguration(to *[]byte) field {
	return func(n *yaml.Node, at string) error {
		var s Spec
		err := r.pluginConfig(&s)(n, at)
		*to = s.Config
		return err
	}
}

// reloading reads Envoy's ReloadConfig.
func (r *reader) reloading(to *Backoff) field {
	return func(n *yaml.Node, at string) error {
		return r.mapping(n, at, fields{"backoff": func(n *yaml.Node, at string) error {
			err := r.mapping(n, at, fields{"base_interval": r.duration(&to.Base), "max_interval": r.duration(&to.Most)})
			if err == nil && to.Most != 0 && to.Most < to.Base {
				return r.fail(entry(n, "max_interval"), at+".max_interval", "is %v, expected at least the base_interval, %v", to.Most, to.Base)
			}
			return err
		}})
	}
}

// capabilities reads Envoy's CapabilityRestrictionConfig. Envoy has a mapping from
// names to mappings without meaning; a list of names will do.
func (r *reader) capabilities(to *[]string) field {
	return func(n *yaml.Node, at string) error {
		return r.mapping(n, at, fields{"allowed_capabilities": func(n *yaml.Node, at string) error {
			*to = []string{}
			add := func(name string, n *yaml.Node, at string) error {
				if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
					return r.fail(n, at, "is %q, expected the name of a hostcall or callback such as proxy_log", name)
				}
				if !slices.Contains(*to, name) {
					*to = append(*to, name)
				}
				return nil
			}
			if n, err := r.enter(n, at); err != nil {
				return err
			} else if n.Kind == yaml.MappingNode {
				return r.entries(n, at, add)
			}
			return r.list(n, at, func(n *yaml.Node, at string) error {
				var name string
				if err := r.text(&name)(n, at); err != nil {
					return err
				}
				return add(name, n, at)
			})
		}})
	}
}

// processing reads Envoy's ProcessingMode, as far as it leaves out phases. Where the
// request's headers are not sent, there is no exchange to speak of.
func (r *reader) processing(skips *[2][3]bool) field {
	headers := func(to *bool) field { return choice(r, to, words[bool]{{"SEND", false}, {"SKIP", true}}) }
	body := func(to *bool) field {
		return choice(r, to, words[bool]{{"FULL_DUPLEX_STREAMED", false}, {"NONE", true}})
	}
	q, a := &skips[Request], &skips[Response]
	return func(n *yaml.Node, at string) error {
		err := r.mapping(n, at, fields{
			"request_body_mode": body(&q[BodyPart]), "request_trailer_mode": headers(&q[TrailersPart]),
			"response_header_mode": headers(&a[HeadersPart]), "response_body_mode": body(&a[BodyPart]), "response_trailer_mode": headers(&a[TrailersPart]),
		})
		if err == nil && a[HeadersPart] && !(a[BodyPart] && a[TrailersPart]) {
			return r.fail(entry(n, "response_header_mode"), at+".response_header_mode", "is SKIP, expected response_body_mode NONE and response_trailer_mode SKIP with it")
		}
		return err
	}
}

// metadata reads Envoy's MetadataOptions, without its distinction of types.
func (r *reader) metadata(s *Spec) field {
	return func(n *yaml.Node, at string) error {
		return r.mapping(n, at, fields{
			"forwarding_namespaces": r.namespaces(&s.ReadsMetadata),
			"receiving_namespaces":  r.namespaces(&s.WritesMetadata),
		})
	}
}

func (r *reader) namespaces(to *[]string) field {
	return func(n *yaml.Node, at string) error {
		return r.list(n, at, func(n *yaml.Node, at string) error {
			var name string
			if err := r.text(&name)(n, at); err != nil {
				return err
			}
			if name == "" || name == "*" {
				return r.fail(n, at, "is %q, expected a namespace such as envoy.filters.http.jwt_authn; there is no wildcard", name)
			}
			*to = append(*to, name)
			return nil
		})
	}
}

// attributes reads the names of attributes. Of names that it doesn't know, and of
// operators, Envoy drops the attribute without a word.
func (r *reader) attributes(to *[]string) field {
	return func(n *yaml.Node, at string) error {
		*to = []string{}
		return r.list(n, at, func(n *yaml.Node, at string) error {
			var name string
			if err := r.text(&name)(n, at); err != nil {
				return err
			}
			if err := r.attribute(n, at, name); err != nil {
				return err
			}
			if !slices.Contains(*to, name) {
				*to = append(*to, name)
			}
			return nil
		})
	}
}

// attribute checks a name, with what it is indexed by.
func (r *reader) attribute(n *yaml.Node, at, name string) error {
	base, index, indexed := strings.Cut(name, "[")
	if knownAttribute(base) != nil && (!indexed || strings.HasSuffix(index, "]")) {
		return nil
	}
	if root, _, dotted := strings.Cut(base, "."); dotted && (root == "metadata" || root == "xds" && strings.Contains(base, "metadata.")) {
		return nil // fields of messages, such as metadata.filter_metadata['a']
	}
	var names []string
	for i := range knownAttributes {
		names = append(names, knownAttributes[i].name)
	}
	if near := nearest(base, names); near != "" {
		return r.fail(n, at, "%q is no attribute, did you mean %s?", name, near)
	}
	return r.fail(n, at, "%q is no attribute, expected one that Envoy documents, such as source.address or request.headers['x-a']", name)
}
