package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// reader turns YAML nodes into values and says in which line of which file a
// value is wrong.
type reader struct {
	file string
	// read counts the nodes read, aliases followed, so that a few lines that
	// refer to each other cannot stand for billions.
	read int
	// chosen is what the routes name of plugins that may come later in the file.
	chosen []chosen
}

// maxNodes is how many nodes a configuration may come to, maxDepth how deep.
const (
	maxNodes = 100_000
	maxDepth = 100
)

// field reads the value of a field; at is its path, for errors.
type field func(n *yaml.Node, at string) error

type fields map[string]field

func (r *reader) fail(n *yaml.Node, at, format string, args ...any) error {
	if at == "" {
		at = "the configuration"
	}
	return fmt.Errorf("%s:%d: %s: %s", r.file, n.Line, at, fmt.Sprintf(format, args...))
}

// document is the root of a text's only document.
func document(file string, text []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: is empty, expected `plugins:`", file)
	} else if err != nil {
		return nil, syntaxError(file, err)
	}
	if err := d.Decode(&second); err == nil {
		return nil, fmt.Errorf("%s:%d: a second document, expected one", file, second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(file, err)
	}
	return doc.Content[0], nil
}

// syntaxError puts the line of a YAML error where an editor looks for it.
func syntaxError(file string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if line, what, ok := strings.Cut(rest, ": "); ok {
			return fmt.Errorf("%s:%s: no valid YAML: %s", file, line, what)
		}
	}
	return fmt.Errorf("%s: no valid YAML: %s", file, text)
}

// enter resolves an alias and counts the node.
func (r *reader) enter(n *yaml.Node, at string) (*yaml.Node, error) {
	if r.read++; r.read > maxNodes {
		return nil, r.fail(n, at, "the configuration comes to more than %d values", maxNodes)
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n, nil
}

var kinds = map[yaml.Kind]string{yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list"}

func kind(n *yaml.Node) string {
	if name, ok := kinds[n.Kind]; ok {
		return name
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return "the truth value " + n.Value
	}
	return strconv.Quote(n.Value)
}

// entry is the value of a mapping's key; nil if it has none.
func entry(n *yaml.Node, key string) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			for v := n.Content[i+1]; ; v = v.Alias {
				if v.Kind != yaml.AliasNode {
					return v
				}
			}
		}
	}
	return nil
}

// entries reads a mapping with keys of any name.
func (r *reader) entries(n *yaml.Node, at string, each func(key string, n *yaml.Node, at string) error) error {
	n, err := r.enter(n, at)
	if err != nil {
		return err
	}
	if n.Kind != yaml.MappingNode {
		return r.fail(n, at, "is %s, expected a mapping", kind(n))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			return r.fail(key, at, "a key is %s, expected a word", kind(key))
		}
		path := strings.TrimPrefix(at+"."+key.Value, ".")
		if seen[key.Value] {
			return r.fail(key, path, "occurs twice")
		}
		seen[key.Value] = true
		if err := each(key.Value, n.Content[i+1], path); err != nil {
			return err
		}
	}
	return nil
}

// mapping reads a mapping with known keys.
func (r *reader) mapping(n *yaml.Node, at string, known fields) error {
	return r.entries(n, at, func(key string, n *yaml.Node, at string) error {
		read, ok := known[key]
		if ok {
			return read(n, at)
		}
		names := slices.Sorted(maps.Keys(known))
		if near := nearest(key, names); near != "" {
			return r.fail(n, at, "unknown field, did you mean %s?", near)
		}
		return r.fail(n, at, "unknown field, expected one of %s", strings.Join(names, ", "))
	})
}

func (r *reader) list(n *yaml.Node, at string, each field) error {
	n, err := r.enter(n, at)
	if err != nil {
		return err
	}
	if n.Kind != yaml.SequenceNode {
		return r.fail(n, at, "is %s, expected a list", kind(n))
	}
	for i, item := range n.Content {
		if err := each(item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	return nil
}

// scalar is the text of a value with one of the given tags.
func (r *reader) scalar(n *yaml.Node, at, expected string, tags ...string) (string, error) {
	n, err := r.enter(n, at)
	if err != nil {
		return "", err
	}
	if n.Kind != yaml.ScalarNode || !slices.Contains(tags, n.ShortTag()) {
		return "", r.fail(n, at, "is %s, expected %s", kind(n), expected)
	}
	return n.Value, nil
}

func (r *reader) text(to *string) field {
	return func(n *yaml.Node, at string) (err error) {
		*to, err = r.scalar(n, at, "a string", "!!str", "!!timestamp")
		return err
	}
}

func (r *reader) integer(to *int) field {
	return func(n *yaml.Node, at string) error {
		raw, err := r.scalar(n, at, "a whole number", "!!int")
		if err != nil {
			return err
		}
		i, err := strconv.ParseInt(raw, 0, 32)
		if err != nil {
			return r.fail(n, at, "is %s, expected a whole number of 32 bits", raw)
		}
		*to = int(i)
		return nil
	}
}

func (r *reader) positive(to *int) field {
	return func(n *yaml.Node, at string) error {
		if err := r.integer(to)(n, at); err != nil {
			return err
		}
		if *to < 1 {
			return r.fail(n, at, "is %d, expected 1 or more", *to)
		}
		return nil
	}
}

func (r *reader) duration(to *time.Duration) field {
	return func(n *yaml.Node, at string) error {
		const expected = "a duration such as 100ms or 2s"
		raw, err := r.scalar(n, at, expected, "!!str")
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(raw)
		if err != nil || d <= 0 {
			return r.fail(n, at, "is %q, expected %s", raw, expected)
		}
		*to = d
		return nil
	}
}

var units = []struct {
	suffix string
	factor uint64
}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"", 1}}

// size reads a number of bytes, written as Kubernetes writes quantities.
func (r *reader) size(to *uint64) field {
	return func(n *yaml.Node, at string) error {
		const expected = "a number of bytes such as 64Mi"
		raw, err := r.scalar(n, at, expected, "!!str", "!!int")
		if err != nil {
			return err
		}
		for _, u := range units {
			digits, ok := strings.CutSuffix(raw, u.suffix)
			if !ok {
				continue
			}
			v, err := strconv.ParseUint(digits, 10, 32)
			if err != nil || v == 0 {
				break
			}
			*to = v * u.factor
			return nil
		}
		return r.fail(n, at, "is %q, expected %s", raw, expected)
	}
}

type words[T any] []struct {
	word  string
	value T
}

// choice reads one of a few words.
func choice[T any](r *reader, to *T, of words[T]) field {
	return func(n *yaml.Node, at string) error {
		var names []string
		for _, w := range of {
			names = append(names, w.word)
		}
		expected := "one of " + strings.Join(names, ", ")
		raw, err := r.scalar(n, at, expected, "!!str")
		if err != nil {
			return err
		}
		for _, w := range of {
			if w.word == raw {
				*to = w.value
				return nil
			}
		}
		if near := nearest(raw, names); near != "" {
			return r.fail(n, at, "is %q, did you mean %s?", raw, near)
		}
		return r.fail(n, at, "is %q, expected %s", raw, expected)
	}
}

// nearest is the name that a misspelt one most likely stands for; "" if none is
// near.
func nearest(word string, names []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, name := range names {
		if d := distance(strings.ToLower(word), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is the number of single-character edits between two words.
func distance(a, b string) int {
	if len(a) > 64 {
		a = a[:64]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
