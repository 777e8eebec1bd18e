package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// probe looks at one whole answer: what is measured must be what is said to be
// measured.
func (r *running) probe(ctx context.Context, l load) error {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.socket)
	}
	transport := &http.Transport{DialContext: dial, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!l.HTTP2)
	transport.Protocols.SetUnencryptedHTTP2(l.HTTP2)
	defer transport.CloseIdleConnections()
	method, sent := http.MethodGet, body(l.Body)
	if l.Body > 0 {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, target(l), bytes.NewReader(sent))
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	want := sent
	if r.wasm == transform {
		want = bytes.ToUpper(sent)
	}
	switch name := resp.Header.Get("X-Plugin"); {
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %s", resp.Status)
	case name != r.plugin:
		return fmt.Errorf("x-plugin is %q, expected %q", name, r.plugin)
	case !bytes.Equal(got, want):
		return fmt.Errorf("%d bytes came back for %d, expected %d, in capitals if body-transform runs", len(got), len(sent), len(want))
	}
	return nil
}

// served says whether the server has seen all exchanges: Envoy must have started a
// stream for each, and passed none without it.
func (r *running) served(ctx context.Context, exchanges int) error {
	if r.server == 0 {
		return nil
	}
	stats, err := r.envoy.ExtProcStats(ctx)
	if err != nil {
		return err
	}
	if stats["streams_started"] < uint64(exchanges) || stats["failure_mode_allowed"] > 0 || stats["streams_failed"] > 0 {
		return fmt.Errorf("%s: expected %d streams and no failure, got %v", r.name, exchanges, stats)
	}
	return nil
}
