package examples_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/extproc/extproc/internal/guests"
)

// reference runs plugins under `wasmtime serve`, where the request's authority is the next hop.
type reference struct{}

// wasmtimeDeviates names the exchanges that wasmtime's host can't carry, and why.
var wasmtimeDeviates = map[string]string{
	"trailers/values that are already there": "over HTTP/1.1 it sends the last value of a trailer alone",
}

func (reference) start(t *testing.T, p plugin) (string, *http.Client) {
	var flags []string
	for key, value := range p.config {
		flags = append(flags, "-S", "config-var="+key+"="+value)
	}
	for _, base := range p.callouts {
		// There is no map from a callout's name to its address here: the plugin has to be told the address itself.
		service, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "-S", "config-var=authority="+service.Host)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	server := guests.Serve(t, p.example+"/"+p.lang+".wasm", flags...)
	return server.URL, &http.Client{Transport: transport, CheckRedirect: asItIs}
}

// asItIs lets the client see a redirection instead of following it.
func asItIs(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func TestWasmtime(t *testing.T) {
	run(t, reference{}, wasmtimeDeviates)
}

func TestWasmtimeStreams(t *testing.T) {
	streams(t, reference{})
}

func TestWasmtimeBroken(t *testing.T) {
	broken(t, reference{})
}
