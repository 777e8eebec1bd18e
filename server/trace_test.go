package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/extproc/extproc/plugin"
)

const (
	traceID  = "0af7651916cd43dd8448eb211c80319c"
	parentID = "b7ad6b7169203331"
)

// traced plays an exchange and returns its spans, as "parent > name: attributes".
func traced(t *testing.T, flags string, strategy plugin.FailStrategy, does ...string) (lines []string, spans tracetest.SpanStubs) {
	t.Helper()
	memory := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(memory))
	var modules []*scripted
	for range does {
		modules = append(modules, &scripted{})
	}
	s := New(currentOf(t, strategy, modules...), Options{Tracer: provider.Tracer("test")})
	tp := &tape{msgs: []*extprocv3.ProcessingRequest{
		msg("qh :method: GET, x-do: " + does[0] + ", traceparent: 00-" + traceID + "-" + parentID + "-" + flags + ", tracestate: a=b, baggage: c=d eos"),
		msg("rh :status: 200 eos"),
	}}
	tp.ctx = context.Background()
	if err := s.Process(tp); err != nil {
		t.Fatal(err)
	}
	spans = memory.GetSpans()
	names := map[trace.SpanID]string{}
	for _, sp := range spans {
		names[sp.SpanContext.SpanID()] = sp.Name
	}
	for _, sp := range spans {
		parent := names[sp.Parent.SpanID()]
		if parent == "" {
			parent = sp.Parent.SpanID().String()
		}
		line := parent + " > " + sp.Name + ":"
		for _, a := range sp.Attributes {
			if strings.HasPrefix(string(a.Key), "extproc.") && a.Key != "extproc.exchange" {
				line += fmt.Sprintf(" %s=%s", a.Key[len("extproc."):], a.Value.String())
			}
		}
		if sp.Status.Description != "" {
			line += " " + sp.Status.Code.String()
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines, spans
}

// TestTrace: an exchange's spans hang on the trace that its own headers tell, if
// that is sampled.
func TestTrace(t *testing.T) {
	got, spans := traced(t, "01", plugin.FailClose, "pass", "pass")
	want := []string{
		parentID + " > " + callMethod + ": route= outcome=passed",
		callMethod + " > plugin scripted-0: plugin=scripted-0 outcome=passed",
		callMethod + " > plugin scripted-1: plugin=scripted-1 outcome=passed",
		"plugin scripted-0 > request_headers: phase=request_headers",
		"plugin scripted-0 > response_headers: phase=response_headers",
		"plugin scripted-1 > request_headers: phase=request_headers",
		"plugin scripted-1 > response_headers: phase=response_headers",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, sp := range spans {
		if id := sp.SpanContext.TraceID().String(); id != traceID || sp.SpanContext.TraceState().Get("a") != "b" {
			t.Errorf("%s: trace %s, state %s", sp.Name, id, sp.SpanContext.TraceState())
		}
		if sp.EndTime.Before(sp.StartTime) {
			t.Errorf("%s ends before it starts", sp.Name)
		}
	}
	if got, _ := traced(t, "00", plugin.FailClose, "pass"); len(got) > 0 {
		t.Errorf("spans of a trace that is not sampled: %q", got)
	}
}

// TestTraceFailure: the spans tell what failed and what was done about it.
func TestTraceFailure(t *testing.T) {
	for strategy, want := range map[plugin.FailStrategy][2]string{
		plugin.FailClose: {"route= outcome=refused Error", "remedy=refused outcome=failed Error"},
		plugin.FailOpen:  {"route= outcome=passed", "remedy=passed outcome=failed Error"},
	} {
		got, spans := traced(t, "01", strategy, "trap")
		all := strings.Join(got, "\n") + "\n"
		for _, line := range want {
			if !strings.Contains(all, line+"\n") {
				t.Errorf("no span with %q:\n%s", line, all)
			}
		}
		events := 0
		for _, sp := range spans {
			events += len(sp.Events)
		}
		if events != 1 {
			t.Errorf("%d events, want the error", events)
		}
	}
}

// TestUntracedAllocates: tracing that is off costs nothing, whatever the headers say.
func TestUntracedAllocates(t *testing.T) {
	allocs := func(opts Options, parent string) float64 {
		var c plugin.Current
		spec := &plugin.Spec{Name: "direct", Log: slog.New(slog.DiscardHandler)}
		if err := c.Swap(plugin.NewSet(plugin.NewPlugin(spec, directModule{}))); err != nil {
			t.Fatal(err)
		}
		s := New(&c, opts)
		tp := &tape{msgs: []*extprocv3.ProcessingRequest{msg("qh :method: GET" + parent + " eos"), msg("rh :status: 200 eos")}}
		tp.ctx = context.Background()
		return testing.AllocsPerRun(100, func() {
			tp.next = 0
			_ = s.Process(tp)
		})
	}
	bare := allocs(Options{}, "")
	if with := allocs(Options{}, ", traceparent: 00-"+traceID+"-"+parentID+"-01"); with != bare {
		t.Errorf("a header more: %v allocations instead of %v", with, bare)
	}
}
