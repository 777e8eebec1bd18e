package main

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// receiver takes spans by either protocol of OTLP.
type receiver struct {
	collectorv1.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []string // "trace: name"
	about string
}

func (r *receiver) Export(_ context.Context, req *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range req.GetResourceSpans() {
		r.about = rs.GetResource().String()
		for _, ss := range rs.GetScopeSpans() {
			for _, sp := range ss.GetSpans() {
				r.spans = append(r.spans, hex.EncodeToString(sp.GetTraceId())+": "+sp.GetName())
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	var export collectorv1.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &export); err != nil || req.URL.Path != "/v1/traces" {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	_, _ = r.Export(req.Context(), &export)
}

// TestTraces: spans of a real exchange reach a collector, by either protocol, and
// belong to the trace that the client's request was of.
func TestTraces(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			r := &receiver{}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if protocol == "grpc" {
				s := grpc.NewServer()
				collectorv1.RegisterTraceServiceServer(s, r)
				go func() { _ = s.Serve(l) }()
				t.Cleanup(s.Stop)
			} else {
				s := httptest.NewUnstartedServer(r)
				s.Listener.Close()
				s.Listener = l
				s.Start()
				t.Cleanup(s.Close)
			}
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
			running := start(t)
			const trace = "0af7651916cd43dd8448eb211c80319c"
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, running.url, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			running.stop()
			if err := <-running.ended; err != nil { // and the last spans are sent
				t.Error(err)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			all := strings.Join(r.spans, "\n") + "\n"
			for _, name := range []string{"envoy.service.ext_proc.v3.ExternalProcessor/Process", "plugin mark", "request_headers", "response_headers"} {
				if !strings.Contains(all, trace+": "+name+"\n") {
					t.Errorf("no span %s among\n%s", name, all)
				}
			}
			if !strings.Contains(r.about, "deployment.environment") || !strings.Contains(r.about, `"extproc"`) {
				t.Errorf("the resource is %s", r.about)
			}
		})
	}
}

// TestExporter: what the environment asks for.
func TestExporter(t *testing.T) {
	for _, tc := range []struct {
		env  map[string]string
		some bool
		err  string
	}{
		{nil, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, `OTEL_TRACES_EXPORTER: is "zipkin", expected otlp or none`},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, false, `OTEL_EXPORTER_OTLP_PROTOCOL: is "http/json", expected grpc or http/protobuf`},
	} {
		t.Run("", func(t *testing.T) {
			for key, value := range tc.env {
				t.Setenv(key, value)
			}
			e, err := exporter(t.Context())
			if e != nil {
				defer func() { _ = e.Shutdown(context.Background()) }()
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			if (e != nil) != tc.some || text != tc.err {
				t.Errorf("%v: got %v and %q", tc.env, e, text)
			}
		})
	}
}
