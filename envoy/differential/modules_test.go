package differential_test

import (
	"os"
	"testing"

	"go.yaml.in/yaml/v3"
)

// modules are all modules of the tree with what is sent through them.
func modules(t *testing.T) []group {
	t.Helper()
	rustWasm, goWasm := example(t, "proxy-wasm-plugins", "rust", "plugin.wasm"), example(t, "proxy-wasm-plugins", "go", "plugin.wasm")
	return []group{
		{name: "waf", setups: waf(t)}, // first, for it takes longest to compile
		{name: "c", setups: of(example(t, "proxy-wasm-headers", "c", "plugin.wasm"), shared[:1])},
		{name: "assemblyscript", setups: of(example(t, "proxy-wasm-headers", "assemblyscript", "plugin.wasm"), shared[:1])},
		{name: "rust", setups: of(rustWasm, rust)},
		{name: "go", setups: of(goWasm, golang)},
		{name: "mixed", setups: mixed(goWasm, rustWasm)},
	}
}

// of says that setups are of one module.
func of(wasm string, setups []setup) []setup {
	all := make([]setup, len(setups))
	for i, s := range setups {
		plugins := make([]plugin, len(s.plugins))
		for j, p := range s.plugins {
			p.wasm = wasm
			plugins[j] = p
		}
		s.plugins = plugins
		all[i] = s
	}
	return all
}

// shared are the plugins that the modules in Rust and Go both have. The first is in every module.
var shared = []setup{
	{name: "headers", plugins: []plugin{{root: "headers"}}, exchanges: headers},
	{name: "body", plugins: []plugin{{root: "body"}}, exchanges: bodies},
	{name: "body-too-large", plugins: []plugin{{name: "too-large", root: "body"}}, exchanges: tooLarge},
	{name: "auth-callout", plugins: []plugin{{root: "auth-callout"}}, callouts: []string{"auth"}, exchanges: authCallout},
	{name: "auth-gone", plugins: []plugin{{name: "auth-gone", root: "auth-callout", config: `{"cluster":"gone"}`}}, callouts: []string{"gone"}, exchanges: authGone},
	{name: "auth-nowhere", plugins: []plugin{{name: "auth-nowhere", root: "auth-callout", config: `{"cluster":"nowhere"}`}}, callouts: []string{"auth"}, exchanges: authNowhere},
	{name: "rate-limit", plugins: []plugin{{root: "rate-limit", config: `{"limit":2,"window":3600000}`}}, exchanges: rateLimit},
	{name: "queue", plugins: []plugin{{root: "queue-consumer"}, {root: "queue-producer"}}, exchanges: queue},
	{name: "tick", plugins: []plugin{{root: "tick", config: `{"period":20,"count":3}`}}, started: []string{"log info tick: 1", "log info tick: 2", "log info tick: 3"}, exchanges: ticks},
	{name: "metrics", plugins: []plugin{{root: "metrics"}}, exchanges: metrics,
		metrics: map[string]float64{"plugin_requests": 2, "plugin_active": 0, "plugin_sizes_count": 2}},
	{name: "local-response", plugins: []plugin{{root: "local-response"}}, exchanges: localResponse},
	{name: "properties", plugins: []plugin{{root: "properties", config: propertiesConfig}}, exchanges: properties},
	{name: "chain", plugins: []plugin{
		{name: "first", root: "chain", config: `{"name":"first"}`},
		{name: "second", root: "chain", config: `{"name":"second"}`},
	}, exchanges: chain},
}

var rust = append([]setup{
	{name: "trailers", plugins: []plugin{{root: "trailers"}}, exchanges: trailers},
	{name: "calls", plugins: []plugin{{root: "calls", config: "12345"}}, exchanges: calls,
		started: []string{"log info calls: vm start, 0 bytes of configuration", "log info calls: configure, 5 bytes of configuration"}},
}, shared...)

var golang = append([]setup{
	{name: "json-check", plugins: []plugin{{root: "json-check"}}, exchanges: jsonCheck},
}, shared...)

// mixed are chains of two modules.
func mixed(golang, rust string) []setup {
	return []setup{{name: "chain", plugins: []plugin{
		{wasm: golang, name: "first", root: "chain", config: `{"name":"first"}`},
		{wasm: rust, name: "second", root: "chain", config: `{"name":"second"}`},
	}, exchanges: chain}}
}

// waf is the firewall with the rules of its example.
func waf(t *testing.T) []setup {
	t.Helper()
	text, err := os.ReadFile(example(t, "proxy-wasm-waf", "extproc.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Plugins []struct {
			PluginConfig string `yaml:"pluginConfig"`
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	return []setup{{name: "waf", plugins: []plugin{
		{wasm: example(t, "proxy-wasm-waf", "go", "plugin.wasm"), root: "waf", config: config.Plugins[0].PluginConfig},
	}, exchanges: firewall}}
}
