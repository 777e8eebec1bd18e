package examples_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/extproctest"
)

// plugged is a plugin of a chain.
type plugged struct {
	PluginName   string            `json:"pluginName"`
	URL          string            `json:"url"`
	PluginConfig any               `json:"pluginConfig,omitempty"`
	VMConfig     map[string]string `json:"vmConfig,omitempty"`
	Callouts     map[string]string `json:"callouts,omitempty"`
	Metadata     any               `json:"metadata_options,omitempty"`
}

func inTree(t *testing.T, elem ...string) string {
	t.Helper()
	path, err := checkout.Path(elem...)
	if err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}

// chain runs plugins behind a real Envoy.
func chain(t *testing.T, upstream string, plugins ...plugged) *extproctest.Stack {
	t.Helper()
	config, err := json.Marshal(map[string]any{"plugins": plugins}) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	return extproctest.Start(t, extproctest.Options{Config: string(config), Upstream: upstream})
}

func body(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// until asks until all words are in the answer.
func until(t *testing.T, url string, words ...string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got, missing := body(t, url), ""
		for _, word := range words {
			if !strings.Contains(got, word) {
				missing = word
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q within 30 s:\n%s", missing, got)
		}
	}
}

// TestLanguages: a proxy-wasm module in Rust puts what comes into a queue, and a
// component in another language takes it out, in one server.
func TestLanguages(t *testing.T) {
	for _, lang := range []string{"js", "python"} {
		t.Run(lang, func(t *testing.T) {
			space, queue := map[string]string{"vm_id": lang}, map[string]string{"queue": "orders"}
			stack := chain(t, "127.0.0.1:1",
				plugged{
					PluginName: "queue-producer", URL: inTree(t, "envoy", "examples", "proxy-wasm-plugins", "rust", "plugin.wasm"),
					PluginConfig: queue, VMConfig: space,
				},
				plugged{
					PluginName: "consumer", URL: inTree(t, ".tools", "guests", "services", lang+".wasm"),
					PluginConfig: queue, VMConfig: space,
				},
			)
			body(t, stack.URL+"/order?n=1")
			until(t, stack.URL+"/look", "GET /order?n=1\n", "answered /order?n=1 200\n", "ticked true\n", "text /look\n")
		})
	}
}

// TestFeatureFlags: what a timer has fetched is told the upstream, and stays when
// the service is gone.
func TestFeatureFlags(t *testing.T) {
	var flags atomic.Value
	flags.Store("dark,beta")
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/flags" {
			t.Errorf("the service was asked for %s", r.URL)
		}
		_, _ = io.WriteString(w, flags.Load().(string)+"\n")
	}))
	defer service.Close()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "flags: "+strings.Join(r.Header.Values("X-Flags"), "|")+".")
	}))
	defer upstream.Close()
	stack := chain(t, upstream.Listener.Addr().String(), plugged{
		PluginName: "flags", URL: inTree(t, "envoy", "examples", "feature-flags", "rust.wasm"),
		PluginConfig: map[string]string{"refresh-ms": "20"}, Callouts: map[string]string{"flags": service.URL},
	})
	until(t, stack.URL+"/", "flags: dark,beta.")
	flags.Store("light")
	until(t, stack.URL+"/", "flags: light.")
	service.Close()
	if got := body(t, stack.URL+"/"); got != "flags: light." {
		t.Errorf("with a service that is gone: %s", got)
	}
}

// TestQuotaOverExchanges: what one exchange has counted, the next finds.
func TestQuotaOverExchanges(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer upstream.Close()
	stack := chain(t, upstream.Listener.Addr().String(), plugged{
		PluginName: "quota", URL: inTree(t, "envoy", "examples", "quota", "rust.wasm"), PluginConfig: map[string]string{"limit": "2"},
	})
	for i, want := range []string{"ok", "ok", "the quota is used up\n"} {
		if got := body(t, stack.URL+"/"); got != want {
			t.Errorf("request %d: %q, expected %q", i+1, got, want)
		}
	}
}

// TestPropertiesOfBothKinds: what a proxy-wasm module sets a component sees, and
// the other way round.
func TestPropertiesOfBothKinds(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer upstream.Close()
	modules := inTree(t, "envoy", "examples", "proxy-wasm-plugins", "rust", "plugin.wasm")
	stack := chain(t, upstream.Listener.Addr().String(),
		plugged{PluginName: "chain", URL: modules, PluginConfig: map[string]string{"name": "m"}},
		plugged{PluginName: "component", URL: inTree(t, "internal", "guests", "services", "rust.wasm"),
			Metadata: map[string]any{"receiving_namespaces": []string{"audit"}}},
		plugged{PluginName: "properties", URL: modules, PluginConfig: map[string]any{"response": [][]string{{"mine"}}}},
	)
	want := "Some(Value::Bytes([109]))\nSome(Value::Text(\"GET\"))\nSome(Value::Text(\"127.0.0.1:"
	if got := body(t, stack.URL+"/property?chain,request.method,source.address"); !strings.HasPrefix(got, want) {
		t.Errorf("the component sees %s, expected %s", got, want)
	}
	response, err := http.Get(stack.URL + "/set-and-forward")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("x-at-response-mine"); got != `"kept"` {
		t.Errorf("the module sees %s", got)
	}
}
