package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/internal/extprocrun"
	"github.com/extproc/extproc/internal/extproctest"
	"github.com/extproc/extproc/internal/storetest"
)

// replica is an extproc process and a proxy's connection to it.
type replica struct {
	process *extprocrun.Process
	client  extprocv3.ExternalProcessorClient
}

// replicate starts an extproc of its own with a configuration.
func replicate(t *testing.T, config string) *replica {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "extproc.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "unix://" + filepath.Join(dir, "s")
	p, err := extprocrun.Start(t.Context(), extprocrun.Options{
		Binary: extproctest.Binary(t), Config: path, Address: address, Dir: dir,
		Args: []string{"--metrics-port", "0", "--grpc-health-port", "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &replica{p, extprocv3.NewExternalProcessorClient(conn)}
}

// request has the plugins see a request, and returns the status they answer with, or
// 200 if they let it pass.
func (r *replica) request(t *testing.T, path string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := r.client.Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	headers := &corev3.HeaderMap{}
	for name, value := range map[string]string{":method": "GET", ":path": path, ":scheme": "http", ":authority": "a", "x-client": "me"} {
		headers.Headers = append(headers.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
	}
	err = stream.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{Headers: headers, EndOfStream: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil {
		t.Fatalf("%v\n%s", err, r.process.Log())
	}
	if local := resp.GetImmediateResponse(); local != nil {
		return int(local.GetStatus().GetCode())
	}
	return 200
}

// TestReplicas: two processes with one NATS hold one limit between them, and what is
// enqueued in one is dequeued in the other.
func TestReplicas(t *testing.T) {
	n := storetest.StartNATS(t, nil)
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(root, "envoy", "examples", "proxy-wasm-plugins", "rust", "plugin.wasm")
	plugin := func(name string) string {
		return fmt.Sprintf("- pluginName: %s\n  url: %s\n  vmConfig: {vm_id: shared}\n  pluginConfig: {limit: 5, window: 600000}\n", name, module)
	}
	store := fmt.Sprintf("store: {url: %q, timeout: 10s}\nplugins:\n", n.URL())
	producer := replicate(t, store+plugin("rate-limit")+plugin("queue-producer"))
	consumer := replicate(t, store+plugin("rate-limit")+plugin("queue-consumer"))
	passed := 0
	for i := range 10 {
		r := []*replica{producer, consumer}[i%2]
		switch code := r.request(t, fmt.Sprint("/", i)); code {
		case 200:
			passed++
		case 429:
		default:
			t.Errorf("request %d: status %d", i, code)
		}
		if i == 4 && passed != 5 {
			t.Errorf("of the first 5 requests %d have passed", passed)
		}
	}
	if passed != 5 {
		t.Errorf("%d requests have passed two replicas with a limit of 5", passed)
	}
	for _, item := range []string{"GET /0", "GET /2", "GET /4"} {
		eventually(t, func() bool { return strings.Contains(consumer.process.Log(), "queue: "+item) })
	}
	for _, r := range []*replica{producer, consumer} {
		if err := r.process.Stop(); err != nil {
			t.Error(err)
		}
	}
}
