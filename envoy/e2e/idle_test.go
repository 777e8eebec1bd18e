package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/extproc/extproc/internal/extprocrun"
	"github.com/extproc/extproc/internal/extproctest"
)

// TestIdleExchanges: ten thousand exchanges whose plugins have let the request go on
// and wait for the response fit into a GiB, on both transports.
func TestIdleExchanges(t *testing.T) {
	const exchanges, most = 10_000, 1 << 30
	kinds := map[string]string{
		"component": config(t, example(t, "header-rules"), fields{"limits": fields{"instances": exchanges}}),
		"module":    config(t, module(t, "proxy-wasm-headers", "c"), fields{"rootID": "headers"}),
	}
	for _, transport := range []string{"frames", "grpc-go"} {
		for kind, config := range kinds {
			t.Run(kind+" on "+transport, func(t *testing.T) {
				server := serveAlone(t, config, "--transport", transport)
				before := memory(t, server.PID(), "VmRSS")
				server.idle(t, exchanges)
				after := memory(t, server.PID(), "VmRSS")
				t.Logf("%d MiB, of which %d were there before: %.1f KiB an exchange", after>>20, before>>20, float64(after-before)/exchanges/1024)
				if after > most {
					t.Errorf("%d exchanges that wait take %d MiB, the most is %d", exchanges, after>>20, most>>20)
				}
			})
		}
	}
}

// alone is extproc without an Envoy.
type alone struct {
	*extprocrun.Process
	address string
}

func serveAlone(t *testing.T, config string, args ...string) alone {
	t.Helper()
	dir, err := os.MkdirTemp("", "extproc") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	opts := extprocrun.Options{
		Binary: extproctest.Binary(t), Config: filepath.Join(dir, "extproc.yaml"), Address: "unix://" + filepath.Join(dir, "s"), Dir: dir,
		Args: append(args, "--grpc-health-port", "0", "--metrics-port", "0"),
	}
	if err := os.WriteFile(opts.Config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := extprocrun.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return alone{p, opts.Address}
}

// idle opens exchanges, of which each has had the answer to its request headers when
// idle returns, and keeps them until the test ends.
func (a alone) idle(t *testing.T, exchanges int) {
	t.Helper()
	conn, err := grpc.NewClient(a.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := extprocv3.NewExternalProcessorClient(conn)
	const most = 32 // at once, as many as a proxy may well have
	group := errgroup.Group{}
	group.SetLimit(most)
	for i := range exchanges {
		group.Go(func() error { return begin(t.Context(), client, i) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// begin opens an exchange with the headers that a browser sends.
func begin(ctx context.Context, client extprocv3.ExternalProcessorClient, i int) error {
	stream, err := client.Process(ctx)
	if err != nil {
		return err
	}
	h := &corev3.HeaderMap{}
	for _, f := range [][2]string{
		{":authority", "www.example.com"}, {":path", fmt.Sprintf("/articles/%d?page=2", i)}, {":method", "GET"}, {":scheme", "https"},
		{"user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}, {"accept", "text/html,application/xhtml+xml,*/*;q=0.8"},
		{"accept-language", "en-GB,en;q=0.5"}, {"cookie", "session=3b1f8a0c5d7e4f6e9a2b; theme=dark"},
		{"x-request-id", fmt.Sprintf("7d8f1f6a-2b63-4c59-9d0e-%012d", i)}, {"x-forwarded-proto", "https"}, {"x-secret", "hunter2"},
	} {
		h.Headers = append(h.Headers, &corev3.HeaderValue{Key: f[0], RawValue: []byte(f[1])})
	}
	err = stream.Send(&extprocv3.ProcessingRequest{
		ProtocolConfig: &extprocv3.ProtocolConfiguration{},
		Request:        &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{Headers: h, EndOfStream: true}},
	})
	if err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err != nil {
		return err
	}
	if answer.GetRequestHeaders().GetResponse().GetHeaderMutation() == nil {
		return fmt.Errorf("exchange %d: the plugin has not changed the request's headers: %v", i, answer)
	}
	return nil
}
