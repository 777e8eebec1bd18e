package examples_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// plugin is one plugin to run, with what surrounds it.
type plugin struct {
	example, lang string
	upstream      string            // host:port of the next hop
	config        map[string]string // pluginConfig
	callouts      map[string]string // name to base URL
}

// host runs plugins between a client and an upstream.
type host interface {
	// start serves a plugin until the test ends. Requests go to the base URL it returns, by the client it returns, with the upstream's
	// address as their Host.
	start(t *testing.T, p plugin) (baseURL string, client *http.Client)
}

// message is a request or a response: as it is sent, or as it has to arrive.
type message struct {
	line     string   // "POST /path", or nothing in a response
	status   int      // of a response; 0 stands for 200
	headers  []string // "name: value"; where it arrives, all values of the names that occur, in order
	absent   []string // names of headers and trailers that must not arrive
	body     []byte
	trailers []string // as headers; one without a value is announced and not sent
}

// exchange is one request and its response, at both ends of a plugin.
type exchange struct {
	name    string
	send    message
	arrives *message // at the upstream; nil if the request must not reach it
	reply   message
	returns message
}

// upstream records what arrives and replies with what the current exchange says.
type upstream struct {
	*httptest.Server
	mu      sync.Mutex
	reply   message
	arrived []received
}

// received is a request or a response as it came in.
type received struct {
	line, host        string
	status            int
	headers, trailers http.Header
	body              []byte
	err               error
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{}
	u.Server = httptest.NewUnstartedServer(u)
	u.Config.Protocols = new(http.Protocols)
	u.Config.Protocols.SetHTTP1(true)
	u.Config.Protocols.SetUnencryptedHTTP2(true)
	u.Start()
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) address() string { return u.Listener.Addr().String() }

func (u *upstream) expect(reply message) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reply, u.arrived = reply, nil
}

func (u *upstream) requests() []received {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.arrived
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	u.mu.Lock()
	reply := u.reply
	u.arrived = append(u.arrived, received{
		line: r.Method + " " + r.RequestURI, host: r.Host, headers: r.Header, trailers: r.Trailer, body: body, err: err,
	})
	u.mu.Unlock()

	addAll(w.Header(), reply.headers)
	for _, field := range reply.trailers {
		name, _, _ := strings.Cut(field, ": ")
		w.Header().Add("Trailer", name)
	}
	w.WriteHeader(max(reply.status, http.StatusOK))
	_, _ = w.Write(reply.body)
	addAll(w.Header(), reply.trailers)
}

// run sends the request of an exchange through a plugin and checks both ends.
func (e exchange) run(t *testing.T, client *http.Client, baseURL string, u *upstream) {
	u.expect(e.reply)
	got := roundTrip(t, client, baseURL, u.address(), e.send)
	if want := max(e.returns.status, http.StatusOK); got.status != want {
		t.Errorf("client: status %d, want %d", got.status, want)
	}
	e.returns.check(t, "client", got)

	requests := u.requests()
	switch {
	case e.arrives == nil && len(requests) != 0:
		t.Errorf("upstream: %q arrived, want no request", requests[0].line)
	case e.arrives != nil && len(requests) != 1:
		t.Errorf("upstream: %d requests arrived, want 1", len(requests))
	case e.arrives != nil:
		r := requests[0]
		if r.line != e.arrives.line {
			t.Errorf("upstream: request line %q, want %q", r.line, e.arrives.line)
		}
		if r.host != u.address() {
			t.Errorf("upstream: authority %q, want %q", r.host, u.address())
		}
		e.arrives.check(t, "upstream", r)
	}
}

func roundTrip(t *testing.T, client *http.Client, baseURL, authority string, m message) received {
	t.Helper()
	method, path, _ := strings.Cut(m.line, " ")
	target, err := url.Parse(baseURL + path)
	if err != nil {
		t.Fatal(err)
	}
	request := &http.Request{Method: method, URL: target, Host: authority, Header: http.Header{}}
	addAll(request.Header, m.headers)
	if m.body != nil {
		request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(m.body)), int64(len(m.body))
	}
	if m.trailers != nil {
		request.Trailer, request.ContentLength = http.Header{}, -1
		addAll(request.Trailer, m.trailers)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return received{status: response.StatusCode, headers: response.Header, trailers: response.Trailer, body: body, err: err}
}

func (m message) check(t *testing.T, where string, got received) {
	t.Helper()
	if got.err != nil {
		t.Errorf("%s: reading the body: %v", where, got.err)
	}
	if !bytes.Equal(got.body, m.body) {
		t.Errorf("%s: body of %d bytes %.60q, want %d bytes %.60q", where, len(got.body), got.body, len(m.body), m.body)
	}
	checkFields(t, where+": header", got.headers, m.headers)
	checkFields(t, where+": trailer", got.trailers, m.trailers)
	for _, name := range m.absent {
		if values := append(got.headers.Values(name), got.trailers.Values(name)...); len(values) != 0 {
			t.Errorf("%s: %s: %q, want none", where, name, values)
		}
	}
}

func checkFields(t *testing.T, what string, got http.Header, fields []string) {
	t.Helper()
	want := http.Header{}
	addAll(want, fields)
	for name, values := range want {
		if !slices.Equal(got[name], values) {
			t.Errorf("%s %s: %q, want %q", what, name, got[name], values)
		}
	}
}

func addAll(to http.Header, fields []string) {
	for _, field := range fields {
		if name, value, found := strings.Cut(field, ": "); found {
			to.Add(name, value)
		} else {
			to[http.CanonicalHeaderKey(name)] = nil
		}
	}
}
