package wasihttp

import "github.com/extproc/extproc/abi"

// wasiImports is what guests may import of WASI.
var wasiImports = []hostInterface{
	{"wasi:http/types@0.2", httpResources, []row{
		{"http-error-code", "func(err: borrow<io-error>) -> option<error-code>", httpErrorCode},

		{"[constructor]fields", "func() -> fields", newFields},
		{"[static]fields.from-list", "func(entries: list<tuple<string, list<u8>>>) -> result<fields, header-error>", fieldsFromList},
		{"[method]fields.get", "func(self: borrow<fields>, name: string) -> list<list<u8>>", fieldsGet},
		{"[method]fields.has", "func(self: borrow<fields>, name: string) -> bool", fieldsHas},
		{"[method]fields.set", "func(self: borrow<fields>, name: string, value: list<list<u8>>) -> result<_, header-error>", fieldsSet},
		{"[method]fields.delete", "func(self: borrow<fields>, name: string) -> result<_, header-error>", fieldsDelete},
		{"[method]fields.append", "func(self: borrow<fields>, name: string, value: list<u8>) -> result<_, header-error>", fieldsAppend},
		{"[method]fields.entries", "func(self: borrow<fields>) -> list<tuple<string, list<u8>>>", fieldsEntries},
		{"[method]fields.clone", "func(self: borrow<fields>) -> fields", fieldsClone},

		{"[method]incoming-request.method", "func(self: borrow<incoming-request>) -> method", incomingRequestMethod},
		{"[method]incoming-request.path-with-query", "func(self: borrow<incoming-request>) -> option<string>", incomingRequestPath},
		{"[method]incoming-request.scheme", "func(self: borrow<incoming-request>) -> option<scheme>", incomingRequestScheme},
		{"[method]incoming-request.authority", "func(self: borrow<incoming-request>) -> option<string>", incomingRequestAuthority},
		{"[method]incoming-request.headers", "func(self: borrow<incoming-request>) -> fields", incomingHeaders},
		{"[method]incoming-request.consume", "func(self: borrow<incoming-request>) -> result<incoming-body>", incomingConsume},

		{"[constructor]outgoing-request", "func(headers: fields) -> outgoing-request", newOutgoingRequest},
		{"[method]outgoing-request.body", "func(self: borrow<outgoing-request>) -> result<outgoing-body>", outgoingBodyOf},
		{"[method]outgoing-request.method", "func(self: borrow<outgoing-request>) -> method", outgoingRequestMethod},
		{"[method]outgoing-request.set-method", "func(self: borrow<outgoing-request>, method: method) -> result", outgoingRequestSetMethod},
		{"[method]outgoing-request.path-with-query", "func(self: borrow<outgoing-request>) -> option<string>", outgoingRequestPath},
		{"[method]outgoing-request.set-path-with-query", "func(self: borrow<outgoing-request>, path-with-query: option<string>) -> result", outgoingRequestSetPath},
		{"[method]outgoing-request.scheme", "func(self: borrow<outgoing-request>) -> option<scheme>", outgoingRequestScheme},
		{"[method]outgoing-request.set-scheme", "func(self: borrow<outgoing-request>, scheme: option<scheme>) -> result", outgoingRequestSetScheme},
		{"[method]outgoing-request.authority", "func(self: borrow<outgoing-request>) -> option<string>", outgoingRequestAuthority},
		{"[method]outgoing-request.set-authority", "func(self: borrow<outgoing-request>, authority: option<string>) -> result", outgoingRequestSetAuthority},
		{"[method]outgoing-request.headers", "func(self: borrow<outgoing-request>) -> fields", outgoingHeaders},

		{"[constructor]request-options", "func() -> request-options", newRequestOptions},
		{"[method]request-options.connect-timeout", "func(self: borrow<request-options>) -> option<u64>", connectTimeout.get},
		{"[method]request-options.set-connect-timeout", "func(self: borrow<request-options>, duration: option<u64>) -> result", connectTimeout.set},
		{"[method]request-options.first-byte-timeout", "func(self: borrow<request-options>) -> option<u64>", firstByteTimeout.get},
		{"[method]request-options.set-first-byte-timeout", "func(self: borrow<request-options>, duration: option<u64>) -> result", firstByteTimeout.set},
		{"[method]request-options.between-bytes-timeout", "func(self: borrow<request-options>) -> option<u64>", betweenBytesTimeout.get},
		{"[method]request-options.set-between-bytes-timeout", "func(self: borrow<request-options>, duration: option<u64>) -> result", betweenBytesTimeout.set},

		{"[method]response-outparam.send-informational", "func(self: borrow<response-outparam>, status: u16, headers: fields) -> result<_, error-code>", sendInformational},
		{"[static]response-outparam.set", "func(param: response-outparam, response: result<outgoing-response, error-code>)", responseOutparamSet},

		{"[method]incoming-response.status", "func(self: borrow<incoming-response>) -> u16", incomingResponseStatus},
		{"[method]incoming-response.headers", "func(self: borrow<incoming-response>) -> fields", incomingHeaders},
		{"[method]incoming-response.consume", "func(self: borrow<incoming-response>) -> result<incoming-body>", incomingConsume},

		{"[method]incoming-body.stream", "func(self: borrow<incoming-body>) -> result<input-stream>", incomingBodyStream},
		{"[static]incoming-body.finish", "func(this: incoming-body) -> future-trailers", incomingBodyFinish},

		{"[method]future-trailers.subscribe", "func(self: borrow<future-trailers>) -> pollable", futureTrailersSubscribe},
		{"[method]future-trailers.get", "func(self: borrow<future-trailers>) -> option<result<result<option<fields>, error-code>>>", futureTrailersGet},

		{"[constructor]outgoing-response", "func(headers: fields) -> outgoing-response", newOutgoingResponse},
		{"[method]outgoing-response.status-code", "func(self: borrow<outgoing-response>) -> u16", outgoingResponseStatus},
		{"[method]outgoing-response.set-status-code", "func(self: borrow<outgoing-response>, status-code: u16) -> result", outgoingResponseSetStatus},
		{"[method]outgoing-response.headers", "func(self: borrow<outgoing-response>) -> fields", outgoingHeaders},
		{"[method]outgoing-response.body", "func(self: borrow<outgoing-response>) -> result<outgoing-body>", outgoingBodyOf},

		{"[method]outgoing-body.write", "func(self: borrow<outgoing-body>) -> result<output-stream>", outgoingBodyWrite},
		{"[static]outgoing-body.finish", "func(this: outgoing-body, trailers: option<fields>) -> result<_, error-code>", outgoingBodyFinish},

		{"[method]future-incoming-response.subscribe", "func(self: borrow<future-incoming-response>) -> pollable", futureResponseSubscribe},
		{"[method]future-incoming-response.get", "func(self: borrow<future-incoming-response>) -> option<result<result<incoming-response, error-code>>>", futureResponseGet},
	}},
	{"wasi:http/outgoing-handler@0.2", nil, []row{
		{"handle", "func(request: outgoing-request, options: option<request-options>) -> result<future-incoming-response, error-code>", outgoingHandle},
	}},

	{"wasi:io/error@0.2", []abi.Resource{{Name: "error"}}, []row{
		{"[method]error.to-debug-string", "func(self: borrow<error>) -> string", errorToDebugString},
	}},
	{"wasi:io/poll@0.2", []abi.Resource{{Name: "pollable", Drop: dropping(dropPollable)}}, []row{
		{"[method]pollable.ready", "func(self: borrow<pollable>) -> bool", pollableReady},
		{"[method]pollable.block", "func(self: borrow<pollable>)", pollableBlock},
		{"poll", "func(in: list<borrow<pollable>>) -> list<u32>", poll},
	}},
	{"wasi:io/streams@0.2", streamResources, []row{
		{"[method]input-stream.read", "func(self: borrow<input-stream>, len: u64) -> result<list<u8>, stream-error>", streamRead},
		{"[method]input-stream.blocking-read", "func(self: borrow<input-stream>, len: u64) -> result<list<u8>, stream-error>", blocking(streamRead)},
		{"[method]input-stream.skip", "func(self: borrow<input-stream>, len: u64) -> result<u64, stream-error>", streamSkip},
		{"[method]input-stream.blocking-skip", "func(self: borrow<input-stream>, len: u64) -> result<u64, stream-error>", blocking(streamSkip)},
		{"[method]input-stream.subscribe", "func(self: borrow<input-stream>) -> pollable", inputSubscribe},
		{"[method]output-stream.check-write", "func(self: borrow<output-stream>) -> result<u64, stream-error>", checkWrite},
		{"[method]output-stream.write", "func(self: borrow<output-stream>, contents: list<u8>) -> result<_, stream-error>", streamWrite},
		{"[method]output-stream.blocking-write-and-flush", "func(self: borrow<output-stream>, contents: list<u8>) -> result<_, stream-error>", blockingWrite},
		{"[method]output-stream.flush", "func(self: borrow<output-stream>) -> result<_, stream-error>", streamFlush},
		{"[method]output-stream.blocking-flush", "func(self: borrow<output-stream>) -> result<_, stream-error>", streamFlush},
		{"[method]output-stream.subscribe", "func(self: borrow<output-stream>) -> pollable", outputSubscribe},
		{"[method]output-stream.write-zeroes", "func(self: borrow<output-stream>, len: u64) -> result<_, stream-error>", writeZeroes},
		{"[method]output-stream.blocking-write-zeroes-and-flush", "func(self: borrow<output-stream>, len: u64) -> result<_, stream-error>", blockingWriteZeroes},
		{"[method]output-stream.splice", "func(self: borrow<output-stream>, src: borrow<input-stream>, len: u64) -> result<u64, stream-error>", streamSplice},
		{"[method]output-stream.blocking-splice", "func(self: borrow<output-stream>, src: borrow<input-stream>, len: u64) -> result<u64, stream-error>", blockingSplice},
	}},

	{"wasi:clocks/monotonic-clock@0.2", nil, []row{
		{"now", "func() -> u64", monotonicNow},
		{"resolution", "func() -> u64", monotonicResolution},
		{"subscribe-instant", "func(when: u64) -> pollable", subscribeInstant},
		{"subscribe-duration", "func(when: u64) -> pollable", subscribeDuration},
	}},
	{"wasi:clocks/wall-clock@0.2", nil, []row{
		{"now", "func() -> datetime", wallNow},
		{"resolution", "func() -> datetime", wallResolution},
	}},
	{"wasi:clocks/timezone@0.2", nil, []row{
		{"display", "func(when: datetime) -> timezone-display", timezoneDisplay},
		{"utc-offset", "func(when: datetime) -> s32", timezoneOffset},
	}},
	{"wasi:random/random@0.2", nil, []row{
		{"get-random-bytes", "func(len: u64) -> list<u8>", randomBytes},
		{"get-random-u64", "func() -> u64", randomU64},
	}},
	{"wasi:random/insecure@0.2", nil, []row{
		{"get-insecure-random-bytes", "func(len: u64) -> list<u8>", randomBytes},
		{"get-insecure-random-u64", "func() -> u64", randomU64},
	}},
	{"wasi:random/insecure-seed@0.2", nil, []row{
		{"insecure-seed", "func() -> tuple<u64, u64>", insecureSeed},
	}},

	{"wasi:cli/environment@0.2", nil, []row{
		{"get-environment", "func() -> list<tuple<string, string>>", cliEnvironment},
		{"get-arguments", "func() -> list<string>", cliArguments},
		{"initial-cwd", "func() -> option<string>", none},
	}},
	{"wasi:cli/exit@0.2", nil, []row{
		{"exit", "func(status: result)", cliExit},
		{"exit-with-code", "func(status-code: u8)", cliExit},
	}},
	{"wasi:cli/stdin@0.2", nil, []row{{"get-stdin", "func() -> input-stream", cliStdin}}},
	{"wasi:cli/stdout@0.2", nil, []row{{"get-stdout", "func() -> output-stream", cliStdout}}},
	{"wasi:cli/stderr@0.2", nil, []row{{"get-stderr", "func() -> output-stream", cliStderr}}},
	{"wasi:cli/terminal-input@0.2", []abi.Resource{{Name: "terminal-input"}}, nil},
	{"wasi:cli/terminal-output@0.2", []abi.Resource{{Name: "terminal-output"}}, nil},
	{"wasi:cli/terminal-stdin@0.2", nil, []row{{"get-terminal-stdin", "func() -> option<terminal-input>", none}}},
	{"wasi:cli/terminal-stdout@0.2", nil, []row{{"get-terminal-stdout", "func() -> option<terminal-output>", none}}},
	{"wasi:cli/terminal-stderr@0.2", nil, []row{{"get-terminal-stderr", "func() -> option<terminal-output>", none}}},

	{"wasi:filesystem/preopens@0.2", nil, []row{
		{"get-directories", "func() -> list<tuple<descriptor, string>>", emptyList},
	}},
	{"wasi:filesystem/types@0.2", filesystemResources, filesystemRows},

	{"wasi:sockets/network@0.2", []abi.Resource{{Name: "network"}}, []row{
		{"network-error-code", "func(err: borrow<error>) -> option<error-code>", none},
	}},
	{"wasi:sockets/instance-network@0.2", nil, []row{{"instance-network", "func() -> network", instanceNetwork}}},
	{"wasi:sockets/ip-name-lookup@0.2", []abi.Resource{{Name: "resolve-address-stream"}}, nameLookupRows},
	{"wasi:sockets/tcp@0.2", []abi.Resource{{Name: "tcp-socket"}}, tcpRows},
	{"wasi:sockets/tcp-create-socket@0.2", nil, []row{
		{"create-tcp-socket", "func(address-family: ip-address-family) -> result<tcp-socket, error-code>", denied},
	}},
	{"wasi:sockets/udp@0.2", udpResources, udpRows},
	{"wasi:sockets/udp-create-socket@0.2", nil, []row{
		{"create-udp-socket", "func(address-family: ip-address-family) -> result<udp-socket, error-code>", denied},
	}},

	{"wasi:config/store@0.2.0-rc.1", nil, []row{
		{"get", "func(key: string) -> result<option<string>, error>", configGet},
		{"get-all", "func() -> result<list<tuple<string, string>>, error>", configGetAll},
	}},
	{"wasi:config/store@0.2.0-draft-2024-09-27", nil, []row{
		{"get", "func(key: string) -> result<option<string>, error>", configGet},
		{"get-all", "func() -> result<list<tuple<string, string>>, error>", configGetAll},
	}},
	{"wasi:config/runtime@0.2.0-draft", nil, []row{
		{"get", "func(key: string) -> result<option<string>, config-error>", configGet},
		{"get-all", "func() -> result<list<tuple<string, string>>, config-error>", configGetAll},
	}},
	{"wasi:keyvalue/store@0.2.0-draft", []abi.Resource{{Name: "bucket"}}, []row{
		{"open", "func(identifier: string) -> result<bucket, error>", bucketOpen},
		{"[method]bucket.get", "func(self: borrow<bucket>, key: string) -> result<option<list<u8>>, error>", waiting(bucketGet)},
		{"[method]bucket.set", "func(self: borrow<bucket>, key: string, value: list<u8>) -> result<_, error>", waiting(bucketSet)},
		{"[method]bucket.delete", "func(self: borrow<bucket>, key: string) -> result<_, error>", waiting(bucketDelete)},
		{"[method]bucket.exists", "func(self: borrow<bucket>, key: string) -> result<bool, error>", waiting(bucketExists)},
		{"[method]bucket.list-keys", "func(self: borrow<bucket>, cursor: option<u64>) -> result<key-response, error>", waiting(bucketKeys)},
	}},
	{"wasi:keyvalue/atomics@0.2.0-draft", nil, []row{
		{"increment", "func(bucket: borrow<bucket>, key: string, delta: u64) -> result<u64, error>", waiting(increment)},
	}},
	{"wasi:keyvalue/batch@0.2.0-draft", nil, []row{
		{"get-many", "func(bucket: borrow<bucket>, keys: list<string>) -> result<list<option<tuple<string, list<u8>>>>, error>", waiting(getMany)},
		{"set-many", "func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>) -> result<_, error>", waiting(setMany)},
		{"delete-many", "func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>", waiting(deleteMany)},
	}},
	{"wasi:logging/logging@0.1.0-draft", nil, []row{
		{"log", "func(level: level, context: string, message: string)", loggingLog},
	}},
	// As the package was before it had versions.
	{"wasi:logging/logging", nil, []row{
		{"log", "func(level: level, context: string, message: string)", loggingLog},
	}},
}

var httpResources = []abi.Resource{
	{Name: "fields", Drop: dropping(dropFields)},
	{Name: "incoming-request", Drop: dropping(dropIncoming)},
	{Name: "outgoing-request", Drop: dropping(dropOutgoing)},
	{Name: "request-options"},
	{Name: "response-outparam"},
	{Name: "incoming-response", Drop: dropping(dropIncoming)},
	{Name: "incoming-body", Drop: dropping(dropIncomingBody)},
	{Name: "future-trailers", Drop: dropping(dropFutureTrailers)},
	{Name: "outgoing-response", Drop: dropping(dropOutgoing)},
	{Name: "outgoing-body", Drop: dropping(dropOutgoingBody)},
	{Name: "future-incoming-response", Drop: dropping(dropFutureResponse)},
}

var streamResources = []abi.Resource{
	{Name: "input-stream", Drop: dropping(dropInputStream)},
	{Name: "output-stream", Drop: dropping(dropOutputStream)},
}
