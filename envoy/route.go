package envoy

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/extproc/extproc/plugin"
)

// Route is a route of the proxy with plugins of its own.
type Route struct {
	Name string
	// Prefix is the beginning of the route's paths.
	Prefix string
	// Metadata is what extproc knows the route by.
	Metadata []plugin.Mark
	Plugins  []Plugin
}

const extProcFilter = "envoy.filters.http.ext_proc"

// routes are those with plugins of their own, and one for all other paths.
func routes(own []Route) (*routev3.RouteConfiguration, error) {
	host := &routev3.VirtualHost{Name: "all", Domains: []string{"*"}}
	for _, r := range own {
		packed, err := pack(override(r))
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", r.Name, err)
		}
		one := route(r.Prefix)
		one.Name = r.Name
		one.TypedPerFilterConfig = map[string]*anypb.Any{extProcFilter: packed}
		host.Routes = append(host.Routes, one)
	}
	host.Routes = append(host.Routes, route("/"))
	return &routev3.RouteConfiguration{Name: "upstream", VirtualHosts: []*routev3.VirtualHost{host}}, nil
}

func route(prefix string) *routev3.Route {
	return &routev3.Route{
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: prefix}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: upstreamName},
			// The default of 15 s would cut long downloads and gRPC streams;
			// an idle stream still ends after Envoy's five minutes.
			Timeout: durationpb.New(0),
		}},
	}
}

// override is what a route changes about the filter. Attributes can't be changed:
// Envoy has the field, and doesn't look at it.
func override(r Route) *extprocv3.ExtProcPerRoute {
	if len(r.Plugins) == 0 {
		return &extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Disabled{Disabled: true}}
	}
	needs := union(r.Plugins)
	o := &extprocv3.ExtProcOverrides{
		ProcessingMode:   mode(needs),
		FailureModeAllow: wrapperspb.Bool(failOpen(r.Plugins)),
		// The filter's may be another set's: no namespaces is not the same as none said.
		MetadataOptions: &extprocv3.MetadataOptions{
			ForwardingNamespaces: &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: needs.Reads},
			ReceivingNamespaces:  &extprocv3.MetadataOptions_MetadataNamespaces{Untyped: needs.Writes},
		},
	}
	for _, m := range r.Metadata {
		o.GrpcInitialMetadata = append(o.GrpcInitialMetadata, &corev3.HeaderValue{Key: m.Key, Value: m.Value})
	}
	return &extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Overrides{Overrides: o}}
}

// overriding says whether the plugins need a mode override in some exchange.
func overriding(needs plugin.Needs) bool {
	return needs.Body[plugin.Request] == plugin.OnDemand || needs.Body[plugin.Response] == plugin.OnDemand
}
