package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/extproc/extproc/internal/upstream"
)

// TestEnvoyLarge: bodies of any size pass in bounded memory, at the pace of the
// slower side.
func TestEnvoyLarge(t *testing.T) { overBoth(t, testEnvoyLarge) }

func testEnvoyLarge(t *testing.T, frames bool) {
	p := behind(t, setup{frames: frames})
	const n = 256 << 20
	for _, do := range []string{"stream-request", "pass"} {
		t.Run(do, func(t *testing.T) {
			peak := heapPeak(t)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/sum", io.LimitReader(zeros{}, n))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Do", do)
			resp, err := p.http1.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var got upstream.Sum
			if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
				t.Fatal(err)
			}
			equal(t, got.Bytes, int64(n))
			bounded(t, peak())
		})
	}
	for _, do := range []string{"stream-response", "pass"} {
		t.Run(do+" down", func(t *testing.T) {
			peak := heapPeak(t)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/bytes/%d", p.url, n), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Do", do)
			resp, err := p.http1.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond) // everything behind must wait
			rest, err := io.Copy(io.Discard, resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, rest, int64(n-1<<20))
			bounded(t, peak())
		})
	}
	p.noneSpurious(t)
}

// TestEnvoySlowUpstream: an upstream that does not read makes the client wait; the
// body does not pile up here.
func TestEnvoySlowUpstream(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() }) // never read from
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	p := before(t, setup{}, l.Addr().String())
	peak := heapPeak(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	body := &counted{}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Do", "stream-request")
	if resp, err := p.http1.Do(req); err == nil {
		resp.Body.Close()
	}
	t.Logf("the client could send %d MiB", body.n.Load()>>20)
	bounded(t, peak())
	// Envoy does not see that the client has gone while it reads nothing from it.
}

// counted is an endless body.
type counted struct{ n atomic.Int64 }

func (c *counted) Read(b []byte) (int, error) { c.n.Add(int64(len(b))); return len(b), nil }

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// heapPeak measures the largest heap from now until the returned function is
// called.
func heapPeak(t *testing.T) func() uint64 {
	t.Helper()
	runtime.GC()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var top uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			top = max(top, m.HeapInuse)
			select {
			case <-stop:
				peak <- top
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 { close(stop); return <-peak }
}

func bounded(t *testing.T, peak uint64) {
	t.Helper()
	t.Logf("peak heap %d MiB", peak>>20)
	if peak > 128<<20 {
		t.Errorf("the heap grew to %d MiB", peak>>20)
	}
}

// TestEnvoyClientGone: a client that goes away ends its guest, wherever it stands.
func TestEnvoyClientGone(t *testing.T) { overBoth(t, testEnvoyClientGone) }

func testEnvoyClientGone(t *testing.T, frames bool) {
	p := behind(t, setup{frames: frames})
	for _, a := range []asked{
		{path: "/", do: "hold"},
		{path: "/", do: "hoard", body: strings.Repeat("x", 4<<20)},
		{path: "/slow/5000", do: "pass"},
		{path: "/chunks/1000", do: "stream-response"},
	} {
		t.Run(a.do, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+a.path, strings.NewReader(a.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Do", a.do)
			if resp, err := p.http1.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			eventually(t, func() bool { return p.module.live.Load() == 0 })
		})
	}
}

func eventually(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !what(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about in a minute")
		}
	}
}

// TestEnvoyGRPC: calls pass through guests that read, change and look at bodies.
func TestEnvoyGRPC(t *testing.T) { overBoth(t, testEnvoyGRPC) }

func testEnvoyGRPC(t *testing.T, frames bool) {
	p := behind(t, setup{http2: true, frames: frames})
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(p.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, do := range []string{"pass", "headers", "stream-both"} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-do", do)
		t.Run(do+" unary", func(t *testing.T) {
			var got wrapperspb.StringValue
			if err := conn.Invoke(ctx, upstream.UnaryMethod, wrapperspb.String("hello"), &got); err != nil || got.Value != "hello" {
				t.Errorf("got %q and %v", got.Value, err)
			}
			err := conn.Invoke(ctx, upstream.UnaryMethod, wrapperspb.String("fail"), &got)
			equal(t, status.Code(err), codes.InvalidArgument)
		})
		t.Run(do+" stream", func(t *testing.T) {
			st, err := conn.NewStream(ctx, &upstream.StreamDesc, upstream.StreamMethod)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				if err := st.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				var got wrapperspb.StringValue
				if err := st.RecvMsg(&got); err != nil {
					t.Fatal(err)
				}
				equal(t, got.Value, fmt.Sprint(i))
			}
			if err := st.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if err := st.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			equal(t, st.Trailer().Get("x-count"), []string{"20"})
		})
	}
	p.noneSpurious(t)
}
