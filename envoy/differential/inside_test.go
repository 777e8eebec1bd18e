package differential_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/extproc/extproc/envoy"
	"github.com/extproc/extproc/internal/envoyrun"
	"github.com/extproc/extproc/internal/envoytest"
)

// vmID is the same for all plugins of a run, so that those of one module share a VM, its shared data and its queues.
const vmID = "vm"

// tree is decoded YAML.
type tree = map[string]any

// inside runs modules in Envoy's own wasm filter, with the configuration that extproc generates but for that filter: one listener
// for each setup, so that a module is compiled once.
type inside struct {
	envoy *envoyrun.Envoy
	base  map[string]string // setup → URL
}

// The error is Envoy's if it doesn't load a module.
func startInside(t *testing.T, upstream string, setups []setup) (*inside, error) {
	t.Helper()
	in := &inside{base: map[string]string{}}
	ports, err := envoyrun.FreePorts(len(setups))
	if err != nil {
		t.Fatal(err)
	}
	var whole tree
	for i, s := range setups {
		listen := fmt.Sprint("127.0.0.1:", ports[i])
		in.base[s.name] = "http://" + listen
		generated, err := envoy.Bootstrap(envoy.Options{Listen: listen, Upstream: upstream, ExtProc: "127.0.0.1:1", Admin: "127.0.0.1:0"}, envoy.Plugin{})
		if err != nil {
			t.Fatal(err)
		}
		var part tree
		if err := yaml.Unmarshal(generated, &part); err != nil {
			t.Fatal(err)
		}
		listener := at(part, "static_resources", "listeners", 0).(tree)
		listener["name"] = fmt.Sprint("listener-", i)
		useWasm(listener, s)
		if whole == nil {
			whole = part
			continue
		}
		resources := whole["static_resources"].(tree)
		resources["listeners"] = append(resources["listeners"].([]any), listener)
	}
	resources := whole["static_resources"].(tree)
	clusters := resources["clusters"].([]any)[:1] // without extproc's
	for name, address := range callouts(t, setups) {
		clusters = append(clusters, cluster(t, name, address))
	}
	resources["clusters"] = clusters
	bootstrap, err := json.Marshal(whole) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	in.envoy, err = envoyrun.Start(t.Context(), envoyrun.Options{
		Binary: envoytest.Binary(t), Bootstrap: bootstrap, Dir: t.TempDir(), LogLevel: "info",
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		in.envoy.Stop()
		if t.Failed() {
			_, log, _ := strings.Cut(in.envoy.Log(), "starting workers")
			t.Logf("log of Envoy with the modules inside:\n%s", log)
		}
	})
	return in, nil
}

// at follows keys and indexes into decoded YAML.
func at(value any, path ...any) any {
	for _, step := range path {
		if key, ok := step.(string); ok {
			value = value.(tree)[key]
		} else {
			value = value.([]any)[step.(int)]
		}
	}
	return value
}

// useWasm puts wasm filters where the ext_proc filter is.
func useWasm(listener tree, s setup) {
	manager := at(listener, "filter_chains", 0, "filters", 0, "typed_config").(tree)
	var filters []any
	for _, p := range s.plugins {
		filters = append(filters, tree{
			"name": "envoy.filters.http.wasm",
			"typed_config": tree{
				"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
				"config": tree{
					"name":    p.label(),
					"root_id": p.root,
					"configuration": tree{
						"@type": "type.googleapis.com/google.protobuf.StringValue",
						"value": p.config,
					},
					"vm_config": tree{
						"vm_id":   vmID,
						"runtime": "envoy.wasm.runtime.v8",
						"code":    tree{"local": tree{"filename": p.wasm}},
					},
				},
			},
		})
	}
	generated := manager["http_filters"].([]any)
	manager["http_filters"] = append(filters, generated[len(generated)-1])
}

func cluster(t *testing.T, name, address string) tree {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var port int
	if _, err := fmt.Sscan(u.Port(), &port); err != nil {
		t.Fatal(err)
	}
	endpoint := tree{"endpoint": tree{"address": tree{"socket_address": tree{"address": u.Hostname(), "port_value": port}}}}
	return tree{
		"name":            name,
		"connect_timeout": "1s",
		"load_assignment": tree{"cluster_name": name, "endpoints": []any{tree{"lb_endpoints": []any{endpoint}}}},
	}
}

func (in *inside) url(s setup) string { return in.base[s.name] }

func (in *inside) exposition() string { return "http://" + in.envoy.Admin + "/stats/prometheus" }

func (in *inside) log() string { return in.envoy.Log() }

// insideLine is the beginning of a line of Envoy's log.
var insideLine = regexp.MustCompile(`^\[\d{4}-\d\d-\d\d [^]]*\]\[\d+\]\[(\w+)\]\[(\w+)\] \[[^]]*\] (.*)$`)

// guestLines are the lines of a setup's plugins. A line of a context that has no plugin yet begins with the root id alone.
func (in *inside) guestLines(s setup, log string) outcome {
	var lines outcome
	ours := false
	for line := range strings.Lines(log) {
		line = strings.TrimSuffix(line, "\n")
		m := insideLine.FindStringSubmatch(line)
		if m == nil {
			if ours { // a text of several lines
				lines[len(lines)-1] += "\n" + line
			}
			continue
		}
		ours = false
		text, found := strings.CutPrefix(m[3], "wasm log ")
		if m[2] != "wasm" || !found {
			continue
		}
		for _, p := range s.plugins {
			for _, prefix := range p.insidePrefixes() {
				if said, found := strings.CutPrefix(text, prefix); found && !ours {
					lines, ours = append(lines, "log "+m[1]+" "+said), true
				}
			}
		}
	}
	return lines
}

func (p plugin) insidePrefixes() []string {
	root := p.root
	if root != "" {
		root = " " + root
	}
	return []string{p.label() + root + " " + vmID + ": ", strings.TrimPrefix(root+" "+vmID+": ", " ")}
}
