package examples_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/extproctest"
)

// behindEnvoy runs plugins in extproc behind a real Envoy, for clients of one
// version of HTTP.
type behindEnvoy struct{ http2 bool }

func (h behindEnvoy) start(t *testing.T, p plugin) (string, *http.Client) {
	t.Helper()
	wasm, err := checkout.Path("envoy", "examples", p.example, p.lang+".wasm")
	if err != nil {
		t.Fatal(err)
	}
	entry := map[string]any{"pluginName": p.example, "url": "file://" + wasm}
	if p.config != nil {
		entry["pluginConfig"] = p.config
	}
	if p.callouts != nil {
		entry["callouts"] = p.callouts
	}
	// JSON is YAML.
	config, err := json.Marshal(map[string]any{"plugins": []any{entry}})
	if err != nil {
		t.Fatal(err)
	}
	stack := extproctest.Start(t, extproctest.Options{Config: string(config), Upstream: p.upstream})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!h.http2)
	transport.Protocols.SetUnencryptedHTTP2(h.http2)
	t.Cleanup(transport.CloseIdleConnections)
	return stack.URL, &http.Client{Transport: transport, CheckRedirect: asItIs}
}

func TestEnvoyHTTP1(t *testing.T) {
	run(t, behindEnvoy{}, nil)
}

func TestEnvoyHTTP2(t *testing.T) {
	run(t, behindEnvoy{http2: true}, nil)
}
