package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// flushLimit is how long the last spans may take to be sent.
const flushLimit = 5 * time.Second

// tracing makes a tracer as the environment says by OpenTelemetry's own variables,
// which the library reads but for those that choose an exporter. It is nil when
// they ask for none.
func tracing(ctx context.Context, log *slog.Logger) (trace.Tracer, func(), error) {
	exporter, err := exporter(ctx)
	if exporter == nil || err != nil {
		return nil, func() {}, err
	}
	// What the environment says counts for more than our own name and version.
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "extproc"), attribute.String("service.version", versionText())),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		return nil, func() {}, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces", "error", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	flush := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("the last traces were not sent", "error", err)
		}
	}
	return provider.Tracer("github.com/extproc/extproc", trace.WithInstrumentationVersion(versionText())), flush, nil
}

// exporter is the one that the environment asks for; nil if none.
func exporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	named, set := os.LookupEnv("OTEL_TRACES_EXPORTER")
	endpoint := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	off := strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true")
	switch {
	case off, named == "none", !set && endpoint == "":
		return nil, nil
	case named != "" && named != "otlp":
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: is %q, expected otlp or none", named)
	}
	switch protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf"); protocol {
	case "grpc":
		return otlptracegrpc.New(ctx)
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: is %q, expected grpc or http/protobuf", protocol)
	}
}
