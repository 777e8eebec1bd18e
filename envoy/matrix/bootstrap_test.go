package matrix

import (
	"encoding/json"
	"net"
	"strconv"
	"testing"
)

// obj is a JSON object.
type obj map[string]any

const typeURL = "type.googleapis.com/envoy.extensions."

// bootstrap has a listener for each setting of allow_mode_override, and on both a route for
// each mode and set of plugins: one Envoy serves the whole matrix.
func bootstrap(t *testing.T, listeners map[bool]string, upstream, extproc string) []byte {
	t.Helper()
	var all []any
	for override, address := range listeners {
		all = append(all, obj{
			"address": socket(t, address),
			"filter_chains": []any{obj{"filters": []any{obj{
				"name": "http",
				"typed_config": obj{
					"@type":                 typeURL + "filters.network.http_connection_manager.v3.HttpConnectionManager",
					"stat_prefix":           "http",
					"http_protocol_options": obj{"enable_trailers": true},
					"route_config":          obj{"virtual_hosts": []any{obj{"name": "all", "domains": []string{"*"}, "routes": routes()}}},
					"http_filters": []any{
						obj{"name": "envoy.filters.http.ext_proc", "typed_config": obj{
							"@type":               typeURL + "filters.http.ext_proc.v3.ExternalProcessor",
							"grpc_service":        obj{"envoy_grpc": obj{"cluster_name": "extproc"}},
							"message_timeout":     "3s",
							"allow_mode_override": override,
						}},
						obj{"name": "router", "typed_config": obj{"@type": typeURL + "filters.http.router.v3.Router"}},
					},
				},
			}}}},
		})
	}
	text, err := json.Marshal(obj{
		"admin": obj{"address": socket(t, "127.0.0.1:0")},
		"static_resources": obj{
			"listeners": all,
			"clusters":  []any{cluster(t, "upstream", upstream, "http1"), cluster(t, "extproc", extproc, "http2")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func routes() []any {
	var all []any
	for _, m := range modes {
		for _, set := range sets {
			all = append(all, obj{
				"match": obj{"prefix": "/" + m.name() + "/" + set + "/"},
				"route": obj{"cluster": "upstream"},
				"typed_per_filter_config": obj{"envoy.filters.http.ext_proc": obj{
					"@type": typeURL + "filters.http.ext_proc.v3.ExtProcPerRoute",
					"overrides": obj{
						"processing_mode": obj{
							"request_header_mode": "SEND", "response_header_mode": "SEND",
							"request_body_mode": m.body, "response_body_mode": m.body,
							"request_trailer_mode": m.trailers, "response_trailer_mode": m.trailers,
						},
						"grpc_initial_metadata": []any{obj{"key": "x-extproc-route", "value": set}},
					},
				}},
			})
		}
	}
	return all
}

func cluster(t *testing.T, name, address, protocol string) obj {
	t.Helper()
	return obj{
		"name": name, "type": "STATIC", "connect_timeout": "5s",
		"load_assignment": obj{"cluster_name": name, "endpoints": []any{obj{"lb_endpoints": []any{obj{"endpoint": obj{"address": socket(t, address)}}}}}},
		"typed_extension_protocol_options": obj{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": obj{
			"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config": protocols[protocol],
		}},
	}
}

func socket(t *testing.T, address string) obj {
	t.Helper()
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return obj{"socket_address": obj{"address": host, "port_value": port}}
}

// protocols are what clusters speak. Trailers of HTTP/1.1 are dropped by default.
var protocols = map[string]obj{
	"http1": {"http_protocol_options": obj{"enable_trailers": true}},
	"http2": {"http2_protocol_options": obj{}},
}
