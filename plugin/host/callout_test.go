package host

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// TestCallTimeoutWhileSending: a call ends in time although its request's body
// doesn't.
func TestCallTimeoutWhileSending(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Request{
		"between bytes": {BetweenBytesTimeout: 50 * time.Millisecond, Cluster: &plugin.Cluster{URL: u, HTTP2: true}},
		"whole":         {Cluster: &plugin.Cluster{URL: u, HTTP2: true, Timeout: 50 * time.Millisecond}},
		"HTTP/1.1":      {Cluster: &plugin.Cluster{URL: u, Timeout: 50 * time.Millisecond}},
	} {
		client := NewClient()
		r.Method, r.Path, r.ContentLength, r.Notify = http.MethodPost, "/", -1, func() {}
		call := client.Start(t.Context(), &r)
		settled(t, name, func() bool {
			var body plugin.Body
			_, err := call.Response()
			return err != nil && !errors.Is(err, ErrPending) || call.Receive(&body) != nil
		})
		call.Close()
		client.Close()
	}
}
