package server

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// TestEnvoyLocal: a local response reaches the client as it is written.
func TestEnvoyLocal(t *testing.T) { overBoth(t, testEnvoyLocal) }

func testEnvoyLocal(t *testing.T, frames bool) {
	p := behind(t, setup{frames: frames})
	large := strings.Repeat("a piece of a body. ", 100_000)
	for name, client := range map[string]*http.Client{"HTTP/1.1": p.http1, "HTTP/2": p.http2} {
		t.Run(name, func(t *testing.T) {
			p.ticks(t, client)
			got := p.ask(t, client, asked{path: "/", do: "local-echo", body: large})
			equal(t, got.err, nil)
			equal(t, got.body == large, true)
			got = p.ask(t, client, asked{path: "/", do: "local-events", body: large})
			equal(t, got.err, nil)
			equal(t, got.body, "data: 0data: 1data: 2")
			equal(t, got.header.Get("content-length"), "")
			got = p.ask(t, client, asked{path: "/", do: "local-events", method: http.MethodHead})
			equal(t, got.err, nil)
			equal(t, got.status, 200)
			got = p.ask(t, client, asked{path: "/", do: "local-trailers"})
			equal(t, got.err, nil)
			equal(t, got.body, "abc")
			equal(t, got.trailer.Get("x-sum"), "1")
			got = p.ask(t, client, asked{path: "/", do: "local-large"})
			equal(t, got.err, nil)
			equal(t, len(got.body), 3<<20)
		})
	}
	p.noneSpurious(t)
}

// TestEnvoyLocalBroken: a local response that breaks off does not look whole,
// whatever the fail strategy.
func TestEnvoyLocalBroken(t *testing.T) {
	for _, strategy := range []plugin.FailStrategy{plugin.FailClose, plugin.FailOpen} {
		p := behindEnvoy(t, strategy)
		for _, client := range []*http.Client{p.http1, p.http2} {
			for _, do := range []string{"local-breaks", "local-reads-late"} {
				got := p.ask(t, client, asked{path: "/", do: do, body: "abc"})
				if got.err == nil {
					t.Errorf("%v, %s: the client got %d, %q", strategy, do, got.status, got.body)
				}
			}
		}
	}
}

// ticks checks that each event is there before the next is written.
func (p *proxied) ticks(t *testing.T, c *http.Client) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Do", "local-ticks")
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for i := range cap(ticks) {
		ticks <- struct{}{}
		buf := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "tick\n" {
			t.Fatalf("tick %d: %q and %v", i, buf, err)
		}
	}
	ticks <- struct{}{}
	rest, err := io.ReadAll(resp.Body)
	equal(t, err, nil)
	equal(t, string(rest), "end")
}

// TestEnvoyLocalGone: a guest whose client has gone while it writes is ended.
func TestEnvoyLocalGone(t *testing.T) {
	p := behindEnvoy(t, plugin.FailClose)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Do", "local-long")
	req.Header.Set("X-Writes", "1000000000")
	resp, err := p.http1.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for end := time.Now().Add(time.Minute); p.module.live.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the guest is still at work")
		}
	}
}
