package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// serveOptions are the flags of `extproc serve`.
type serveOptions struct {
	config      string
	grpcAddr    string
	grpcPort    int
	healthPort  int
	metricsPort int
	transport   string
	pprof       bool
	tls         tlsFlags
	drain       drain
	limits      limitFlags
	guests      guestOptions
	log         logFlags
}

func serveCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the plugins of a configuration to proxies",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := o.log.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			o.guests.services = host.NewServices(stores(log))
			abis, free, err := guests(cmd.Context(), o.guests)
			if err != nil {
				return err
			}
			err = serve(cmd.Context(), o, abis, log)
			return errors.Join(err, free(context.WithoutCancel(cmd.Context())))
		},
	}
	configFlag(cmd, &o.config)
	cacheFlag(cmd, &o.guests.cache)
	flags := cmd.Flags()
	flags.IntVar(&o.grpcPort, "grpc-port", 9002, "port of the ext_proc service, for a proxy on another machine")
	flags.StringVar(&o.grpcAddr, "grpc-addr", "", "address of the ext_proc service instead: unix:///path, which costs a proxy on the same machine least, or host:port")
	flags.StringVar(&o.transport, "transport", "grpc-go", "what serves ext_proc: grpc-go, or frames, a server of HTTP/2 frames for this one method that costs less")
	flags.IntVar(&o.healthPort, "grpc-health-port", 9003, "port of a health service of its own; 0 for none")
	flags.IntVar(&o.metricsPort, "metrics-port", 9090, "port of /metrics, /healthz, /readyz and the admin page; 0 for none")
	flags.BoolVar(&o.pprof, "pprof", false, "serve Go's profiles under /debug/pprof/ of the metrics port")
	flags.DurationVar(&o.drain.timeout, "drain-timeout", 30*time.Second, "how long exchanges may take to end after SIGTERM; what is left is answered by its plugins' policies")
	flags.DurationVar(&o.drain.delay, "shutdown-delay", 0, "how long exchanges are still taken after SIGTERM, when readiness is off, before they are drained")
	cmd.MarkFlagsMutuallyExclusive("grpc-port", "grpc-addr")
	o.tls.add(cmd)
	o.limits.add(cmd)
	o.log.add(cmd)
	return cmd
}

func cacheFlag(cmd *cobra.Command, cache *string) {
	cmd.Flags().StringVar(cache, "cache-dir", defaultCache(), "folder of compiled plugins; empty for none")
}

// defaultCache is the user's cache folder, if there is one.
func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return dir + "/extproc"
}

// serve serves until ctx ends, then drains.
func serve(ctx context.Context, o serveOptions, abis []plugin.ABI, log *slog.Logger) error {
	defer runtime.KeepAlive(floor())
	reloader := &plugin.Reloader{Path: o.config, ABIs: abis, Log: log}
	tracer, flush, err := tracing(ctx, log)
	if err != nil {
		return err
	}
	defer flush()
	secure, closeTLS, err := o.tls.config()
	if err != nil {
		return err
	}
	defer closeTLS()
	d, err := newDaemon(reloader, o.limits.options(log, tracer), transportOptions{kind: o.transport, message: o.limits.message, tls: secure, log: log})
	if err != nil {
		return err
	}
	if o.guests.services != nil {
		d.metrics.MustRegister(o.guests.services.Metrics, o.guests.services.Tasks, o.guests.services.StoreMetrics)
	}
	if err := d.sideDoors(o); err != nil {
		return err
	}
	defer d.closeSideDoors()
	if err := reloader.Load(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
			return nil // it was told to end meanwhile
		}
		return err
	}
	defer func() { _ = reloader.Current().Close() }() // what went wrong is in the log
	l, err := listen(o)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := reloader.Watch(watching); err != nil {
			log.Warn("changes of the configuration are not seen", "error", err)
		}
	}()
	defer func() { stop(); <-watched }()
	defer onHangup(reloader.Reload)()
	log.Info("serving", "address", l.Addr().String(), "version", versionText())
	return d.run(ctx, l, o.drain)
}

// onHangup calls f on SIGHUP until the function that it returns is called.
func onHangup(f func()) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			f()
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
	}
}

// listen opens the address of the service. A socket file that nobody listens on
// any more is in nobody's way.
func listen(o serveOptions) (net.Listener, error) {
	path, unix := strings.CutPrefix(o.grpcAddr, "unix://")
	if !unix {
		addr := o.grpcAddr
		if addr == "" {
			addr = fmt.Sprintf(":%d", o.grpcPort)
		}
		return net.Listen("tcp", addr)
	}
	if path == "" {
		return nil, errors.New("--grpc-addr: is \"unix://\", expected unix:///path")
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("--grpc-addr: another server listens on %s", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", path)
}
