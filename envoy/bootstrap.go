// Package envoy writes the configuration of the Envoy in front of extproc: what
// the plugins need decides what the proxy sends.
package envoy

import (
	"errors"
	"fmt"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/extproc/extproc/plugin"
)

// Options say where things are. An address is unix:///path, host:port or
// [IPv6]:port.
type Options struct {
	// Listen is where Envoy accepts HTTP/1.1 and HTTP/2 without TLS.
	Listen string
	// Upstream is the service behind Envoy; UpstreamHTTP2 says that it speaks
	// HTTP/2 without TLS, as gRPC services do, and not HTTP/1.1.
	Upstream      string
	UpstreamHTTP2 bool
	// ExtProc is where extproc serves.
	ExtProc string
	// Admin is where Envoy's own admin interface listens; "" is none.
	Admin string
	// MessageTimeout is how long Envoy waits for an answer; 0 is as long as the plugins
	// may run, and half a minute for what they wait for. MaxMessageTimeout is how long
	// it may be asked to wait instead; 0 is not at all.
	MessageTimeout, MaxMessageTimeout time.Duration
	// Routes have plugins of their own; of those whose prefix fits, the first counts.
	Routes []Route
	// Attributes tell extproc which plugins an exchange is for.
	Attributes []string
}

// Plugin is what a plugin of the chain asks of the proxy.
type Plugin struct {
	Needs        plugin.Needs
	FailStrategy plugin.FailStrategy
	// Timeout is how long the plugin may run in one exchange.
	Timeout time.Duration
}

// Bootstrap is the whole configuration of an Envoy that has its traffic seen by
// a chain of plugins, as YAML. Errors name the option that is wrong.
func Bootstrap(opts Options, plugins ...Plugin) ([]byte, error) {
	boot, err := bootstrap(opts, plugins)
	if err != nil {
		return nil, err
	}
	if err := boot.ValidateAll(); err != nil {
		return nil, fmt.Errorf("the generated configuration is not valid: %w", err)
	}
	return render(boot)
}

func bootstrap(opts Options, plugins []Plugin) (*bootstrapv3.Bootstrap, error) {
	listen, errListen := address("listen", opts.Listen)
	upstream, errUpstream := address("upstream", opts.Upstream)
	extproc, errExtProc := address("extproc", opts.ExtProc)
	if err := errors.Join(errListen, errUpstream, errExtProc); err != nil {
		return nil, err
	}
	table, err := routes(opts.Routes)
	if err != nil {
		return nil, err
	}
	manager, err := connectionManager(filter(plugins, opts), table)
	if err != nil {
		return nil, err
	}
	upstreamCluster, err := cluster(upstreamName, upstream, opts.UpstreamHTTP2)
	if err != nil {
		return nil, err
	}
	extprocCluster, err := extProcCluster(extproc)
	if err != nil {
		return nil, err
	}
	boot := &bootstrapv3.Bootstrap{
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Listeners: []*listenerv3.Listener{listener(listen, manager)},
			Clusters:  []*clusterv3.Cluster{upstreamCluster, extprocCluster},
		},
	}
	if opts.Admin != "" {
		admin, err := address("admin", opts.Admin)
		if err != nil {
			return nil, err
		}
		boot.Admin = &bootstrapv3.Admin{Address: admin}
	}
	return boot, nil
}
