package host

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"testing"

	"github.com/extproc/extproc/plugin"
)

// TestServices: plugins share data, queues and metrics, but not each other's
// clusters.
func TestServices(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	services := NewServices(nil)
	defer services.Client.Close()
	a := using(t, services, &plugin.Spec{Callouts: map[string]*plugin.Cluster{"c": {URL: u}}})
	b := using(t, services, &plugin.Spec{Callouts: map[string]*plugin.Cluster{"d": {URL: u}}})
	_ = a.Data.Put(t.Context(), "k", []byte("v"), Always)
	if e, _ := b.Data.Get(t.Context(), "k"); string(e.Value) != "v" {
		t.Errorf("b sees %q", e.Value)
	}
	if r := answer(t, a.Callouts, get("/")); string(r.Body) != "ok" {
		t.Errorf("%q %v", r.Body, r.Err)
	}
	for _, other := range []*Services{b, services} {
		if _, err := other.Callouts.HTTP(get("/"), nil); !errors.Is(err, ErrUnknownCluster) {
			t.Errorf("another plugin's cluster: %v", err)
		}
	}
	a.Callouts.Close()
	if _, err := a.Callouts.HTTP(get("/"), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	request := get("/")
	request.Cluster = "d"
	if r := answer(t, b.Callouts, request); string(r.Body) != "ok" {
		t.Errorf("after the other plugin was closed: %q %v", r.Body, r.Err)
	}
}

func using(t *testing.T, s *Services, spec *plugin.Spec) *Services {
	t.Helper()
	own, err := s.For(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	return own
}

// TestReloads: plugins that come and go leave nothing behind, also with ever
// other certificates.
func TestReloads(t *testing.T) {
	s := serve(t, false, func(http.ResponseWriter, *http.Request) {})
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	services := NewServices(nil)
	before := runtime.NumGoroutine()
	for i := range 1000 {
		own := using(t, services, &plugin.Spec{Callouts: map[string]*plugin.Cluster{"c": {URL: u, TLS: plugin.TLS{ServerName: fmt.Sprint(i % 500)}}}})
		if r := answer(t, own.Callouts, get("/")); r.Err != nil {
			t.Fatal(r.Err)
		}
		own.Close()
	}
	if n := len(services.Client.transports.all); n > maxTransports {
		t.Errorf("%d transports", n)
	}
	services.Client.Close()
	settled(t, "goroutines", func() bool { return runtime.NumGoroutine() <= before+2 })
}

func TestTransports(t *testing.T) {
	client := NewClient()
	defer client.Close()
	of := func(c plugin.Cluster, http2 bool) *http.Transport {
		t.Helper()
		found, err := client.transport(&c, http2)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	plain := of(plugin.Cluster{}, false)
	if of(plugin.Cluster{}, false) != plain || of(plugin.Cluster{HTTP2: true}, false) != of(plugin.Cluster{}, true) {
		t.Error("connections are not shared")
	}
	if of(plugin.Cluster{}, true) == plain || of(plugin.Cluster{TLS: plugin.TLS{ServerName: "x"}}, false) == plain {
		t.Error("connections of two kinds are shared")
	}
	if _, err := client.transport(&plugin.Cluster{TLS: plugin.TLS{CA: "x"}}, false); err == nil {
		t.Error("a bad certificate is accepted")
	}
}

// TestHTTP2Aborts: streams that are reset before and in the middle of a response.
func TestHTTP2Aborts(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			_, _ = io.WriteString(w, "abc")
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	c := calling(t, plugin.Cluster{HTTP2: true}, s.URL, CalloutLimits{})
	if r := answer(t, c, get("/")); r.Err == nil || value(r.Headers, ":status") != "503" {
		t.Errorf("%v %s", r.Err, r.Headers)
	}
	if r := answer(t, c, get("/late")); r.Err == nil || r.Headers != nil || r.Body != nil {
		t.Errorf("%v %s %q", r.Err, r.Headers, r.Body)
	}
}
