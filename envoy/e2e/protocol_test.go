package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/extproc/extproc/internal/extproctest"
	"github.com/extproc/extproc/internal/upstream"
)

// TestWithoutBody: answers that must not have a body do not get one, whatever the
// plugin does with bodies.
func TestWithoutBody(t *testing.T) {
	for _, p := range bodyPlugins {
		t.Run(p.name, func(t *testing.T) {
			stack := start(t, example(t, p.name), nil)
			for name, c := range clients(t) {
				t.Run(name, func(t *testing.T) {
					tests := []struct {
						method, path string
						status       int
					}{
						{http.MethodHead, "/bytes/1000", 200},
						{http.MethodHead, "/status/404", 404},
						{http.MethodGet, "/status/204", 204},
						{http.MethodPost, "/status/204", 204},
						{http.MethodGet, "/status/304", 304},
					}
					for _, tt := range tests {
						a, err := ask(t, c, tt.method, stack.URL+tt.path, "")
						if err != nil || a.status != tt.status || a.body != "" {
							t.Errorf("%s %s: status %d, body %q, %v; want status %d and no body", tt.method, tt.path, a.status, a.body, err, tt.status)
						}
					}
					// What follows on the same connection is not spoiled by a body that
					// nobody expected.
					if a := get(t, c, stack.URL+"/bytes/10"); len(a.body) != 10 {
						t.Errorf("afterwards: %d bytes, want 10", len(a.body))
					}
				})
			}
		})
	}
}

func TestContinue(t *testing.T) {
	for _, p := range bodyPlugins {
		t.Run(p.name, func(t *testing.T) {
			stack := start(t, example(t, p.name), nil)
			conn := dial(t, stack)
			reader := bufio.NewReader(conn)
			fmt.Fprintf(conn, "POST /sum HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
			line, err := reader.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
				t.Fatalf("%q, %v; want 100", line, err)
			}
			if line, err = reader.ReadString('\n'); err != nil || line != "\r\n" {
				t.Fatalf("%q, %v", line, err)
			}
			fmt.Fprint(conn, "HELLO")
			resp, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if want := `"bytes":5`; err != nil || !strings.Contains(strings.ToLower(string(body)), want) {
				t.Errorf("%s: %s, %v; want %s", resp.Status, body, err, want)
			}
		})
	}
}

// TestUpgrade: a plugin sees the handshake of a WebSocket, and the tunnel is left
// alone.
func TestUpgrade(t *testing.T) {
	for _, plugin := range []string{"header-rules", "body-passthrough"} {
		t.Run(plugin, func(t *testing.T) {
			stack := start(t, example(t, plugin), nil)
			conn := dial(t, stack)
			fmt.Fprint(conn, "GET /upgrade HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
			reader := bufio.NewReader(conn)
			resp, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("X-Plugin") != plugin {
				t.Fatalf("%s, x-plugin %q", resp.Status, resp.Header.Get("X-Plugin"))
			}
			if seen := resp.Header.Get("X-Seen"); plugin == "header-rules" && seen != plugin {
				t.Errorf("the upstream saw x-plugin %q", seen)
			}
			for _, frame := range []string{"one", "another", "the last"} {
				fmt.Fprint(conn, frame)
				got := make([]byte, len(frame))
				if _, err := io.ReadFull(reader, got); err != nil || string(got) != frame {
					t.Fatalf("%q came back, %v; want %q", got, err, frame)
				}
			}
		})
	}
}

func dial(t *testing.T, stack *extproctest.Stack) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(stack.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestStreams: what the upstream says is heard before it has said all.
func TestStreams(t *testing.T) {
	for _, p := range bodyPlugins {
		t.Run(p.name, func(t *testing.T) {
			stack := start(t, example(t, p.name), nil)
			for name, c := range clients(t) {
				t.Run(name, func(t *testing.T) {
					const chunks = 50 // a second's worth
					began := time.Now()
					resp, err := c.Get(fmt.Sprintf("%s/chunks/%d", stack.URL, chunks))
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					lines := bufio.NewScanner(resp.Body)
					n := 0
					var first time.Duration
					for lines.Scan() {
						if n++; n == 1 {
							first = time.Since(began)
						}
					}
					if all := time.Since(began); n != chunks || first > all/2 {
						t.Errorf("%d lines, the first after %v of %v; want %d, the first at once", n, first, all, chunks)
					}
				})
			}
		})
	}
}

// TestEarlyHints: 103 is no answer.
func TestEarlyHints(t *testing.T) {
	stack := start(t, example(t, "header-rules"), nil)
	if a := get(t, client(t, false), stack.URL+"/hints"); a.body != "hinted\n" {
		t.Errorf("body %q", a.body)
	}
}

// TestTrailers: trailers of both directions pass a plugin that does not look at
// them.
func TestTrailers(t *testing.T) {
	for _, p := range bodyPlugins {
		t.Run(p.name, func(t *testing.T) {
			stack := start(t, example(t, p.name), nil)
			for name, c := range clients(t) {
				t.Run(name, func(t *testing.T) {
					// Without a body the trailers may be there before the plugin has
					// said that it wants to see any.
					for _, body := range []string{"HELLO", ""} {
						passTrailers(t, c, stack.URL+"/trailers", body)
					}
				})
			}
		})
	}
}

func passTrailers(t *testing.T, c *http.Client, url, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, io.MultiReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1
	req.Header.Set("Te", "trailers")
	req.Trailer = http.Header{"X-Request-Trailer": {"from the client"}}
	resp, err := c.Do(req)
	if err != nil {
		t.Errorf("body %q: %v", body, err)
		return
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != body {
		t.Errorf("body %q, %v; want %q", got, err, body)
	}
	if got := resp.Trailer.Get("X-Request-Trailer"); got != "from the client" {
		t.Errorf("body %q: trailers: %v", body, resp.Trailer)
	}
	if got := resp.Trailer.Get("X-Checksum"); got == "" {
		t.Errorf("body %q: trailers: %v", body, resp.Trailer)
	}
}

func TestGRPC(t *testing.T) {
	tests := []struct {
		name, wasm string
		// converses: it does not wait for the end of the request before it looks
		// at the response.
		converses bool
	}{
		{"header-rules", example(t, "header-rules"), true},
		{"body-passthrough", example(t, "body-passthrough"), true},
		{"trailers", example(t, "trailers"), false},
		{"duplex", guest(t, "duplex"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stack := extproctest.Start(t, extproctest.Options{
				Config: config(t, tt.wasm, nil), Upstream: startUpstream(t).Address, HTTP2: true,
			})
			conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(stack.URL, "http://"),
				grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			t.Cleanup(cancel)
			t.Run("unary", func(t *testing.T) { unary(ctx, t, conn, tt.name) })
			t.Run("failing", func(t *testing.T) {
				err := conn.Invoke(ctx, upstream.UnaryMethod, wrapperspb.String("fail"), new(wrapperspb.StringValue))
				if status.Code(err) != codes.InvalidArgument || status.Convert(err).Message() != "asked to fail" {
					t.Errorf("%v, want InvalidArgument: asked to fail", err)
				}
			})
			if tt.converses {
				t.Run("streaming", func(t *testing.T) { stream(ctx, t, conn) })
			}
		})
	}
}

func unary(ctx context.Context, t *testing.T, conn *grpc.ClientConn, plugin string) {
	t.Helper()
	text := strings.Repeat("a long message ", 10_000)
	var header metadata.MD
	var out wrapperspb.StringValue
	if err := conn.Invoke(ctx, upstream.UnaryMethod, wrapperspb.String(text), &out, grpc.Header(&header)); err != nil {
		t.Fatal(err)
	}
	if out.GetValue() != text {
		t.Errorf("%d bytes came back, want %d", len(out.GetValue()), len(text))
	}
	if seen := header.Get("x-seen"); plugin == "header-rules" && (len(seen) != 1 || seen[0] != plugin) {
		t.Errorf("the service saw x-plugin %q, want %q", seen, plugin)
	}
}

// stream is a conversation: each message waits for the answer to the one before.
func stream(ctx context.Context, t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	var trailer metadata.MD
	s, err := conn.NewStream(ctx, &upstream.StreamDesc, upstream.StreamMethod, grpc.Trailer(&trailer))
	if err != nil {
		t.Fatal(err)
	}
	var out wrapperspb.StringValue
	for i := range 5 {
		text := fmt.Sprint("message ", i)
		if err := s.SendMsg(wrapperspb.String(text)); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&out); err != nil || out.GetValue() != text {
			t.Fatalf("%q, %v; want %q", out.GetValue(), err, text)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&out); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
	if got := trailer.Get("x-count"); len(got) != 1 || got[0] != "5" {
		t.Errorf("x-count %q, want 5", got)
	}
}
