package plugin

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is a configuration file, checked and with defaults filled in. The
// plugins are in the order in which requests reach them.
type Config struct {
	Plugins []*Spec
	// Routes are in the order in which they are tried; Default has the plugins of
	// exchanges that are of none.
	Routes  []*RouteSpec
	Default RouteSpec
	// Files are those that were read for more than one plugin.
	Files []string
}

// What a plugin may use unless its configuration says otherwise.
const (
	DefaultTimeout   = time.Second
	DefaultMemory    = 256 << 20
	DefaultInstances = 1024
)

// ReadConfig reads the configuration file at path. Relative plugin paths are
// relative to its folder. Errors name file, line and field.
func ReadConfig(path string, log *slog.Logger) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseConfig(path, text, log)
}

// ParseConfig is ReadConfig for a text that is already here; path names it in
// errors and anchors relative paths.
func ParseConfig(path string, text []byte, log *slog.Logger) (*Config, error) {
	root, err := document(path, text)
	if err != nil {
		return nil, err
	}
	c := &Config{}
	dir := filepath.Dir(path)
	r := reader{file: path}
	var store Store
	err = r.mapping(root, "", fields{
		"store": r.store(&store, &c.Files, dir),
		"plugins": func(n *yaml.Node, at string) error {
			return r.list(n, at, func(n *yaml.Node, at string) error {
				s, err := r.plugin(n, at, dir, log)
				c.Plugins = append(c.Plugins, s)
				return err
			})
		},
		"routes":  func(n *yaml.Node, at string) error { return r.list(n, at, r.route(c)) },
		"default": r.choose(&c.Default.Plugins),
	})
	if err != nil {
		return nil, err
	}
	for _, s := range c.Plugins {
		s.Store = store
	}
	return c, r.whole(root, c)
}

// whole checks what concerns more than one field.
func (r *reader) whole(root *yaml.Node, c *Config) error {
	if len(c.Plugins) == 0 {
		return r.fail(root, "plugins", "names no plugin, expected at least one")
	}
	list := entry(root, "plugins")
	seen := map[string]bool{}
	for i, s := range c.Plugins {
		if seen[s.Name] {
			n := entry(list.Content[i], "pluginName")
			return r.fail(n, fmt.Sprintf("plugins[%d].pluginName", i), "%q is the name of another plugin too", s.Name)
		}
		seen[s.Name] = true
	}
	slices.SortStableFunc(c.Plugins, inOrder)
	return r.resolve(c)
}

// inOrder compares plugins by their places in a chain.
func inOrder(a, b *Spec) int {
	return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(b.Priority, a.Priority))
}

// plugin reads one entry of the list of plugins.
func (r *reader) plugin(n *yaml.Node, at, dir string, log *slog.Logger) (*Spec, error) {
	s := &Spec{
		Stage:  Unstaged,
		Limits: Limits{Timeout: DefaultTimeout, Memory: DefaultMemory, Instances: DefaultInstances},
	}
	err := r.mapping(n, at, fields{
		"pluginName": r.name(&s.Name),
		"rootID": func(n *yaml.Node, at string) error {
			s.VM.RootID = new(string)
			return r.text(s.VM.RootID)(n, at)
		},
		"url":          r.location(&s.URL, dir),
		"sha256":       r.digest(&s.SHA256),
		"pluginConfig": r.pluginConfig(s),
		"failStrategy": choice(r, &s.FailStrategy, words[FailStrategy]{{"FAIL_CLOSE", FailClose}, {"FAIL_OPEN", FailOpen}, {"FAIL_RELOAD", FailReload}}),
		"phase":        choice(r, &s.Stage, words[Stage]{{"AUTHN", AuthN}, {"AUTHZ", AuthZ}, {"STATS", Stats}, {"UNSPECIFIED_PHASE", Unstaged}}),
		"priority":     r.integer(&s.Priority),
		"callouts":     r.clusters(s, dir),
		"clusters":     r.clusters(s, dir), // Envoy's word for the same
		"attributes":   r.attributes(&s.Attributes),
		"vmConfig": func(n *yaml.Node, at string) error {
			return r.mapping(n, at, fields{
				"env": r.env(&s.Env), "vm_id": r.text(&s.VM.ID), "configuration": r.vmConfiguration(&s.VM.Config),
			})
		},
		"isolation":                     choice(r, &s.VM.Isolation, words[Isolation]{{"none", Shared}, {"filter", PerFilter}, {"stream", PerStream}}),
		"workers":                       r.workers(&s.VM.Workers),
		"reload_config":                 r.reloading(&s.VM.Backoff),
		"capability_restriction_config": r.capabilities(&s.VM.Capabilities),
		"processing_mode":               r.processing(&s.VM.Skips),
		"metadata_options":              r.metadata(s),
		"sharedData":                    r.sharedData(&s.SharedData),
		"limits": func(n *yaml.Node, at string) error {
			return r.mapping(n, at, fields{
				"timeout":      r.duration(&s.Limits.Timeout),
				"callback":     r.duration(&s.Limits.Callback),
				"exchange":     r.duration(&s.Limits.Exchange),
				"memory":       r.size(&s.Limits.Memory),
				"body":         r.size(&s.Limits.Body),
				"instances":    r.positive(&s.Limits.Instances),
				"callouts":     r.positive(&s.Limits.Callouts),
				"calloutBytes": r.size(&s.Limits.CalloutBytes),
			})
		},
	})
	if err != nil {
		return s, err
	}
	if s.Name == "" {
		return s, r.fail(n, at+".pluginName", "is missing")
	}
	if s.URL == "" {
		return s, r.fail(n, at+".url", "is missing, expected the path of a .wasm file")
	}
	s.Log = log.With("plugin", s.Name)
	return s, nil
}

// name reads a plugin's name. It becomes a metric's label and part of log lines.
func (r *reader) name(to *string) field {
	return func(n *yaml.Node, at string) error {
		if err := r.text(to)(n, at); err != nil {
			return err
		}
		if *to == "" || len(*to) > 253 || strings.ContainsFunc(*to, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
			return r.fail(n, at, "is %q, expected a name of 1 to 253 characters without blanks", *to)
		}
		return nil
	}
}

// location reads where the wasm is; what comes out is an absolute path.
func (r *reader) location(to *string, dir string) field {
	return func(n *yaml.Node, at string) error {
		var raw string
		if err := r.text(&raw)(n, at); err != nil {
			return err
		}
		path := raw
		if scheme, rest, ok := strings.Cut(raw, "://"); ok {
			if scheme != "file" {
				return r.fail(n, at, "is %q: %s:// is not supported yet, expected a path or file://", raw, scheme)
			}
			u, err := url.Parse(raw)
			if err != nil || u.Host != "" && u.Host != "localhost" && u.Host != "." && u.Host != ".." {
				return r.fail(n, at, "is %q, expected a path or file:///path", raw)
			}
			if path = u.Path; u.Host == "." || u.Host == ".." {
				path = rest
			}
		}
		if path == "" || strings.ContainsRune(path, 0) {
			return r.fail(n, at, "is %q, expected the path of a .wasm file", raw)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		*to = filepath.Clean(path)
		return nil
	}
}

// digest reads a SHA-256 in hex.
func (r *reader) digest(to *string) field {
	return func(n *yaml.Node, at string) error {
		var raw string
		if err := r.text(&raw)(n, at); err != nil {
			return err
		}
		hex := strings.ToLower(strings.TrimPrefix(raw, "sha256:"))
		if len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
			return r.fail(n, at, "is %q, expected 64 hexadecimal digits", raw)
		}
		*to = hex
		return nil
	}
}

// env reads a guest's environment; a variable's value may come from the host's.
func (r *reader) env(to *map[string]string) field {
	return func(n *yaml.Node, at string) error {
		*to = map[string]string{}
		return r.list(n, at, func(n *yaml.Node, at string) error {
			var name, value string
			var fromHost bool
			err := r.mapping(n, at, fields{
				"name":      r.text(&name),
				"value":     r.text(&value),
				"valueFrom": choice(r, &fromHost, words[bool]{{"INLINE", false}, {"HOST", true}}),
			})
			switch {
			case err != nil:
				return err
			case name == "" || strings.ContainsAny(name, "=\x00"):
				return r.fail(n, at+".name", "is %q, expected the name of a variable", name)
			case strings.ContainsRune(value, 0):
				return r.fail(n, at+".value", "holds a NUL character")
			case fromHost && value != "":
				return r.fail(n, at+".value", "is given although valueFrom is HOST")
			}
			if _, twice := (*to)[name]; twice {
				return r.fail(n, at+".name", "%q occurs twice", name)
			}
			if fromHost {
				value = os.Getenv(name)
			}
			(*to)[name] = value
			return nil
		})
	}
}
