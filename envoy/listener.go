package envoy

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

func listener(at *corev3.Address, manager *anypb.Any) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name:    "http",
		Address: at,
		FilterChains: []*listenerv3.FilterChain{{
			Filters: []*listenerv3.Filter{{
				Name:       "envoy.filters.network.http_connection_manager",
				ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager},
			}},
		}},
	}
}

// connectionManager is the HTTP side of the listener, with extproc's filter in
// front of the router.
func connectionManager(extproc *extprocv3.ExternalProcessor, routes *routev3.RouteConfiguration) (*anypb.Any, error) {
	extprocFilter, err := httpFilter(extProcFilter, extproc)
	if err != nil {
		return nil, err
	}
	router, err := httpFilter("envoy.filters.http.router", &routerv3.Router{})
	if err != nil {
		return nil, err
	}
	return pack(&hcmv3.HttpConnectionManager{
		StatPrefix:          "http",
		CodecType:           hcmv3.HttpConnectionManager_AUTO,
		HttpProtocolOptions: http1Options(),
		// A plugin may set or remove "server"; the default would overwrite it.
		ServerHeaderTransformation: hcmv3.HttpConnectionManager_PASS_THROUGH,
		// A WebSocket's handshake is seen by the plugins, its frames are not.
		UpgradeConfigs: []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes},
		HttpFilters:    []*hcmv3.HttpFilter{extprocFilter, router},
	})
}

func httpFilter(name string, config message) (*hcmv3.HttpFilter, error) {
	packed, err := pack(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed}}, nil
}
