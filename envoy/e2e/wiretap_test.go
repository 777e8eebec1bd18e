package e2e

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// wiretap stands between Envoy and extproc and takes down what they say: a word for
// each kind of message, > from Envoy and < to it, and an error of the stream.
type wiretap struct {
	extprocv3.UnimplementedExternalProcessorServer
	server extprocv3.ExternalProcessorClient
	mu     sync.Mutex
	lines  []string
	open   int
}

// tap starts a wiretap before extproc and returns its address.
func (w *wiretap) tap(t *testing.T, address string) string {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		t.Fatal(err)
	}
	w.server = extprocv3.NewExternalProcessorClient(conn)
	dir, err := os.MkdirTemp("", "wiretap") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(math.MaxInt32))
	extprocv3.RegisterExternalProcessorServer(s, w)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		_ = conn.Close()
		_ = os.RemoveAll(dir)
	})
	return "unix://" + l.Addr().String()
}

// Process passes a stream on.
func (w *wiretap) Process(down extprocv3.ExternalProcessor_ProcessServer) error {
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, md)
	}
	up, err := w.server.Process(ctx)
	if err != nil {
		return err
	}
	n := w.begin()
	go func() {
		for {
			m, err := down.Recv()
			if err != nil {
				_ = up.CloseSend() // of no use to one that is gone
				return
			}
			w.note(n, ">"+word(m))
			if up.Send(m) != nil {
				return
			}
		}
	}()
	for {
		m, err := up.Recv()
		switch {
		case errors.Is(err, io.EOF):
			w.end(n, "")
			return nil
		case err != nil:
			how := ""
			if status.Code(err) != codes.Canceled {
				how = " " + status.Code(err).String()
			}
			w.end(n, how)
			return err
		}
		w.note(n, "<"+went(m))
		if err := down.Send(m); err != nil {
			w.end(n, "")
			return err
		}
	}
}

func (w *wiretap) begin() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, "")
	w.open++
	return len(w.lines) - 1
}

// note takes down a word, unless it has been said.
func (w *wiretap) note(n int, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.Contains(w.lines[n]+" ", " "+what+" ") {
		w.lines[n] += " " + what
	}
}

func (w *wiretap) end(n int, how string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines[n] += how
	w.open--
}

// heard is what was said since it was last asked, of all streams, once they are over.
func (w *wiretap) heard(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		if w.open == 0 {
			said := strings.TrimSpace(strings.Join(w.lines, " |"))
			w.lines = nil
			w.mu.Unlock()
			return said
		}
		w.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("a stream is still open: %q", w.lines)
		}
	}
}

// words are the six phases.
var words = map[string]string{
	"request_headers": "qh", "request_body": "qb", "request_trailers": "qt",
	"response_headers": "rh", "response_body": "rb", "response_trailers": "rt",
	"immediate_response": "no", "streamed_immediate_response": "no",
}

// word is the phase of a message, "-" if it has none.
func word(m proto.Message) string {
	r := m.ProtoReflect()
	f := r.WhichOneof(r.Descriptor().Oneofs().Get(0))
	if f == nil {
		return "-"
	}
	return words[string(f.Name())]
}

func went(m *extprocv3.ProcessingResponse) string {
	if m.GetModeOverride() == nil {
		return word(m)
	}
	return word(m) + "+mode"
}
