package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/health"
	"google.golang.org/protobuf/proto"

	"github.com/extproc/extproc/internal/checkout"
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
	steps         [][]byte // messages, of which each has one answer
	next          uint32
	credit        uint32 // what has come and the server has not been credited
	answers, ends int
	out           []byte
}

func newExchanger(tb testing.TB, socket string, body int) *exchanger {
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
	settings := []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 30}, {ID: http2.SettingMaxFrameSize, Val: 1 << 20}}
	if err := x.in.WriteSettings(settings...); err != nil {
		tb.Fatal(err)
	}
	if err := x.in.WriteWindowUpdate(0, 1<<30); err != nil {
		tb.Fatal(err)
	}
	x.steps = stepsOf(tb, body)
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

// stepsOf are the messages of an exchange, with bodies both ways unless they have no
// bytes.
func stepsOf(tb testing.TB, body int) (steps [][]byte) {
	tb.Helper()
	add := func(m *extprocv3.ProcessingRequest) { steps = append(steps, message(tb, m)) }
	method, about := "GET", []string{":authority", "a.test", ":path", "/some/path", ":scheme", "https", "user-agent", "bench", "accept", "*/*",
		"x-forwarded-proto", "https", "x-request-id", "45b4a8f1-6c31-4bb7-9d1b-b2a7c1a9f1d0"}
	if body > 0 {
		method, about = "POST", append(about, "content-length", strconv.Itoa(body))
	}
	piece := &extprocv3.HttpBody{Body: bytes.Repeat([]byte("body"), body/4), EndOfStream: true}
	add(&extprocv3.ProcessingRequest{
		Request:         &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: headersOf(body == 0, append(about, ":method", method)...)},
		ProtocolConfig:  &extprocv3.ProtocolConfiguration{},
		MetadataContext: &corev3.Metadata{},
	})
	if body > 0 {
		add(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: piece}})
	}
	add(&extprocv3.ProcessingRequest{
		Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: headersOf(false,
			":status", "200", "content-type", "text/plain", "content-length", strconv.Itoa(max(body, 5)), "date", "today", "server", "up", "x-envoy-upstream-service-time", "1")},
		MetadataContext: &corev3.Metadata{},
	})
	if body > 0 {
		add(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: piece}})
	}
	return steps
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

// message adds a message, in frames as large as a proxy's.
func (x *exchanger) message(id uint32, m []byte, last bool) {
	const largest = 16 << 10
	for ; len(m) > largest; m = m[largest:] {
		x.frame(http2.FrameData, 0, id, m[:largest])
	}
	flags := http2.Flags(0)
	if last {
		flags = http2.FlagDataEndStream
	}
	x.frame(http2.FrameData, flags, id, m)
}

// exchange has n exchanges side by side.
func (x *exchanger) exchange(n int) error {
	from := x.next
	x.next += uint32(2 * n)
	x.answers, x.ends = 0, 0
	for i, m := range x.steps {
		last := i == len(x.steps)-1
		x.out = x.out[:0]
		if i == 0 && x.credit > 0 {
			x.frame(http2.FrameWindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, x.credit))
			x.credit = 0
		}
		for id := from; id < x.next; id += 2 {
			if i == 0 {
				x.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, x.block)
			}
			x.message(id, m, last)
		}
		if _, err := x.net.Write(x.out); err != nil {
			return err
		}
		what, want := &x.answers, n*(i+1)
		if last {
			what, want = &x.ends, n
		}
		if err := x.await(what, want); err != nil {
			return err
		}
	}
	if x.answers != len(x.steps)*n {
		return fmt.Errorf("%d answers in %d exchanges", x.answers, n)
	}
	return nil
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
			x.credit += h.Length
		case h.Type == http2.FrameHeaders && h.Flags.Has(http2.FlagHeadersEndStream):
			x.ends++
		}
	}
	return nil
}

// serveExchanges serves a plugin and has a client for it.
func serveExchanges(tb testing.TB, path []string, body int) *exchanger {
	tb.Helper()
	return newExchanger(tb, servePlugin(tb, path), body)
}

// servePlugin serves a plugin on a socket, as `extproc serve` does.
func servePlugin(tb testing.TB, path []string) (socket string) {
	tb.Helper()
	file, err := checkout.Path(path...)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	abis, free, err := guests(context.Background(), guestOptions{cache: filepath.Join(dir, "cache"), services: host.NewServices(nil)})
	if err != nil {
		tb.Fatal(err)
	}
	r := &plugin.Reloader{Path: filepath.Join(dir, "extproc.yaml"), ABIs: abis, Log: discard()}
	write(tb, r.Path, fmt.Sprintf("plugins:\n- { pluginName: bench, url: %s }\n", file))
	if err := r.Load(context.Background()); err != nil {
		tb.Fatal(err)
	}
	s := server.New(r.Current(), server.Options{})
	tr, err := transportOptions{kind: "frames", log: discard()}.open(s, health.NewServer())
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
	return l.Addr().String()
}

// plugins are those whose exchanges are measured: both change a header each way.
var plugins = map[string][]string{
	"module":    {"envoy", "examples", "proxy-wasm-headers", "c", "plugin.wasm"},
	"component": {"envoy", "examples", "header-rules", "c.wasm"},
}

// bodyPlugins are those that see the bodies.
var bodyPlugins = map[string][]string{
	"module that reads":       {"internal", "bench", "read.wasm"},
	"component that forwards": {"internal", "guests", "duplex", "rust.wasm"},
	"component that changes":  {"envoy", "examples", "body-transform", "rust.wasm"},
}

// BenchmarkExchange is an exchange without bodies whose headers a plugin changes both
// ways, from frames to frames: sixteen side by side on one connection.
func BenchmarkExchange(b *testing.B) {
	for name, path := range plugins {
		b.Run(name, func(b *testing.B) { benchmarkExchanges(b, path, 0, atOnce) })
	}
}

// BenchmarkBodies is an exchange with a body of 64 KB each way, four side by side.
func BenchmarkBodies(b *testing.B) {
	for name, path := range bodyPlugins {
		b.Run(name, func(b *testing.B) { benchmarkExchanges(b, path, 64<<10, 4) })
	}
}

func benchmarkExchanges(b *testing.B, path []string, body, width int) {
	b.Helper()
	x := serveExchanges(b, path, body)
	b.ReportAllocs()
	b.ResetTimer()
	for n := b.N; n > 0; n -= width {
		if err := x.exchange(min(n, width)); err != nil {
			b.Fatal(err)
		}
	}
}
