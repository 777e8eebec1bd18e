package proxywasm

// callbackID is a row of callbacks.
type callbackID uint8

// The callbacks.
const (
	onContextCreate callbackID = iota
	onVMStart
	onConfigure
	onTick
	onQueueReady
	onDone
	onLog
	onDelete
	onRequestHeaders
	onRequestBody
	onRequestTrailers
	onResponseHeaders
	onResponseBody
	onResponseTrailers
	onHTTPCallResponse
	onGRPCInitialMetadata
	onGRPCReceive
	onGRPCTrailingMetadata
	onGRPCClose
	onForeignFunction
	onNewConnection
	onDownstreamData
	onUpstreamData
	onDownstreamClose
	onUpstreamClose
	callbackCount
)

// callback is a function that guests may export. All parameters are i32, and so
// is the result.
type callback struct {
	name     string
	versions versions // whose specification has it
	// params is how many parameters it has, or fewest of them: the headers
	// callbacks got a third in 0.2.0, and modules are known that export those of
	// one version and claim another.
	params, fewest int
	// result says that it has one, and missing what it is if the module lacks
	// the callback.
	result  bool
	missing uint32
}

// callbacks is THE table of callbacks.
var callbacks = [callbackCount]callback{
	onContextCreate:        {name: "proxy_on_context_create", versions: all, params: 2},
	onVMStart:              {name: "proxy_on_vm_start", versions: all, params: 2, result: true, missing: 1},
	onConfigure:            {name: "proxy_on_configure", versions: all, params: 2, result: true, missing: 1},
	onTick:                 {name: "proxy_on_tick", versions: all, params: 1},
	onQueueReady:           {name: "proxy_on_queue_ready", versions: all, params: 2},
	onDone:                 {name: "proxy_on_done", versions: all, params: 1, result: true, missing: 1},
	onLog:                  {name: "proxy_on_log", versions: all, params: 1},
	onDelete:               {name: "proxy_on_delete", versions: all, params: 1},
	onRequestHeaders:       {name: "proxy_on_request_headers", versions: all, params: 3, fewest: 2, result: true},
	onRequestBody:          {name: "proxy_on_request_body", versions: all, params: 3, result: true},
	onRequestTrailers:      {name: "proxy_on_request_trailers", versions: all, params: 2, result: true},
	onResponseHeaders:      {name: "proxy_on_response_headers", versions: all, params: 3, fewest: 2, result: true},
	onResponseBody:         {name: "proxy_on_response_body", versions: all, params: 3, result: true},
	onResponseTrailers:     {name: "proxy_on_response_trailers", versions: all, params: 2, result: true},
	onHTTPCallResponse:     {name: "proxy_on_http_call_response", versions: all, params: 5},
	onGRPCInitialMetadata:  {name: "proxy_on_grpc_receive_initial_metadata", versions: all, params: 3},
	onGRPCReceive:          {name: "proxy_on_grpc_receive", versions: all, params: 3},
	onGRPCTrailingMetadata: {name: "proxy_on_grpc_receive_trailing_metadata", versions: all, params: 3},
	onGRPCClose:            {name: "proxy_on_grpc_close", versions: all, params: 3},
	onForeignFunction:      {name: "proxy_on_foreign_function", versions: v02x, params: 3},
	onNewConnection:        {name: "proxy_on_new_connection", versions: all, params: 1, result: true},
	onDownstreamData:       {name: "proxy_on_downstream_data", versions: all, params: 3, result: true},
	onUpstreamData:         {name: "proxy_on_upstream_data", versions: all, params: 3, result: true},
	onDownstreamClose:      {name: "proxy_on_downstream_connection_close", versions: all, params: 2},
	onUpstreamClose:        {name: "proxy_on_upstream_connection_close", versions: all, params: 2},
}

// phaseCallbacks are the callbacks of an exchange, by direction and part.
var phaseCallbacks = [2][3]callbackID{
	{onRequestHeaders, onRequestBody, onRequestTrailers},
	{onResponseHeaders, onResponseBody, onResponseTrailers},
}
