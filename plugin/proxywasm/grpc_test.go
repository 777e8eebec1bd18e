package proxywasm

import (
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/extproc/extproc/plugin"
)

// echo is a gRPC service that sends every message back, and then its status.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("X-Initial", r.URL.Path+" "+r.Header.Get("X-Meta"))
	w.Header().Set("Trailer", "Grpc-Status, Grpc-Message, X-Trailing")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	status := "0"
	for {
		var head [5]byte
		if _, err := io.ReadFull(r.Body, head[:]); err != nil {
			break
		}
		message := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(r.Body, message); err != nil {
			break
		}
		if string(message) == "fail" {
			status = "3"
			break
		}
		_, _ = w.Write(append(head[:], message...))
		w.(http.Flusher).Flush()
	}
	w.Header().Set("X-Trailing", "1")
	w.Header().Set("Grpc-Message", "over")
	w.Header().Set("Grpc-Status", status)
}

func grpcUpstream(tb testing.TB) func(*plugin.Spec) {
	tb.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	server.Config.Protocols = &http.Protocols{}
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	tb.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		tb.Fatal(err)
	}
	return func(s *plugin.Spec) { s.Callouts = map[string]*plugin.Cluster{"up": {URL: u, HTTP2: true}} }
}

// watching logs every event of a gRPC call.
func watching(s script) script {
	s[onGRPCInitialMetadata] = func(p *player) uint32 {
		p.log("initial %d %s", p.args[1]&3, p.get(grpcInitialMap, "x-initial"))
		return 0
	}
	s[onGRPCReceive] = func(p *player) uint32 {
		p.log("message %d %s", p.args[2], p.body(grpcMessageBuffer))
		return 0
	}
	s[onGRPCTrailingMetadata] = func(p *player) uint32 {
		p.log("trailing %s", p.get(grpcTrailingMap, "x-trailing"))
		return 0
	}
	s[onGRPCClose] = func(p *player) uint32 {
		status := p.must("get_status")
		p.log("close %d %d %s", p.args[2], status.num[0], status.data)
		return 0
	}
	return s
}

// envoyService is Envoy's message GrpcService for a cluster.
func envoyService(cluster string) string {
	inner := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), cluster)
	return string(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner))
}

func TestGRPCCall(t *testing.T) {
	for _, c := range []struct {
		name, service, message string
		want                   []string
	}{
		{"answered", "up", "hello", []string{"initial 1 /pkg.S/M 1", "message 5 hello"}},
		{"by Envoy's message", envoyService("up"), "hello", []string{"message 5 hello"}},
		{"refused", "up", "fail", []string{"initial 1 /pkg.S/M 1", "close 3 3 over"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, l := perform(t, newABI(t, Config{}), watching(script{onRequestHeaders: func(p *player) uint32 {
				p.must("grpc_call", c.service, "pkg.S", "M", list("x-meta: 1"), c.message, 5000)
				return 0
			}}), grpcUpstream(t))
			conv := begin(t, m).request(true).ok()
			for _, line := range c.want {
				conv.until(l, line)
			}
			if c.message == "hello" && strings.Contains(strings.Join(l.all(), ""), "close") {
				t.Error("the end of an answered call was told")
			}
		})
	}
}

func TestGRPCStream(t *testing.T) {
	var id int
	m, l := perform(t, newABI(t, Config{}), watching(script{
		onRequestHeaders: func(p *player) uint32 {
			id = int(p.must("grpc_stream", "up", "pkg.S", "M", list("x-meta: 1")).num[0])
			p.must("grpc_send", id, "one", 0)
			p.must("grpc_send", id, "two", 0)
			return 0
		},
		onResponseHeaders: func(p *player) uint32 {
			p.must("grpc_close", id)
			return 0
		},
		onTick: func(p *player) uint32 {
			if a := p.call("grpc_send", id, "late", 0); a.Status != NotFound {
				t.Errorf("a message after the end: %v", a.Status)
			}
			other := int(p.must("grpc_stream", "up", "pkg.S", "M", plugin.Headers(nil)).num[0])
			p.must("grpc_cancel", other)
			if a := p.call("grpc_cancel", other); a.Status != NotFound {
				t.Errorf("a second end: %v", a.Status)
			}
			return 0
		},
	}), grpcUpstream(t))
	c := begin(t, m).request(true).ok()
	c.until(l, "initial 2 /pkg.S/M 1")
	c.until(l, "message 3 one")
	c.until(l, "message 3 two")
	c.response(true).ok()
	c.guest.Close() // what comes later finds no exchange
	l.has(t, "trailing 1")
	l.has(t, "close 0 0 over")
	m.tickNow(t)
}
