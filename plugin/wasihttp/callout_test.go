package wasihttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/extproc/extproc/internal/nametest"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// calling loads the auth-callout example, whose service is found with a zone.
func calling(t *testing.T, z *nametest.Zone, change func(*plugin.Spec)) loaded {
	t.Helper()
	own := host.NewServices(nil)
	own.Client.Resolver = z.Serve(t)
	return loadWith(t, own, example("auth-callout", "rust"), change)
}

// TestCalloutDenied: a service whose name leads to this machine is not called, and
// the operator is told.
func TestCalloutDenied(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the service was called") }))
	defer service.Close()
	_, port, _ := strings.Cut(service.Listener.Addr().String(), ":")
	m := calling(t, &nametest.Zone{Answers: [][]string{{"127.0.0.1"}}}, withCallout("auth", "http://auth.example:"+port))
	got := newProxy(t, m, get("/"), okResponse).run()
	if got.err != nil {
		t.Fatal(got.err)
	}
	got.response.has(t, ":status: 503")
	if all := strings.Join(m.logs.all(), "\n"); !strings.Contains(all, "WARN a callout was denied callout=auth error=destination-IP-prohibited") ||
		!strings.Contains(all, "127.0.0.1") || !strings.Contains(all, "allowedCIDRs") {
		t.Errorf("log: %s", all)
	}
}

// TestCalloutPlaces: a callout beyond the limit fails at once, with an error that the
// guest can deal with.
func TestCalloutPlaces(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, "ok")
	}))
	defer service.Close()
	m := calling(t, &nametest.Zone{}, func(s *plugin.Spec) {
		withCallout("auth", service.URL)(s)
		s.Limits.Callouts = 1
	})
	first := make(chan outcome)
	p := newProxy(t, m, get("/"), okResponse)
	go func() { first <- p.run() }()
	<-arrived
	second := newProxy(t, m, get("/"), okResponse).run()
	close(release)
	if second.err != nil {
		t.Fatal(second.err)
	}
	second.response.has(t, ":status: 503")
	got := <-first
	if got.err != nil {
		t.Fatal(got.err)
	}
	got.response.has(t, ":status: 200")
	if all := strings.Join(m.logs.all(), "\n"); !strings.Contains(all, "limits.callouts") {
		t.Errorf("log: %s", all)
	}
}
