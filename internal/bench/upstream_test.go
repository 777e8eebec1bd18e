package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/extproc/extproc/envoy"
)

// TestUpstream: requests get their bodies back, of known length or not, one after the
// other on a connection.
func TestUpstream(t *testing.T) {
	u, err := startUpstream(t.Context(), filepath.Join(t.TempDir(), "u"))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	dials := 0
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		dials++
		return new(net.Dialer).DialContext(ctx, "unix", u.Addr().String())
	}}}
	large := bytes.Repeat([]byte("large"), 100_000)
	for _, sent := range []io.Reader{nil, bytes.NewReader([]byte("small")), bytes.NewReader(large), struct{ io.Reader }{bytes.NewReader(large)}, nil} {
		var want []byte
		if seen, ok := sent.(*bytes.Reader); ok {
			want = make([]byte, seen.Len())
			_, _ = seen.ReadAt(want, 0)
		} else if sent != nil {
			want = large
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://bench/raw", sent)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if closed := resp.Body.Close(); err != nil || closed != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, want) {
			t.Errorf("%s and %d bytes for %d (%v, %v)", resp.Status, len(got), len(want), err, closed)
		}
	}
	if dials != 1 {
		t.Errorf("%d connections, expected one to last", dials)
	}
}

// TestBalanced: what is changed in an Envoy's configuration is how it deals out its
// connections.
func TestBalanced(t *testing.T) {
	boot, err := envoy.Bootstrap(envoy.Options{Listen: "unix:///e", Upstream: "unix:///u", ExtProc: "unix:///s", Admin: "127.0.0.1:0"}, envoy.Plugin{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := balanced(boot)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Admin  tree
		Static struct {
			Listeners []struct {
				Balance tree   `json:"connection_balance_config"`
				Chains  []tree `json:"filter_chains"`
			}
			Clusters []tree
		} `json:"static_resources"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	s := got.Static
	if len(got.Admin) == 0 || len(s.Listeners) != 1 || len(s.Listeners[0].Balance) != 1 || len(s.Listeners[0].Chains) != 1 || len(s.Clusters) != 2 {
		t.Errorf("%s", b)
	}
}
