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
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server"
	"github.com/extproc/extproc/server/rpc"
)

// daemon is what `extproc serve` runs: the service, and the side doors that show
// its health and metrics.
type daemon struct {
	log     *slog.Logger
	main    transport
	service *server.Service
	health  *health.Server
	metrics *prometheus.Registry
	current *plugin.Current
	// reloader loads what is current.
	reloader *plugin.Reloader

	healthServer  *grpc.Server
	metricsServer *http.Server
}

// serviceName is what health is asked about, besides "" for all.
var serviceName = extprocv3.ExternalProcessor_ServiceDesc.ServiceName

func newDaemon(r *plugin.Reloader, opts server.Options, how transportOptions) (*daemon, error) {
	d := &daemon{
		log:     opts.Log,
		health:  health.NewServer(),
		metrics: prometheus.NewRegistry(),
		current: r.Current(),
	}
	d.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d.reloader = r
	success := prometheus.NewCounter(prometheus.CounterOpts{Name: "extproc_config_reload_success", Help: "Configurations loaded."})
	failure := prometheus.NewCounter(prometheus.CounterOpts{Name: "extproc_config_reload_failure", Help: "Configurations that could not be loaded."})
	gauge := func(name, help string, read func(plugin.Attempt) float64) {
		d.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return read(r.Last()) }))
	}
	gauge("extproc_config_last_reload_successful", "Whether the last configuration could be loaded.", func(a plugin.Attempt) float64 {
		if a.Err != nil || a.When.IsZero() {
			return 0
		}
		return 1
	})
	gauge("extproc_config_last_reload_success_timestamp_seconds", "When the configuration in use was loaded.", func(a plugin.Attempt) float64 {
		if a.Loaded.IsZero() {
			return 0
		}
		return float64(a.Loaded.UnixMilli()) / 1e3
	})
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
	d.serving(false)
	var err error
	d.main, err = how.open(d.service, d.health)
	return d, err
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
		d.metricsServer = &http.Server{Handler: d.admin(o.pprof), ReadHeaderTimeout: 10 * time.Second}
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
	if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) && !errors.Is(err, rpc.ErrStopped) {
		return err
	}
	d.log.Info("stopped")
	return nil
}
