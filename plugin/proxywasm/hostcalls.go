package proxywasm

// versions is a set of versions of the ABI.
type versions uint8

const (
	v010 versions = 1 << iota
	v020
	v021

	v02x = v020 | v021
	all  = v010 | v02x
)

// hostcall is a function that guests may import from env.
type hostcall struct {
	name     string
	versions versions // whose specification has it
	params   []kind   // what comes in, then what goes out
	call     func(*call) Status
	// anytime marks what may also be called from an allocator.
	anytime bool
	// waits marks what may have to wait for a store.
	waits bool
}

// hostcalls is THE table of hostcalls. A module that imports one which the
// specification of its version lacks gets it all the same.
var hostcalls = []hostcall{
	{name: "proxy_log", versions: all, params: []kind{logLevelID, bytesIn}, call: log, anytime: true},
	{name: "proxy_get_log_level", versions: v021, params: []kind{out32}, call: logLevel, anytime: true},
	{name: "proxy_get_current_time_nanoseconds", versions: all, params: []kind{out64}, call: currentTime, anytime: true},
	{name: "proxy_set_tick_period_milliseconds", versions: all, params: []kind{num32}, call: setTickPeriod},
	{name: "proxy_done", versions: all, call: done},
	{name: "proxy_set_effective_context", versions: all, params: []kind{num32}, call: setEffectiveContext},
	{name: "proxy_get_configuration", versions: v010, params: []kind{bytesOut}, call: configuration},

	{name: "proxy_get_buffer_bytes", versions: all, params: []kind{bufferID, num32, num32, bytesOut}, call: bufferBytes},
	{name: "proxy_get_buffer_status", versions: all, params: []kind{bufferID, out32, out32}, call: bufferStatus},
	{name: "proxy_set_buffer_bytes", versions: all, params: []kind{bufferID, num32, num32, bytesIn}, call: setBufferBytes},

	{name: "proxy_get_header_map_size", versions: all, params: []kind{mapID, out32}, call: mapSize},
	{name: "proxy_get_header_map_pairs", versions: all, params: []kind{mapID, pairsOut}, call: mapPairs},
	{name: "proxy_set_header_map_pairs", versions: all, params: []kind{mapID, pairsIn}, call: setMapPairs},
	{name: "proxy_get_header_map_value", versions: all, params: []kind{mapID, bytesIn, bytesOut}, call: mapValue},
	{name: "proxy_add_header_map_value", versions: all, params: []kind{mapID, bytesIn, bytesIn}, call: addMapValue},
	{name: "proxy_replace_header_map_value", versions: all, params: []kind{mapID, bytesIn, bytesIn}, call: replaceMapValue},
	{name: "proxy_remove_header_map_value", versions: all, params: []kind{mapID, bytesIn}, call: removeMapValue},

	{name: "proxy_continue_request", versions: v010, call: continueRequest},
	{name: "proxy_continue_response", versions: v010, call: continueResponse},
	{name: "proxy_continue_stream", versions: v02x, params: []kind{streamID}, call: continueStream},
	{name: "proxy_close_stream", versions: v02x, params: []kind{streamID}, call: closeStream},
	{name: "proxy_clear_route_cache", versions: v010, call: clearRouteCache},
	{name: "proxy_send_local_response", versions: all, params: []kind{num32, bytesIn, bytesIn, pairsIn, num32}, call: sendLocalResponse},

	{name: "proxy_http_call", versions: all, params: []kind{bytesIn, pairsIn, bytesIn, pairsIn, num32, out32}, call: httpCall},
	{name: "proxy_grpc_call", versions: all, params: []kind{bytesIn, bytesIn, bytesIn, pairsIn, bytesIn, num32, out32}, call: grpcCall},
	{name: "proxy_grpc_stream", versions: all, params: []kind{bytesIn, bytesIn, bytesIn, pairsIn, out32}, call: grpcStream},
	{name: "proxy_grpc_send", versions: all, params: []kind{num32, bytesIn, num32}, call: grpcSend},
	{name: "proxy_grpc_cancel", versions: all, params: []kind{num32}, call: grpcCancel},
	{name: "proxy_grpc_close", versions: all, params: []kind{num32}, call: grpcClose},
	{name: "proxy_get_status", versions: all, params: []kind{out32, bytesOut}, call: callStatus},

	{name: "proxy_get_shared_data", versions: all, params: []kind{bytesIn, bytesOut, out32}, call: sharedData, waits: true},
	{name: "proxy_set_shared_data", versions: all, params: []kind{bytesIn, bytesIn, num32}, call: setSharedData, waits: true},
	{name: "proxy_register_shared_queue", versions: all, params: []kind{bytesIn, out32}, call: registerQueue, waits: true},
	{name: "proxy_resolve_shared_queue", versions: all, params: []kind{bytesIn, bytesIn, out32}, call: resolveQueue, waits: true},
	{name: "proxy_enqueue_shared_queue", versions: all, params: []kind{num32, bytesIn}, call: enqueue, waits: true},
	{name: "proxy_dequeue_shared_queue", versions: all, params: []kind{num32, bytesOut}, call: dequeue, waits: true},

	{name: "proxy_define_metric", versions: all, params: []kind{num32, bytesIn, out32}, call: defineMetric},
	{name: "proxy_increment_metric", versions: all, params: []kind{num32, num64}, call: incrementMetric},
	{name: "proxy_record_metric", versions: all, params: []kind{num32, num64}, call: recordMetric},
	{name: "proxy_get_metric", versions: all, params: []kind{num32, out64}, call: metricValue},

	{name: "proxy_get_property", versions: all, params: []kind{bytesIn, bytesOut}, call: property},
	{name: "proxy_set_property", versions: all, params: []kind{bytesIn, bytesIn}, call: setProperty},
	{name: "proxy_call_foreign_function", versions: all, params: []kind{bytesIn, bytesIn, bytesMaybe}, call: callForeignFunction},
}
