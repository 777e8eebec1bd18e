package examples_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/extproctest"
)

// service is a plugin of a chain.
type service struct {
	PluginName   string            `json:"pluginName"`
	URL          string            `json:"url"`
	PluginConfig map[string]string `json:"pluginConfig,omitempty"`
	VMConfig     map[string]string `json:"vmConfig,omitempty"`
	Callouts     map[string]string `json:"callouts,omitempty"`
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
func chain(t *testing.T, upstream string, plugins ...service) *extproctest.Stack {
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
				service{"queue-producer", inTree(t, "envoy", "examples", "proxy-wasm-plugins", "rust", "plugin.wasm"), queue, space, nil},
				service{"consumer", inTree(t, ".tools", "guests", "services", lang+".wasm"), queue, space, nil},
			)
			body(t, stack.URL+"/order?n=1")
			until(t, stack.URL+"/look", "GET /order?n=1\n", "answered /order?n=1 200\n", "ticked true\n", "text /look\n")
		})
	}
}
