package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/extproc/extproc/envoy"
	"github.com/extproc/extproc/internal/checkout"
)

// tree is decoded YAML.
type tree = map[string]any

// configuration is that of an Envoy, with listeners as far as they matter.
type configuration[Listener any] struct {
	Admin  tree `yaml:"admin" json:"admin"`
	Static struct {
		Listeners []Listener `yaml:"listeners" json:"listeners"`
		Clusters  []tree     `yaml:"clusters" json:"clusters"`
	} `yaml:"static_resources" json:"static_resources"`
}

// withoutServer is the configuration that the others have, but with Envoy's own wasm
// filter where theirs is ext_proc, or with none.
func withoutServer(where envoy.Options, wasm string) ([]byte, error) {
	generated, err := envoy.Bootstrap(where, envoy.Plugin{})
	if err != nil {
		return nil, err
	}
	var boot configuration[struct {
		Name    string `yaml:"name" json:"name"`
		Address tree   `yaml:"address" json:"address"`
		Chains  []struct {
			Filters []struct {
				Name   string `yaml:"name" json:"name"`
				Config tree   `yaml:"typed_config" json:"typed_config"`
			} `yaml:"filters" json:"filters"`
		} `yaml:"filter_chains" json:"filter_chains"`
	}]
	if err := yaml.Unmarshal(generated, &boot); err != nil {
		return nil, err
	}
	manager := boot.Static.Listeners[0].Chains[0].Filters[0].Config
	filters, ok := manager["http_filters"].([]any)
	if !ok || len(filters) != 2 || len(boot.Static.Clusters) != 2 {
		return nil, fmt.Errorf("expected ext_proc and the router, and their two clusters, in\n%s", generated)
	}
	filters, boot.Static.Clusters = filters[1:], boot.Static.Clusters[:1]
	if wasm != "" {
		path, err := checkout.Path(filepath.FromSlash(wasm))
		if err != nil {
			return nil, err
		}
		filters = append([]any{inside(path)}, filters...)
	}
	manager["http_filters"] = filters
	return json.Marshal(boot) // JSON is YAML
}

// inside is Envoy's wasm filter.
func inside(path string) tree {
	return tree{
		"name": "envoy.filters.http.wasm",
		"typed_config": tree{
			"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
			"config": tree{
				"name":      "bench",
				"vm_config": tree{"runtime": "envoy.wasm.runtime.v8", "code": tree{"local": tree{"filename": path}}},
			},
		},
	}
}

// balanced has Envoy deal its connections out to its workers. All would be one worker's
// otherwise, as nobody else does it for a Unix socket, and the other processor idle.
func balanced(generated []byte) ([]byte, error) {
	var boot configuration[tree]
	if err := yaml.Unmarshal(generated, &boot); err != nil {
		return nil, err
	}
	for _, l := range boot.Static.Listeners {
		l["connection_balance_config"] = tree{"exact_balance": tree{}}
	}
	return json.Marshal(boot)
}
