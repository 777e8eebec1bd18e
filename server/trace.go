package server

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/extproc/extproc/plugin"
)

// spans are those of one exchange: one for all, one for each plugin, and one for
// each of its steps. The methods of nil do nothing.
type spans struct {
	tracer  trace.Tracer
	all     trace.Span
	ctx     context.Context
	plugins []pluginSpan
}

type pluginSpan struct {
	span trace.Span
	ctx  context.Context
	how  string
}

// propagator reads the context that the exchange's own headers carry: that of the
// gRPC call is the proxy's affair with us. The headers themselves go on as they
// are, with tracestate and baggage.
var propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

// carrier is an exchange's request headers.
type carrier plugin.Headers

// Get implements propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	v, _ := plugin.Headers(c).Get(key)
	return string(v)
}

// Values implements propagation.ValuesGetter.
func (c carrier) Values(key string) (values []string) {
	for _, f := range c {
		if f.Name == key {
			values = append(values, string(f.Value))
		}
	}
	return values
}

// Set implements propagation.TextMapCarrier. Nothing is injected here.
func (carrier) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (c carrier) Keys() []string {
	keys := make([]string, len(c))
	for i, f := range c {
		keys[i] = f.Name
	}
	return keys
}

// trace begins the exchange's span, unless it is not sampled.
func (p *process) trace() {
	ctx := propagator.Extract(p.ctx, carrier(p.ex.Request.Original))
	ctx, span := p.tracer.Start(ctx, callMethod, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(p.began), trace.WithAttributes(
		attribute.String("rpc.system.name", "grpc"),
		attribute.String("rpc.method", callMethod),
		attribute.String("http.request.method", p.method()),
		attribute.String("extproc.exchange", strconv.FormatUint(p.ex.ID, 10)),
		attribute.String("extproc.route", p.route.Name),
	))
	if span.IsRecording() {
		p.spans = &spans{tracer: p.tracer, all: span, ctx: ctx, plugins: make([]pluginSpan, len(p.plugins))}
	}
}

// started begins a plugin's span.
func (s *spans) started(p *process, i int) {
	if s == nil {
		return
	}
	name := p.name(i)
	one := &s.plugins[i]
	one.how = "passed"
	one.ctx, one.span = s.tracer.Start(s.ctx, "plugin "+name, trace.WithAttributes(attribute.String("extproc.plugin", name)))
}

// ran adds the span of a step that has just come to its end.
func (s *spans) ran(i int, phase string, took time.Duration) {
	if s == nil || s.plugins[i].span == nil {
		return
	}
	now := time.Now()
	_, span := s.tracer.Start(s.plugins[i].ctx, phase, trace.WithTimestamp(now.Add(-took)), trace.WithAttributes(attribute.String("extproc.phase", phase)))
	span.End(trace.WithTimestamp(now))
}

// failed adds what went wrong, to all plugins if the place is -1.
func (s *spans) failed(i int, err error, then plugin.Remedy) {
	if s == nil {
		return
	}
	for j := range s.plugins {
		if one := &s.plugins[j]; one.span != nil && (i == j || i < 0) {
			one.how = "failed"
			one.span.RecordError(err)
			one.span.SetStatus(codes.Error, err.Error())
			one.span.SetAttributes(attribute.String("extproc.remedy", remedyNames[then]))
		}
	}
	if then == plugin.Refused {
		s.all.SetStatus(codes.Error, err.Error())
	}
}

// end ends all spans.
func (s *spans) end(how string, err error) {
	if s == nil {
		return
	}
	for i := range s.plugins {
		if one := &s.plugins[i]; one.span != nil {
			one.span.SetAttributes(attribute.String("extproc.outcome", one.how))
			one.span.End()
		}
	}
	if err != nil {
		s.all.RecordError(err)
		s.all.SetStatus(codes.Error, err.Error())
	}
	s.all.SetAttributes(attribute.String("extproc.outcome", how))
	s.all.End()
}
