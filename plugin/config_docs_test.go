package plugin

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mappings are the mappings of a configuration: how a field of each is written, and
// a text that has the field zzzzzzzzzzzz in it.
var mappings = []struct{ path, text string }{
	{"", "zzzzzzzzzzzz: 1"},
	{"routes[].", "routes: [{zzzzzzzzzzzz: 1}]"},
	{"routes[].match.", "routes: [{match: {zzzzzzzzzzzz: 1}}]"},
	{"store.", "store: {zzzzzzzzzzzz: 1}"},
	{"store.tls.", "store: {tls: {zzzzzzzzzzzz: 1}}"},
	{"store.limits.", "store: {limits: {zzzzzzzzzzzz: 1}}"},
	{"plugins[].sharedData.", "plugins: [{sharedData: {zzzzzzzzzzzz: 1}}]"},
	{"plugins[].", "plugins: [{zzzzzzzzzzzz: 1}]"},
	{"plugins[].vmConfig.", "plugins: [{vmConfig: {zzzzzzzzzzzz: 1}}]"},
	{"plugins[].vmConfig.env[].", "plugins: [{vmConfig: {env: [{zzzzzzzzzzzz: 1}]}}]"},
	{"plugins[].limits.", "plugins: [{limits: {zzzzzzzzzzzz: 1}}]"},
	{"plugins[].callouts.*.", "plugins: [{callouts: {a: {zzzzzzzzzzzz: 1}}}]"},
	{"plugins[].callouts.*.tls.", "plugins: [{callouts: {a: {tls: {zzzzzzzzzzzz: 1}}}}]"},
	{"plugins[].reload_config.", "plugins: [{reload_config: {zzzzzzzzzzzz: 1}}]"},
	{"plugins[].reload_config.backoff.", "plugins: [{reload_config: {backoff: {zzzzzzzzzzzz: 1}}}]"},
	{"plugins[].capability_restriction_config.", "plugins: [{capability_restriction_config: {zzzzzzzzzzzz: 1}}]"},
	{"plugins[].processing_mode.", "plugins: [{processing_mode: {zzzzzzzzzzzz: 1}}]"},
	{"plugins[].metadata_options.", "plugins: [{metadata_options: {zzzzzzzzzzzz: 1}}]"},
}

// TestConfigDocumented: the tables of CONFIGURATION.md have every field and no other.
func TestConfigDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "CONFIGURATION.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`-][^`]*)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	known := map[string]bool{"plugins[].callouts.*": true}
	var inner []string
	for _, m := range mappings {
		_, err := ParseConfig("f", []byte(m.text), quietLog)
		if err == nil {
			t.Fatalf("%s: no error", m.text)
		}
		_, names, ok := strings.Cut(err.Error(), "unknown field, expected one of ")
		if !ok {
			t.Fatalf("%s: %v", m.text, err)
		}
		for _, name := range strings.Split(names, ", ") {
			known[m.path+name] = true
		}
		inner = append(inner, strings.TrimSuffix(strings.TrimSuffix(m.path, "."), "[]"))
	}
	for field := range known {
		// A mapping or list is documented by its fields.
		if !documented[field] && !slices.Contains(inner, field) {
			t.Errorf("%s is not in CONFIGURATION.md", field)
		}
	}
	for field := range documented {
		if !known[field] {
			t.Errorf("%s is in CONFIGURATION.md, but there is no such field", field)
		}
	}
}
