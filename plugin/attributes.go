package plugin

import (
	"slices"
	"strings"
)

// Attributes are what the proxy tells of an exchange beside its messages. Values
// are decoded when they are asked for.
type Attributes interface {
	// Attribute is the value of an attribute as it came over the wire, under the
	// name it was requested by.
	Attribute(name string) (Value, bool)
	// Metadata is a namespace of the proxy's dynamic metadata, a map.
	Metadata(namespace string) (Value, bool)
}

// known is an attribute that Envoy documents.
type known struct {
	name string
	kind ValueKind
	// cheap ones are requested for guests that may read any. Not those whose
	// values come to kilobytes, come as a text that only people can read, or can
	// be had from the headers.
	cheap bool
}

// knownAttributes is the table of attributes by Envoy's names ("Attributes" in
// its documentation).
var knownAttributes = []known{
	{"connection.dns_san_local_certificate", TextValue, true},
	{"connection.dns_san_peer_certificate", TextValue, true},
	{"connection.id", IntValue, true},
	{"connection.mtls", BoolValue, true},
	{"connection.requested_server_name", TextValue, true},
	{"connection.sha256_peer_certificate_digest", TextValue, true},
	{"connection.subject_local_certificate", TextValue, true},
	{"connection.subject_peer_certificate", TextValue, true},
	{"connection.termination_details", TextValue, false},
	{"connection.tls_version", TextValue, true},
	{"connection.transport_failure_reason", TextValue, false},
	{"connection.uri_san_local_certificate", TextValue, true},
	{"connection.uri_san_peer_certificate", TextValue, true},
	{"destination.address", TextValue, true},
	{"destination.port", IntValue, true},
	{"filter_state", MapValue, false},
	{"metadata", MapValue, false},
	{"request.duration", DurationValue, false},
	{"request.headers", MapValue, false},
	{"request.host", TextValue, false},
	{"request.id", TextValue, false},
	{"request.method", TextValue, false},
	{"request.path", TextValue, false},
	{"request.protocol", TextValue, true},
	{"request.query", TextValue, false},
	{"request.referer", TextValue, false},
	{"request.scheme", TextValue, false},
	{"request.size", IntValue, true},
	{"request.time", TimeValue, true},
	{"request.total_size", IntValue, true},
	{"request.url_path", TextValue, false},
	{"request.useragent", TextValue, false},
	{"response.backend_latency", DurationValue, false},
	{"response.code", IntValue, false},
	{"response.code_details", TextValue, true},
	{"response.flags", IntValue, true},
	{"response.grpc_status", IntValue, true},
	{"response.headers", MapValue, false},
	{"response.size", IntValue, true},
	{"response.total_size", IntValue, true},
	{"response.trailers", MapValue, false},
	{"source.address", TextValue, true},
	{"source.port", IntValue, true},
	{"upstream.address", TextValue, true},
	{"upstream.cx_pool_ready_duration", DurationValue, false},
	{"upstream.dns_san_local_certificate", TextValue, true},
	{"upstream.dns_san_peer_certificate", TextValue, true},
	{"upstream.local_address", TextValue, true},
	{"upstream.locality", MapValue, false},
	{"upstream.port", IntValue, true},
	{"upstream.request_attempt_count", IntValue, true},
	{"upstream.sha256_peer_certificate_digest", TextValue, true},
	{"upstream.subject_local_certificate", TextValue, true},
	{"upstream.subject_peer_certificate", TextValue, true},
	{"upstream.tls_version", TextValue, true},
	{"upstream.transport_failure_reason", TextValue, true},
	{"upstream.uri_san_local_certificate", TextValue, true},
	{"upstream.uri_san_peer_certificate", TextValue, true},
	{"upstream_filter_state", MapValue, false},
	{"xds.cluster_metadata", MapValue, false},
	{"xds.cluster_name", TextValue, true},
	{"xds.filter_chain_name", TextValue, true},
	{"xds.listener_direction", IntValue, true},
	{"xds.listener_metadata", MapValue, false},
	{"xds.node", MapValue, false},
	{"xds.route_metadata", MapValue, false},
	{"xds.route_name", TextValue, true},
	{"xds.upstream_host_locality_metadata", MapValue, false},
	{"xds.upstream_host_metadata", MapValue, false},
	{"xds.virtual_host_metadata", MapValue, false},
	{"xds.virtual_host_name", TextValue, true},
}

// knownAttribute finds an attribute's row; nil if there is none.
func knownAttribute(name string) *known {
	i, ok := slices.BinarySearchFunc(knownAttributes, name, func(k known, name string) int { return strings.Compare(k.name, name) })
	if !ok {
		return nil
	}
	return &knownAttributes[i]
}

// direction is with whose first message an attribute is worth sending.
func direction(name string) Direction {
	for _, prefix := range []string{"response.", "upstream.", "upstream_filter_state", "xds.upstream_host"} {
		if strings.HasPrefix(name, prefix) {
			return Response
		}
	}
	return Request
}

// byDirection sorts names by the direction they are requested with.
func byDirection(names []string) (list [2][]string) {
	for _, name := range names {
		d := direction(name)
		list[d] = append(list[d], name)
	}
	return list
}

// DefaultAttributes are what is requested for a guest that may read any.
func DefaultAttributes() [2][]string {
	var names []string
	for _, k := range knownAttributes {
		if k.cheap {
			names = append(names, k.name)
		}
	}
	return byDirection(names)
}

// Attribute is the value of an attribute by Envoy's name, of the kind that is
// documented for it, if the proxy was asked for it and has it.
func (e *Exchange) Attribute(name string) (Value, bool) {
	if e.Attributes == nil {
		return Value{}, false
	}
	v, ok := e.Attributes.Attribute(name)
	if !ok {
		return Value{}, false
	}
	if k := knownAttribute(name); k != nil {
		v = v.as(k.kind)
	}
	return v, true
}
