package matrix

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/envoytest"
	"github.com/extproc/extproc/internal/extprocrun"
	"github.com/extproc/extproc/internal/extproctest"
	"github.com/extproc/extproc/internal/guests"
)

const (
	requestBody  = "what the client says"
	responseBody = "what the upstream says"
)

// seen is a message as it came to one of its ends.
type seen struct {
	status        int
	mark, changed string // x-extproc-failure or x-answered; x-changed
	body          string
	trailer, last string // x-trailer and x-changed of the trailers
	err           error
}

// upstream answers and keeps what has come, by the cell's id.
type upstream struct {
	mu   sync.Mutex
	came map[string]seen
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	u.mu.Lock()
	u.came[r.Header.Get("X-Cell")] = seen{
		changed: r.Header.Get("X-Changed"), body: string(body), err: err,
		trailer: r.Trailer.Get("X-Trailer"), last: r.Trailer.Get("X-Changed"),
	}
	u.mu.Unlock()
	trailers := r.Header.Get("X-Trailers") != ""
	if trailers {
		w.Header().Set("Trailer", "X-Trailer")
	}
	_, _ = io.WriteString(w, responseBody)
	_ = http.NewResponseController(w).Flush()
	if trailers {
		w.Header().Set("X-Trailer", "of the response")
	}
}

// stack is a client's way to the upstream.
type stack struct {
	urls     map[bool]string // by allow_mode_override
	clients  map[bool]*http.Client
	upstream *upstream
	spurious func() uint64
}

func start(t *testing.T) *stack {
	t.Helper()
	s := &stack{urls: map[bool]string{}, clients: map[bool]*http.Client{}, upstream: &upstream{came: map[string]seen{}}}
	server := httptest.NewServer(s.upstream)
	t.Cleanup(server.Close)
	extproc := envoytest.FreeAddress(t)
	serve(t, extproc)
	listeners := map[bool]string{true: envoytest.FreeAddress(t), false: envoytest.FreeAddress(t)}
	e := envoytest.Start(t, bootstrap(t, listeners, server.Listener.Addr().String(), extproc))
	for override, address := range listeners {
		s.urls[override] = "http://" + address
	}
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true, DialContext: new(net.Dialer).DialContext, MaxIdleConnsPerHost: 32}
		transport.Protocols.SetHTTP1(!http2)
		transport.Protocols.SetUnencryptedHTTP2(http2)
		t.Cleanup(transport.CloseIdleConnections)
		s.clients[http2] = &http.Client{Transport: transport}
	}
	s.spurious = func() uint64 {
		stats, err := e.ExtProcStats(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		return stats["spurious_msgs_received"]
	}
	return s
}

// serve runs extproc with both guests under both policies, each a set of its own.
func serve(t *testing.T, address string) {
	t.Helper()
	var plugins, routes []any
	for _, set := range sets {
		kind, policy, _ := strings.Cut(set, "-")
		wasm := guests.Path(t, "matrix")
		if kind == "module" {
			wasm = filepath.Join(filepath.Dir(filepath.Dir(wasm)), "matrix-module", "rust", "plugin.wasm")
		}
		entry := obj{
			"pluginName": set, "url": "file://" + wasm,
			"failStrategy": map[string]string{"close": "FAIL_CLOSE", "open": "FAIL_OPEN"}[policy],
		}
		if kind == "module" {
			entry["isolation"] = "stream" // a trap takes its VM along
		}
		plugins = append(plugins, entry)
		routes = append(routes, obj{"name": set, "plugins": []string{set}})
	}
	text, err := json.Marshal(obj{"plugins": plugins, "routes": routes})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "extproc.yaml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := extprocrun.Start(t.Context(), extprocrun.Options{
		Binary: extproctest.Binary(t), Config: config, Address: address, Dir: dir,
		Args: []string{"--grpc-health-port", "0", "--metrics-port", "0", "--message-timeout", "3s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
}

// play has one exchange and says what both ends have seen.
func (s *stack) play(ctx context.Context, c cell, id string) (client, up seen) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	url := fmt.Sprintf("%s/%s/%s/", s.urls[c.override], c.mode.name(), c.set)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, struct{ io.Reader }{strings.NewReader(requestBody)})
	if err != nil {
		return seen{err: err}, seen{}
	}
	req.Header.Set("X-Do", c.do())
	req.Header.Set("X-Cell", id)
	if c.mode.trailers == "SEND" {
		req.Header.Set("Te", "trailers")
		req.Header.Set("X-Trailers", "1")
		req.Trailer = http.Header{"X-Trailer": {"of the request"}}
	}
	resp, err := s.clients[c.http2].Do(req)
	if err != nil {
		return seen{err: err}, s.upstream.take(id)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	client = seen{
		status:  resp.StatusCode,
		mark:    cmp.Or(resp.Header.Get("X-Extproc-Failure"), resp.Header.Get("X-Answered")),
		changed: resp.Header.Get("X-Changed"), body: string(body), err: err,
		trailer: resp.Trailer.Get("X-Trailer"), last: resp.Trailer.Get("X-Changed"),
	}
	return client, s.upstream.take(id)
}

func (u *upstream) take(id string) seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.came[id]
}

// outcomeOf says what became of an exchange, or what makes no sense in what was seen.
func outcomeOf(c cell, client, up seen) outcome {
	switch {
	case client.err != nil:
		return cut
	case client.status == http.StatusServiceUnavailable && client.mark == "1" && client.body == "":
		return refused
	case client.status == http.StatusTeapot && client.mark == c.phase && strings.HasPrefix(client.body, "answered by the guest"):
		return answered
	case client.status != http.StatusOK || client.mark != "":
		return outcome(fmt.Sprintf("status %d, mark %q", client.status, client.mark))
	}
	wantUp, wantClient := seen{body: requestBody}, seen{body: responseBody, status: http.StatusOK}
	if c.mode.trailers == "SEND" {
		wantUp.trailer, wantClient.trailer = "of the request", "of the response"
	}
	if client == wantClient && up == wantUp {
		return passes
	}
	at := map[string]*seen{"request": &wantUp, "response": &wantClient}[c.direction()]
	switch {
	case at == nil:
	case c.part() == "headers":
		at.changed = c.phase
	case c.part() == "body":
		at.body = strings.ToUpper(at.body)
	default:
		at.last = c.phase
	}
	if client == wantClient && up == wantUp {
		return changed
	}
	return outcome(fmt.Sprintf("upstream %+v, client %+v", up, client))
}

// TestMatrix plays the cells of all modes and compares what becomes of each with the rules.
func TestMatrix(t *testing.T) {
	s := start(t)
	var mu sync.Mutex
	counts, ran := map[outcome]int{}, 0
	var wait sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, m := range modes {
		for _, override := range m.overrides() {
			for i, c := range cells(m, override) {
				slots <- struct{}{}
				wait.Go(func() {
					defer func() { <-slots }()
					client, up := s.play(t.Context(), c, fmt.Sprint(m.name(), override, i))
					got, want := outcomeOf(c, client, up), expected(c)
					mu.Lock()
					defer mu.Unlock()
					ran++
					counts[got]++
					if !slices.Contains(want, got) {
						t.Errorf("%s, override %v, %s, HTTP/2 %v, %s: %s, expected %v", m.name(), override, c.set, c.http2, c.do(), got, want)
					}
				})
			}
		}
	}
	wait.Wait()
	if n := s.spurious(); n != 0 {
		t.Errorf("Envoy has counted %d spurious messages", n)
	}
	t.Logf("%d cells: %d passed, %d changed, %d answered, %d refused, %d cut", ran,
		counts[passes], counts[changed], counts[answered], counts[refused], counts[cut])
}
