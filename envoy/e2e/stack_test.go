// Package e2e sends real traffic through a real Envoy and extproc.
package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/extproctest"
	"github.com/extproc/extproc/internal/guests"
	"github.com/extproc/extproc/internal/upstream"
)

// fields are further fields of a plugin's configuration.
type fields map[string]any

// example is the path of an example's component in Rust.
func example(t *testing.T, name string) string {
	t.Helper()
	path, err := checkout.Path("envoy", "examples", name, "rust.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// guest is the path of a component that misbehaves.
func guest(t *testing.T, name string) string {
	t.Helper()
	return guests.Path(t, name)
}

// config is the configuration of one plugin. JSON is YAML.
func config(t *testing.T, wasm string, more fields) string {
	t.Helper()
	entry := fields{"pluginName": "test", "url": "file://" + wasm}
	maps.Copy(entry, more)
	text, err := json.Marshal(fields{"plugins": []any{entry}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// start runs upstream, extproc with one plugin and Envoy until the test ends.
func start(t *testing.T, wasm string, more fields) *extproctest.Stack {
	t.Helper()
	return extproctest.Start(t, extproctest.Options{
		Config: config(t, wasm, more), Upstream: startUpstream(t).Address,
	})
}

func startUpstream(t *testing.T) *upstream.Server {
	t.Helper()
	up, err := upstream.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = up.Close() })
	return up
}

// client speaks one version of HTTP only.
func client(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), MaxIdleConnsPerHost: 64}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// clients are one for each version of HTTP.
func clients(t *testing.T) map[string]*http.Client {
	t.Helper()
	return map[string]*http.Client{"HTTP1": client(t, false), "HTTP2": client(t, true)}
}

// answer is a whole response.
type answer struct {
	status   int
	header   http.Header
	trailer  http.Header
	body     string
	declared int64 // content-length, -1 if there was none
}

// ask sends a request and reads the whole answer.
func ask(t *testing.T, c *http.Client, method, url, body string) (answer, error) {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, resp.Trailer, string(text), resp.ContentLength}, err
}

// get is ask for a GET that must succeed.
func get(t *testing.T, c *http.Client, url string) answer {
	t.Helper()
	a, err := ask(t, c, http.MethodGet, url, "")
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", url, a.status, a.body)
	}
	return a
}

// memory is a line of a process's memory status, such as VmHWM (peak) or VmRSS,
// in bytes.
func memory(t *testing.T, pid int, line string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(l, line+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal(errors.New("no " + line + " in the memory status"))
	return 0
}
