package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/extproc/extproc/internal/upstream"
)

func start(t *testing.T) *upstream.Server {
	t.Helper()
	s, err := upstream.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestEcho(t *testing.T) {
	s := start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.Address+"/some/path?q=1", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Add("X-Multi", "1")
	req.Header.Add("X-Multi", "2")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var seen upstream.Seen
	if err := json.NewDecoder(resp.Body).Decode(&seen); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(seen.Proto, " ", seen.Method, " ", seen.Target, " ", seen.Body, " ", seen.Length, " ", seen.Headers["X-Multi"])
	if want := "HTTP/1.1 PUT /some/path?q=1 hello 5 [1 2]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUnixSocket(t *testing.T) {
	address := "unix://" + filepath.Join(t.TempDir(), "s")
	s, err := upstream.Start(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Address != address {
		t.Errorf("address %s, expected %s", s.Address, address)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(address, "unix://"))
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://upstream/bytes/3")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 3 {
		t.Errorf("%d bytes, %v, expected 3", len(body), err)
	}
}

func TestProduce(t *testing.T) {
	s := start(t)
	const size = 200_000
	for _, query := range []string{"", "?chunked"} {
		resp, err := http.Get(fmt.Sprintf("http://%s/bytes/%d%s", s.Address, size, query))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, size)
		upstream.Fill(want, 0)
		if string(got) != string(want) {
			t.Errorf("%q: %d bytes differ from what Fill makes", query, len(got))
		}
		if declared := resp.ContentLength == size; declared != (query == "") {
			t.Errorf("%q: content-length %d", query, resp.ContentLength)
		}
	}
}

func TestGRPC(t *testing.T) {
	s := start(t)
	conn, err := grpc.NewClient(s.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var out wrapperspb.StringValue
	if err := conn.Invoke(t.Context(), upstream.UnaryMethod, wrapperspb.String("hi"), &out); err != nil || out.GetValue() != "hi" {
		t.Errorf("unary: %q, %v", out.GetValue(), err)
	}
	err = conn.Invoke(t.Context(), upstream.UnaryMethod, wrapperspb.String("fail"), &out)
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("unary: %v", err)
	}
	var trailer metadata.MD
	stream, err := conn.NewStream(t.Context(), &upstream.StreamDesc, upstream.StreamMethod, grpc.Trailer(&trailer))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		text := fmt.Sprint("message ", i)
		if err := stream.SendMsg(wrapperspb.String(text)); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&out); err != nil || out.GetValue() != text {
			t.Fatalf("stream: %q, %v", out.GetValue(), err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&out); !errors.Is(err, io.EOF) {
		t.Errorf("end of stream: %v", err)
	}
	if got := trailer.Get("x-count"); len(got) != 1 || got[0] != "3" {
		t.Errorf("trailer: %v", got)
	}
}
