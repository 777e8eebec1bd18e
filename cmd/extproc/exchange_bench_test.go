package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/health"
	"google.golang.org/protobuf/proto"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
	"github.com/extproc/extproc/server"
)

// atOnce is how many exchanges the client below has under way.
const atOnce = 16

// exchanger is a client that costs next to nothing: it has its frames ready, and
// allocates nothing.
type exchanger struct {
	net           net.Conn
	in            *http2.Framer
	block         []byte
	first         []byte
	second        []byte
	next          uint32
	answers, ends int
	out           []byte
}

func newExchanger(tb testing.TB, socket string) *exchanger {
	tb.Helper()
	nc, err := net.Dial("unix", socket)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = nc.Close() })
	x := &exchanger{net: nc, in: http2.NewFramer(nc, nc), next: 1}
	x.in.SetReuseFrames()
	if _, err := io.WriteString(nc, http2.ClientPreface); err != nil {
		tb.Fatal(err)
	}
	if err := x.in.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}); err != nil {
		tb.Fatal(err)
	}
	if err := x.in.WriteWindowUpdate(0, 1<<30); err != nil {
		tb.Fatal(err)
	}
	x.first = message(tb, &extprocv3.ProcessingRequest{
		Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: headersOf(true,
			":authority", "a.test", ":path", "/some/path", ":method", "GET", ":scheme", "https", "user-agent", "bench", "accept", "*/*",
			"x-forwarded-proto", "https", "x-request-id", "45b4a8f1-6c31-4bb7-9d1b-b2a7c1a9f1d0")},
		ProtocolConfig:  &extprocv3.ProtocolConfiguration{},
		MetadataContext: &corev3.Metadata{},
	})
	x.second = message(tb, &extprocv3.ProcessingRequest{
		Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: headersOf(false,
			":status", "200", "content-type", "text/plain", "content-length", "5", "date", "today", "server", "up", "x-envoy-upstream-service-time", "1")},
		MetadataContext: &corev3.Metadata{},
	})
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for range 2 { // the second time all of it is in the table
		x.open(tb, &b, enc)
	}
	return x
}

// open has one exchange, and keeps the header block for those to come.
func (x *exchanger) open(tb testing.TB, b *bytes.Buffer, enc *hpack.Encoder) {
	tb.Helper()
	b.Reset()
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", extprocv3.ExternalProcessor_Process_FullMethodName}, {":authority", "extproc"},
		{"te", "trailers"}, {"content-type", "application/grpc"}, {"x-envoy-internal", "true"}, {"x-forwarded-for", "10.0.0.1"},
	} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			tb.Fatal(err)
		}
	}
	x.block = bytes.Clone(b.Bytes())
	if err := x.exchange(1); err != nil {
		tb.Fatal(err)
	}
}

func headersOf(end bool, pairs ...string) *extprocv3.HttpHeaders {
	h := &corev3.HeaderMap{}
	for i := 0; i < len(pairs); i += 2 {
		h.Headers = append(h.Headers, &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	return &extprocv3.HttpHeaders{Headers: h, EndOfStream: end}
}

func message(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)
}

func (x *exchanger) frame(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) {
	x.out = append(x.out, byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)), byte(kind), byte(flags))
	x.out = append(binary.BigEndian.AppendUint32(x.out, id), payload...)
}

// exchange has n exchanges side by side.
func (x *exchanger) exchange(n int) error {
	from := x.next
	x.next += uint32(2 * n)
	each := func(do func(id uint32)) error {
		x.out = x.out[:0]
		for id := from; id < x.next; id += 2 {
			do(id)
		}
		_, err := x.net.Write(x.out)
		return err
	}
	x.answers, x.ends = 0, 0
	err := each(func(id uint32) {
		x.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, x.block)
		x.frame(http2.FrameData, 0, id, x.first)
	})
	if err == nil {
		err = x.await(&x.answers, n)
	}
	if err == nil {
		err = each(func(id uint32) { x.frame(http2.FrameData, http2.FlagDataEndStream, id, x.second) })
	}
	if err == nil {
		err = x.await(&x.ends, n)
	}
	if err == nil && x.answers != 2*n {
		err = fmt.Errorf("%d answers in %d exchanges", x.answers, n)
	}
	return err
}

// await reads frames until there are so many answers, or ends of streams.
func (x *exchanger) await(what *int, n int) error {
	for *what < n {
		f, err := x.in.ReadFrame()
		if err != nil {
			return err
		}
		switch h := f.Header(); {
		case h.Type == http2.FrameGoAway || h.Type == http2.FrameRSTStream:
			return fmt.Errorf("%v", f)
		case h.Type == http2.FrameData:
			x.answers++
		case h.Type == http2.FrameHeaders && h.Flags.Has(http2.FlagHeadersEndStream):
			x.ends++
		}
	}
	return nil
}

// serveExchanges serves a plugin on a socket, as `extproc serve` does.
func serveExchanges(tb testing.TB, transport string, path ...string) *exchanger {
	tb.Helper()
	dir := tb.TempDir()
	abis, free, err := guests(context.Background(), guestOptions{cache: filepath.Join(dir, "cache"), services: host.NewServices(nil)})
	if err != nil {
		tb.Fatal(err)
	}
	r := &plugin.Reloader{Path: filepath.Join(dir, "extproc.yaml"), ABIs: abis, Log: discard()}
	write(tb, r.Path, fmt.Sprintf("plugins:\n- { pluginName: bench, url: %s }\n", wasm(tb, path...)))
	if err := r.Load(context.Background()); err != nil {
		tb.Fatal(err)
	}
	s := server.New(r.Current(), server.Options{})
	tr, err := transportOptions{kind: transport, log: discard()}.open(s, health.NewServer())
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		tb.Fatal(err)
	}
	go func() { _ = tr.Serve(l) }()
	tb.Cleanup(func() {
		tr.Stop()
		if err := r.Current().Close(); err != nil {
			tb.Error(err)
		}
		_ = free(context.Background())
	})
	return newExchanger(tb, l.Addr().String())
}

// plugins are those whose exchanges are measured: both change a header each way.
var plugins = map[string][]string{"module": {"proxy-wasm-headers", "c", "plugin.wasm"}, "component": {"header-rules", "c.wasm"}}

// BenchmarkExchange is an exchange without bodies whose headers a plugin changes both
// ways, from frames to frames: sixteen side by side on one connection.
func BenchmarkExchange(b *testing.B) {
	for name, path := range plugins {
		b.Run(name, func(b *testing.B) {
			x := serveExchanges(b, "frames", path...)
			b.ReportAllocs()
			b.ResetTimer()
			for n := b.N; n > 0; n -= atOnce {
				if err := x.exchange(min(n, atOnce)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
