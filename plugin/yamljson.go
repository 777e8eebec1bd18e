package plugin

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// pluginConfig reads what is handed to the guest: a string as it is, anything
// else as JSON in the order it was written.
func (r *reader) pluginConfig(s *Spec) field {
	return func(n *yaml.Node, at string) error {
		node, err := r.enter(n, at)
		if err != nil {
			return err
		}
		if s.Config, err = r.value(nil, node, at, 0); err != nil || node.Kind != yaml.MappingNode {
			if err == nil && plain(node) {
				s.Config = []byte(node.Value)
			}
			if err == nil && node.ShortTag() == "!!null" {
				s.Config = nil
			}
			return err
		}
		s.ConfigMap = make(map[string]string, len(node.Content)/2)
		return r.entries(node, at, func(key string, n *yaml.Node, at string) error {
			if n, err = r.enter(n, at); err != nil {
				return err
			}
			if plain(n) {
				s.ConfigMap[key] = n.Value
				return nil
			}
			text, err := r.value(nil, n, at, 0)
			s.ConfigMap[key] = string(text)
			return err
		})
	}
}

// plain says whether a scalar is handed over as it is written. Dates are, so
// that they arrive as they were written.
func plain(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	switch n.ShortTag() {
	case "!!int", "!!float", "!!bool", "!!null":
		return false
	}
	return true
}

// value appends a node as JSON.
func (r *reader) value(to []byte, n *yaml.Node, at string, depth int) ([]byte, error) {
	n, err := r.enter(n, at)
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, r.fail(n, at, "is nested deeper than %d levels", maxDepth)
	}
	switch n.Kind {
	case yaml.MappingNode:
		to = append(to, '{')
		err = r.entries(n, at, func(key string, n *yaml.Node, at string) error {
			if to[len(to)-1] != '{' {
				to = append(to, ',')
			}
			to = append(quoted(to, key), ':')
			to, err = r.value(to, n, at, depth+1)
			return err
		})
		return append(to, '}'), err
	case yaml.SequenceNode:
		to = append(to, '[')
		err = r.list(n, at, func(n *yaml.Node, at string) error {
			if to[len(to)-1] != '[' {
				to = append(to, ',')
			}
			to, err = r.value(to, n, at, depth+1)
			return err
		})
		return append(to, ']'), err
	default:
		return r.leaf(to, n, at)
	}
}

func quoted(to []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always has a JSON form
	return append(to, text...)
}

// leaf appends a scalar as JSON.
func (r *reader) leaf(to []byte, n *yaml.Node, at string) ([]byte, error) {
	switch n.ShortTag() {
	case "!!null":
		return append(to, "null"...), nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return nil, r.fail(n, at, "is %q, expected a truth value", n.Value)
		}
		return strconv.AppendBool(to, b), nil
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) && strings.Trim(n.Value, "-+.0123456789eE") == "" {
			return append(to, n.Value...), nil
		}
		var i int64
		if n.ShortTag() == "!!int" && n.Decode(&i) == nil {
			return strconv.AppendInt(to, i, 10), nil
		}
		var f float64
		if err := n.Decode(&f); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, r.fail(n, at, "is %s, expected a number that JSON has", n.Value)
		}
		return strconv.AppendFloat(to, f, 'g', -1, 64), nil
	case "!!binary", "!!set", "!!omap":
		return nil, r.fail(n, at, "is tagged %s, which JSON does not have", n.ShortTag())
	}
	return quoted(to, n.Value), nil
}
