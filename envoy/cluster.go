package envoy

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	upstreamName = "upstream"
	extProcName  = "extproc"

	connectTimeout = time.Second
	// maxExchanges is how many exchanges may be under way at once. Each is one
	// gRPC stream, which Envoy counts against the cluster's circuit breaker; the
	// default of 1024 answers 500 beyond it.
	maxExchanges = 100_000
)

// cluster is a service with one address.
func cluster(name string, at *corev3.Address, http2 bool) (*clusterv3.Cluster, error) {
	options, err := protocolOptions(http2)
	if err != nil {
		return nil, err
	}
	discovery := clusterv3.Cluster_STATIC
	if isName(at) {
		discovery = clusterv3.Cluster_STRICT_DNS
	}
	return &clusterv3.Cluster{
		Name:                 name,
		ConnectTimeout:       durationpb.New(connectTimeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: discovery},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{
				LbEndpoints: []*endpointv3.LbEndpoint{{
					HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: at}},
				}},
			}},
		},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options,
		},
	}, nil
}

// extProcCluster is the cluster of extproc itself, which speaks gRPC.
func extProcCluster(at *corev3.Address) (*clusterv3.Cluster, error) {
	c, err := cluster(extProcName, at, true)
	if err != nil {
		return nil, err
	}
	limit := wrapperspb.UInt32(maxExchanges)
	c.CircuitBreakers = &clusterv3.CircuitBreakers{
		Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections:     limit,
			MaxPendingRequests: limit,
			MaxRequests:        limit,
		}},
	}
	return c, nil
}

func protocolOptions(http2 bool) (*anypb.Any, error) {
	explicit := &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig{}
	if http2 {
		explicit.ProtocolConfig = &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
		}
	} else {
		explicit.ProtocolConfig = &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: http1Options(),
		}
	}
	return pack(&upstreamsv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &upstreamsv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit},
	})
}

// http1Options keep trailers, which Envoy drops from HTTP/1.1 by default.
func http1Options() *corev3.Http1ProtocolOptions {
	return &corev3.Http1ProtocolOptions{EnableTrailers: true}
}
