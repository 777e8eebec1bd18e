package plugin_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
	"github.com/extproc/extproc/plugin/wasihttp"
)

// BenchmarkIsolatedRequest is one GET and its response through the header
// plugin in Rust, on an instance that is as fresh as if it were new, without
// the proxy's protocol.
func BenchmarkIsolatedRequest(b *testing.B) {
	ctx := context.Background()
	path, err := checkout.Path("envoy", "examples", "header-rules", "rust.wasm")
	if err != nil {
		b.Fatal(err)
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	engine, err := abi.NewEngine(ctx, abi.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer engine.Close(ctx)
	spec := &plugin.Spec{Name: "header-rules", Log: slog.New(slog.DiscardHandler), Limits: plugin.Limits{Timeout: time.Second, Instances: 4}}
	m, err := wasihttp.New(engine, host.NewServices(nil)).Load(ctx, wasm, spec)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close(ctx)

	request := fields(":method", "GET", ":scheme", "http", ":authority", "example.com", ":path", "/",
		"user-agent", "bench", "accept", "*/*", "x-secret", "s", "x-request-id", "0d3b9c5e-7e6c-4b6c-9c47-1d3c4f1c7a11")
	response := fields(":status", "200", "content-type", "text/plain", "content-length", "5", "server-secret", "s", "server", "upstream")
	b.ReportAllocs()
	for b.Loop() {
		var ex plugin.Exchange
		ex.Request = plugin.Message{Arrived: true, Original: request, NoBody: true}
		guest, err := m.Start(&ex)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := guest.Step(ctx); err != nil || !ex.Request.Released {
			b.Fatal(err, ex.Request)
		}
		ex.Response.Arrived, ex.Response.Original = true, response
		st, err := guest.Step(ctx)
		if err != nil || !st.Done || !ex.Response.Released || ex.Response.Plan != plugin.Untouched {
			b.Fatal(err, st, ex.Response)
		}
		guest.Close()
	}
}

func fields(pairs ...string) plugin.Headers {
	var h plugin.Headers
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, plugin.Field{Name: pairs[i], Value: []byte(pairs[i+1])})
	}
	return h
}
