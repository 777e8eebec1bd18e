package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
	"github.com/extproc/extproc/server"
)

// TestManyReloads: 10,000 new configurations of plugins of both kinds leave no more
// behind than a thousand do. The module is loaded anew each time, and the component,
// whose loading takes ten times as long, in every tenth.
func TestManyReloads(t *testing.T) {
	const reloads, warm, exchangeEvery, componentEvery = 10_000, 1000, 50, 10
	dir := t.TempDir()
	o := guestOptions{cache: filepath.Join(dir, "cache"), services: host.NewServices(nil)}
	abis, free, err := guests(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = free(context.Background()) }()
	r := &plugin.Reloader{Path: filepath.Join(dir, "extproc.yaml"), ABIs: abis, Log: discard()}
	load := func(i int) {
		write(t, r.Path, fmt.Sprintf("plugins:\n- { pluginName: component, url: %s, pluginConfig: { n: %q } }\n- { pluginName: module, url: %s, pluginConfig: { n: %q } }\n",
			wasm(t, "header-rules", "c.wasm"), fmt.Sprint(i/componentEvery), wasm(t, "proxy-wasm-headers", "c", "plugin.wasm"), fmt.Sprint(i)))
		if err := r.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load(0)
	client := serveOn(t, r.Current(), filepath.Join(dir, "s"))
	var before footprint
	begin := time.Now()
	for i := 1; i <= reloads; i++ {
		load(i)
		if i%exchangeEvery == 0 {
			exchange(t, client)
		}
		if i == warm {
			before = measure(t)
		}
	}
	t.Logf("%d reloads in %v", reloads, time.Since(begin))
	after := measure(t)
	t.Logf("after %d reloads: %+v\nafter %d: %+v", warm, before, reloads, after)
	if after.goroutines > before.goroutines+5 || after.fds > before.fds+5 || after.maps > before.maps+100 || after.heap > before.heap+4<<20 {
		t.Error("that has grown")
	}
	if err := r.Current().Close(); err != nil {
		t.Error(err)
	}
}

func wasm(t testing.TB, path ...string) string {
	t.Helper()
	file, err := checkout.Path(append([]string{"envoy", "examples"}, path...)...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// serveOn serves a set and returns a client of it.
func serveOn(t *testing.T, c *plugin.Current, socket string) extprocv3.ExternalProcessorClient {
	t.Helper()
	s := grpc.NewServer(server.GRPCOptions()...)
	server.New(c, server.Options{}).Register(s)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return extprocv3.NewExternalProcessorClient(conn)
}

// exchange has an exchange seen by the plugins, whole.
func exchange(t *testing.T, client extprocv3.ExternalProcessorClient) {
	t.Helper()
	stream, err := client.Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, msg := range []*extprocv3.ProcessingRequest{
		{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: headersOf(true, ":method", "GET", ":path", "/", ":scheme", "http", ":authority", "a")}},
		{Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: headersOf(true, ":status", "200")}},
	} {
		if err := stream.Send(msg); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if no := answer.GetImmediateResponse(); no != nil {
			t.Fatalf("refused: %v", no)
		}
	}
	_ = stream.CloseSend()
	if _, err := stream.Recv(); err == nil {
		t.Fatal("an answer too many")
	}
}

// footprint is what a process has.
type footprint struct {
	heap                  uint64
	goroutines, fds, maps int
}

// measure waits until what is on its way to be freed is.
func measure(t *testing.T) footprint {
	t.Helper()
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
		time.Sleep(100 * time.Millisecond)
	}
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, c := range maps {
		if c == '\n' {
			lines++
		}
	}
	return footprint{m.HeapAlloc, runtime.NumGoroutine(), len(fds), lines}
}
