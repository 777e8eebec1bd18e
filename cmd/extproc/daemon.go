package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server"
)

// daemon is what `extproc serve` runs: the service, and the side doors that show
// its health and metrics.
type daemon struct {
	log     *slog.Logger
	main    *grpc.Server
	service *server.Service
	health  *health.Server
	metrics *prometheus.Registry
	current *plugin.Current

	healthServer  *grpc.Server
	metricsServer *http.Server
}

// serviceName is what health is asked about, besides "" for all.
var serviceName = extprocv3.ExternalProcessor_ServiceDesc.ServiceName

func newDaemon(r *plugin.Reloader, opts server.Options, transport ...grpc.ServerOption) *daemon {
	d := &daemon{
		log:     opts.Log,
		main:    grpc.NewServer(transport...),
		health:  health.NewServer(),
		metrics: prometheus.NewRegistry(),
		current: r.Current(),
	}
	d.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	success := prometheus.NewCounter(prometheus.CounterOpts{Name: "extproc_config_reload_success", Help: "Configurations loaded."})
	failure := prometheus.NewCounter(prometheus.CounterOpts{Name: "extproc_config_reload_failure", Help: "Configurations that could not be loaded."})
	d.metrics.MustRegister(success, failure)
	r.Loaded = func(err error) {
		if err != nil {
			failure.Inc()
			return
		}
		success.Inc()
	}
	opts.Metrics = d.metrics
	d.service = server.New(d.current, opts)
	d.service.Register(d.main)
	healthv1.RegisterHealthServer(d.main, d.health)
	d.serving(false)
	return d
}

func (d *daemon) serving(yes bool) {
	s := healthv1.HealthCheckResponse_NOT_SERVING
	if yes {
		s = healthv1.HealthCheckResponse_SERVING
	}
	d.health.SetServingStatus("", s)
	d.health.SetServingStatus(serviceName, s)
}

// sideDoors opens the health and metrics ports, which answer before the plugins
// are loaded.
func (d *daemon) sideDoors(o serveOptions) error {
	if o.healthPort != 0 {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", o.healthPort))
		if err != nil {
			return fmt.Errorf("--grpc-health-port: %w", err)
		}
		d.healthServer = grpc.NewServer()
		healthv1.RegisterHealthServer(d.healthServer, d.health)
		go func() { _ = d.healthServer.Serve(l) }() // ends when it is stopped
	}
	if o.metricsPort != 0 {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", o.metricsPort))
		if err != nil {
			d.closeSideDoors()
			return fmt.Errorf("--metrics-port: %w", err)
		}
		d.metricsServer = &http.Server{Handler: d.admin(), ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = d.metricsServer.Serve(l) }() // ends when it is closed
	}
	return nil
}

func (d *daemon) closeSideDoors() {
	if d.healthServer != nil {
		d.healthServer.Stop()
	}
	if d.metricsServer != nil {
		_ = d.metricsServer.Close() // nothing is lost with a scrape
	}
}

// admin is /metrics, /healthz (alive) and /readyz (serving).
func (d *daemon) admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		resp, err := d.health.Check(r.Context(), &healthv1.HealthCheckRequest{})
		if err != nil || resp.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			http.Error(w, "not serving", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// drain says how a server ends.
type drain struct {
	// delay is how long exchanges are still taken when it is no longer ready: it
	// takes proxies a while to hear of that.
	delay time.Duration
	// timeout is how long exchanges may then take to end.
	timeout time.Duration
}

// settling is how long answers to exchanges that took too long may be on their way.
func (d drain) settling() time.Duration { return min(d.timeout/4, time.Second) }

// run serves on l until ctx ends; then it takes no more exchanges and gives those
// under way a while to end.
func (d *daemon) run(ctx context.Context, l net.Listener, how drain) error {
	ended := make(chan error, 1)
	go func() { ended <- d.main.Serve(l) }()
	d.serving(true)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	d.health.Shutdown()
	d.log.Info("draining", "delay", how.delay, "timeout", how.timeout)
	select {
	case err := <-ended:
		return err
	case <-time.After(how.delay):
	}
	d.service.End(how.timeout - how.settling())
	timer := time.AfterFunc(how.timeout, func() {
		d.log.Warn("exchanges were cut off, they took longer than the drain timeout")
		d.main.Stop()
	})
	d.main.GracefulStop()
	timer.Stop()
	if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	d.log.Info("stopped")
	return nil
}
