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
	"github.com/extproc/extproc/plugin/proxywasm"
	"github.com/extproc/extproc/plugin/wasihttp"
)

// headerRules are plugins that change headers of both messages, by kind.
var headerRules = []struct {
	name string
	path []string
	load func(testing.TB, []byte, *plugin.Spec) (plugin.Module, error)
}{
	{"component/rust", []string{"header-rules", "rust.wasm"}, component},
	{"component/c", []string{"header-rules", "c.wasm"}, component},
	{"module/c", []string{"proxy-wasm-headers", "c", "plugin.wasm"}, module},
}

func component(tb testing.TB, wasm []byte, spec *plugin.Spec) (plugin.Module, error) {
	ctx := context.Background()
	engine, err := abi.NewEngine(ctx, abi.Config{})
	if err != nil {
		return nil, err
	}
	tb.Cleanup(func() { engine.Close(ctx) })
	return wasihttp.New(engine, host.NewServices(nil)).Load(ctx, wasm, spec)
}

func module(tb testing.TB, wasm []byte, spec *plugin.Spec) (plugin.Module, error) {
	ctx := context.Background()
	modules, err := proxywasm.New(ctx, proxywasm.Config{})
	if err != nil {
		return nil, err
	}
	tb.Cleanup(func() { modules.Close(ctx) })
	return modules.Load(ctx, wasm, spec)
}

// rulesExchange returns one GET and its response through a chain of one of the
// headerRules, without the proxy's protocol.
func rulesExchange(tb testing.TB, rules int) func() {
	tb.Helper()
	r := headerRules[rules]
	path, err := checkout.Path(append([]string{"envoy", "examples"}, r.path...)...)
	if err != nil {
		tb.Fatal(err)
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	spec := &plugin.Spec{Name: "header-rules", Log: slog.New(slog.DiscardHandler), Limits: plugin.Limits{Timeout: time.Second, Instances: 4}}
	m, err := r.load(tb, wasm, spec)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { m.Close(context.Background()) })

	request := fields(":method", "GET", ":scheme", "http", ":authority", "example.com", ":path", "/",
		"user-agent", "bench", "accept", "*/*", "x-secret", "s", "x-request-id", "0d3b9c5e-7e6c-4b6c-9c47-1d3c4f1c7a11")
	response := fields(":status", "200", "content-type", "text/plain", "content-length", "5", "server-secret", "s", "server", "upstream")
	plugins := []*plugin.Plugin{plugin.NewPlugin(spec, m)}
	var ex plugin.Exchange
	var chain plugin.Chain
	step := func(m *plugin.Message, original plugin.Headers, noBody bool) {
		m.Arrived, m.Original, m.NoBody = true, original, noBody
		if err := chain.Step(context.Background()); err != nil {
			tb.Fatal(err)
		}
		added, _ := m.Headers.Get("x-plugin")
		if !m.Released || m.Plan != plugin.Untouched || len(added) == 0 {
			tb.Fatalf("%+v", m)
		}
	}
	return func() {
		ex = plugin.Exchange{}
		chain.Init(&ex, plugins, plugin.Bounds{Queued: 1 << 20, Buffered: 16 << 20}, deaf{})
		step(&ex.Request, request, true)
		step(&ex.Response, response, false)
		chain.Close()
	}
}

type deaf struct{}

func (deaf) Started(int)                      {}
func (deaf) Ran(int, time.Duration)           {}
func (deaf) Renewed(int, plugin.Renewal)      {}
func (deaf) Failed(int, error, plugin.Remedy) {}

// BenchmarkHeaderRules is one exchange, on an instance that is as fresh as if it
// were new in the case of components.
func BenchmarkHeaderRules(b *testing.B) {
	for i := range headerRules {
		b.Run(headerRules[i].name, func(b *testing.B) {
			exchange := rulesExchange(b, i)
			b.ReportAllocs()
			for b.Loop() {
				exchange()
			}
		})
	}
}

func fields(pairs ...string) plugin.Headers {
	var h plugin.Headers
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, plugin.Field{Name: pairs[i], Value: []byte(pairs[i+1])})
	}
	return h
}
