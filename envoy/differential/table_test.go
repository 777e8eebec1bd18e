package differential_test

import (
	"fmt"
	"strings"
)

// The exchanges of each plugin. `want` is what Envoy's filter showed, line by line where it matters; extproc has to come to the whole outcome.

var headers = []exchange{
	{
		name: "both directions",
		send: message{line: "GET /a/b?c=d", headers: []string{"x-secret: 1", "x-secret: 2", "x-other: kept", "x-multi: one", "x-plugin: forged"}},
		reply: message{status: 201, headers: []string{"server-secret: s", "x-multi: one", "x-multi: two", "set-cookie: a=b", "set-cookie: c=d", "x-plugin: forged"},
			body: []string{"made\n"}},
		want: []string{
			"request GET /a/b?c=d HTTP/1.1", "request header x-plugin: headers", "request header x-other: kept", "request header x-multi: one", "request header x-multi: plugin",
			"response 201", "response header x-plugin: headers", "response header x-multi: one", "response header x-multi: two", "response header x-multi: plugin",
			"response header set-cookie: a=b", "response header set-cookie: c=d", `response body "made\n"`,
			"log info headers: /a/b?c=d", "log info headers: 201",
		},
		absent: []string{"request header x-secret", "response header server-secret", "request header x-plugin: forged"},
	},
	{
		name:  "bodies and trailers",
		send:  message{line: "POST /t", headers: []string{"te: trailers"}, body: []string{"a", "b"}, trailers: []string{"x-sum: 1"}},
		reply: message{body: []string{"c", "d"}, trailers: []string{"x-sum: 2"}},
		want: []string{
			`request body "ab"`, "request trailer x-sum: 1", "request header x-plugin: headers",
			"response 200", `response body "cd"`, "response trailer x-sum: 2", "response header x-plugin: headers",
		},
	},
	{name: "HTTP/2", http2: true, send: message{line: "POST /h2", body: []string{"a", "b"}, trailers: []string{"x-sum: 1"}}, reply: message{body: []string{"c", "d"}, trailers: []string{"x-sum: 2"}},
		want: []string{"request header x-plugin: headers", `request body "ab"`, "request trailer x-sum: 1", `response body "cd"`, "response trailer x-sum: 2"}},
	{name: "no upstream", send: message{line: "GET /gone"}, reply: message{status: broken}, want: []string{"response 503", "response header x-plugin: headers", "log info headers: 503"}},
	{name: "HEAD", send: message{line: "HEAD /"}, want: []string{"request HEAD / HTTP/1.1", "response 200", "response header x-plugin: headers"}},
	{name: "no content", send: message{line: "DELETE /x"}, reply: message{status: 204}, want: []string{"response 204", "response header x-plugin: headers", "log info headers: 204"}},
}

var bodies = []exchange{
	{name: "none", send: message{line: "GET /Quiet"}, want: []string{"response 200"}, absent: []string{"log", "request body", "response body"}},
	{
		name: "small", send: message{line: "POST /", body: []string{"hello, wörld"}}, reply: message{body: []string{"bye"}},
		want: []string{`request body "[13]HELLO, WöRLD"`, `response body "[3]BYE"`, "log info body: request of 13 bytes", "log info body: response of 3 bytes"},
	},
	{
		name: "in chunks", send: message{line: "POST /", body: []string{"one ", "two ", "three"}}, reply: message{body: []string{"a", "b", "c"}},
		want: []string{`request body "[13]ONE TWO THREE"`, `response body "[3]ABC"`},
	},
	{
		name: "large", send: message{line: "POST /", body: []string{repeated("x", 300_000)}}, reply: message{body: []string{repeated("y", 500_000)}},
		want: []string{"request body " + long("[300000]"+repeated("X", 300_000)), "response body " + long("[500000]"+repeated("Y", 500_000))},
	},
	{
		name:  "with trailers",
		send:  message{line: "POST /", headers: []string{"te: trailers"}, body: []string{"a", "b"}, trailers: []string{"x-sum: low"}},
		reply: message{body: []string{"c", "d"}, trailers: []string{"x-sum: low"}},
		want:  []string{`request body "[2]AB"`, "request trailer x-sum: low", `response body "[2]CD"`, "response trailer x-sum: low"},
	},
}

// Envoy buffers 1 MiB and no more.
var tooLarge = []exchange{
	{name: "request", send: message{line: "POST /", body: []string{repeated("x", 3<<20)}}, want: []string{"response 413"}, absent: []string{"request"}},
	{name: "response", cut: true, reply: message{body: []string{repeated("x", 3<<20)}}, want: []string{"response 200", "response cut"}},
}

var authCallout = []exchange{
	{
		name: "known with a large body in chunks",
		send: message{line: "POST /", headers: []string{"authorization: Bearer good"}, body: []string{repeated("x", 60_000), repeated("y", 200_000), "z"}},
		want: []string{"request header x-user: alice", "request body " + long(repeated("x", 60_000)+repeated("y", 200_000)+"z")},
	},
	{name: "known over HTTP/2", http2: true, send: message{line: "POST /", headers: []string{"authorization: Bearer good"}, body: []string{"a", "b"}, trailers: []string{"x-sum: 1"}},
		want: []string{"request header x-user: alice", `request body "ab"`, "request trailer x-sum: 1"}},
	{
		name:  "known",
		send:  message{line: "POST /", headers: []string{"authorization: Bearer good", "x-user: forged"}, body: []string{"a"}},
		reply: message{body: []string{"b"}},
		want:  []string{"request header x-user: alice", `request body "a"`, `response body "b"`, "log info auth-callout: 200"},
	},
	{
		name:   "unknown",
		send:   message{line: "GET /", headers: []string{"authorization: Bearer bad"}},
		want:   []string{"response 401", `response body "who are you?\n"`, "response header content-type: text/plain; charset=utf-8", "log info auth-callout: 401"},
		absent: []string{"request"},
	},
	{name: "anonymous with a body", send: message{line: "POST /", body: []string{repeated("x", 70_000)}}, want: []string{"response 401"}, absent: []string{"request"}},
}

var authGone = []exchange{{
	name: "service gone",
	send: message{headers: []string{"authorization: Bearer good"}},
	want: []string{"response 503", "log info auth-callout: 503", // Envoy answers in the absent service's place
		`response body "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"`},
	absent: []string{"request"},
}}

var authNowhere = []exchange{{
	name:   "unknown cluster",
	send:   message{headers: []string{"authorization: Bearer good"}},
	want:   []string{"response 503", `response body "the auth service can't be called\n"`},
	absent: []string{"request"},
}}

var rateLimit = []exchange{
	{name: "first", send: message{headers: []string{"x-client: a"}}, want: []string{"response 200", "response header x-ratelimit-remaining: 1"}},
	{name: "second", send: message{headers: []string{"x-client: a"}}, want: []string{"response 200", "response header x-ratelimit-remaining: 0"}},
	{name: "third", send: message{headers: []string{"x-client: a"}}, absent: []string{"request"},
		want: []string{"response 429", "response header retry-after: 3600", `response body "too many requests\n"`, "log warning rate-limit: a has sent 3"}},
	{name: "another client", send: message{headers: []string{"x-client: b"}}, want: []string{"response 200", "response header x-ratelimit-remaining: 1"}},
}

var queue = []exchange{
	{name: "first", send: message{line: "GET /first"}, want: []string{"response 200", "log info queue: GET /first"}},
	{name: "second", send: message{line: "PUT /second"}, want: []string{"response 200", "log info queue: PUT /second"}},
}

var ticks = []exchange{
	{name: "any", want: []string{"response 200"}},
}

var metrics = []exchange{
	{name: "first", reply: message{body: []string{"four"}}, want: []string{"response header x-requests: 1", "response header x-active: 1"}},
	{name: "second", reply: message{body: []string{"four"}}, want: []string{"response header x-requests: 2", "response header x-active: 1"}},
}

var localResponse = []exchange{
	{name: "none", send: message{headers: []string{"x-respond: never"}}, want: []string{"response 200"}},
	answeredIn("request-headers", message{line: "POST /", body: []string{"a"}}, message{}),
	answeredIn("request-body", message{line: "POST /", body: []string{"a"}}, message{}),
	answeredIn("request-trailers", message{line: "POST /", headers: []string{"te: trailers"}, body: []string{"a"}, trailers: []string{"x-sum: 1"}}, message{}),
	answeredIn("response-headers", message{}, message{status: 201, body: []string{"b"}}),
	answeredIn("response-body", message{}, message{status: 201, body: []string{"b"}}),
	answeredIn("response-trailers", message{headers: []string{"te: trailers"}}, message{status: 201, body: []string{"b"}, trailers: []string{"x-sum: 2"}}),
}

func answeredIn(phase string, send, reply message) exchange {
	send.headers = append(send.headers, "x-respond: "+phase)
	x := exchange{name: phase, send: send, reply: reply, want: []string{"log info local-response: " + phase}}
	if phase == "response-body" || phase == "response-trailers" {
		x.cut, x.want = true, append(x.want, "response 201", "response cut")
	} else {
		x.want = append(x.want, "response 418", "response header x-from: "+phase, "response header set-cookie: a=b", "response header set-cookie: c=d",
			fmt.Sprintf("response body %q", "answered in "+phase+"\n"))
	}
	return x
}

var trailers = []exchange{
	{name: "none", send: message{line: "POST /", body: []string{"a"}}, reply: message{body: []string{"b"}}, absent: []string{"log", "request trailer", "response trailer"}},
	{
		name: "both directions",
		send: message{line: "POST /", headers: []string{"te: trailers"}, body: []string{"a"},
			trailers: []string{"x-sum: 1", "x-secret-trailer: s", "x-trailer-plugin: forged", "x-multi-trailer: one"}},
		reply: message{body: []string{"b"}, trailers: []string{"x-sum: 2", "x-secret-trailer: s", "x-trailer-plugin: forged", "x-multi-trailer: two"}},
		want: []string{
			`request body "a"`, "request trailer x-sum: 1", "request trailer x-trailer-plugin: trailers", "request trailer x-multi-trailer: one", "request trailer x-multi-trailer: plugin",
			`response body "b"`, "response trailer x-sum: 2", "response trailer x-trailer-plugin: trailers", "response trailer x-multi-trailer: two", "response trailer x-multi-trailer: plugin",
			"log info trailers: request has 4", "log info trailers: response has 4",
		},
		absent: []string{"request trailer x-secret-trailer", "response trailer x-secret-trailer", "request trailer x-trailer-plugin: forged"},
	},
}

// propertiesConfig asks for what Envoy documents as attributes, and for what it calls properties of wasm.
var propertiesConfig = paths("request",
	"request path", "request url_path", "request host", "request method", "request scheme", "request protocol", "request query", "request headers x-a",
	"request headers x-none", "request useragent", "request referer", "request size", "request total_size", "plugin_name", "plugin_root_id", "plugin_vm_id",
	"listener_direction", "cluster_name", "route_name", "connection mtls", "connection requested_server_name",
	"connection tls_version", "response code", "no such", "xds route_name", "xds cluster_name", "xds virtual_host_name", "xds filter_chain_name", "upstream address",
) + paths("response",
	"response code", "response code_details", "response headers x-b", "response size", "response grpc_status", "request path", "request method", "request headers x-a",
	"request protocol", "request size", "cluster_name", "route_name", "upstream address", "upstream port", "upstream tls_version", "upstream transport_failure_reason",
	"upstream request_attempt_count", "xds route_name", "xds cluster_name", "xds virtual_host_name", "xds listener_direction", "plugin_name",
	"connection termination_details", "metadata", "filter_state", "node id", "node", "xds",
) + paths("log",
	"request path", "request headers x-a", "response code", "response code_details", "response flags", "response size", "response grpc_status", "response headers x-b", "upstream address",
) + paths("sizes",
	"request time", "request id", "request duration", "source address", "destination address", "source port", "destination port", "connection id", "upstream local_address", "response backend_latency",
) + `"":[]}`

// paths is one list of a configuration of the plugin "properties", and a comma. In a path, blanks stand between its parts.
func paths(list string, names ...string) string {
	text := `"` + list + `":[`
	if list == "request" {
		text = "{" + text
	}
	for i, name := range names {
		if i > 0 {
			text += ","
		}
		text += `["` + strings.ReplaceAll(name, " ", `","`) + `"]`
	}
	return text + "],"
}

var properties = []exchange{{
	name:  "of a GET",
	send:  message{line: "GET /p/q?r=s", headers: []string{"x-a: one", "host: example.test", "user-agent: test"}},
	reply: message{status: 203, headers: []string{"x-b: two"}, body: []string{"b"}},
	want: []string{
		`response header x-at-request-request.path: "/p/q?r=s"`, `response header x-at-request-request.url_path: "/p/q"`, `response header x-at-request-request.host: "example.test"`,
		`response header x-at-request-request.headers.x-a: "one"`, `response header x-at-response-response.code: 0xcb00000000000000`,
	},
}}

var chain = []exchange{
	{
		name: "both ways",
		want: []string{
			"request header x-chain: first", "request header x-chain: second", "response header x-chain: second", "response header x-chain: first",
			"log info chain: first after ", "log info chain: second after first", "log info chain: second back of firstsecond", "log info chain: first back of firstsecond",
		},
	},
}

var calls = []exchange{
	{name: "GET", want: []string{
		"log info calls: created", "log info calls: request headers, end true", "log info calls: response headers, end true", "log info calls: done", "log info calls: log"}},
	{name: "no upstream", send: message{line: "GET /gone"}, reply: message{status: broken}, want: []string{"log info calls: response headers, end false"}},
	{name: "GET over HTTP/2", http2: true, want: []string{"log info calls: request headers, end true"}},
	{name: "an empty body over HTTP/2", http2: true, send: message{line: "POST /", body: []string{""}}, want: []string{"log info calls: request headers, end false"}},
	{name: "large bodies", send: message{line: "POST /", body: []string{repeated("abcd", 1<<20), repeated("ef", 1<<20)}}, reply: message{body: []string{repeated("gh", 2<<20)}},
		want: []string{"request body " + long(repeated("abcd", 1<<20)+repeated("ef", 1<<20)), "log info calls: request body of 6291456, end", "log info calls: response body of 4194304, end"}},
	{name: "bodies", send: message{line: "POST /", body: []string{"abc"}}, reply: message{body: []string{"defg"}}, want: []string{
		"log info calls: request headers, end false", "log info calls: request body of 3, end", "log info calls: response headers, end false", "log info calls: response body of 4, end"}},
	{name: "trailers", send: message{line: "POST /", headers: []string{"te: trailers"}, body: []string{"abc"}, trailers: []string{"x-a: 1"}},
		reply: message{body: []string{"defg"}, trailers: []string{"x-b: 1", "x-c: 2"}},
		want:  []string{"log info calls: request trailers, 1, after 3", "log info calls: response trailers, 2, after 4"}},
}

var jsonCheck = []exchange{
	{name: "valid", send: message{line: "POST /", headers: []string{"content-type: application/json"}, body: []string{`{"a":`, `[1,2]}`}},
		want: []string{"response 200", `request body "{\"a\":[1,2]}"`}},
	{name: "invalid", send: message{line: "POST /", headers: []string{"content-type: application/json; charset=utf-8"}, body: []string{`{"a":`}}, absent: []string{"request"},
		want: []string{"response 400", "response header content-type: application/json", `response body "{\"error\":\"unexpected end of JSON input\"}"`,
			"log warning json-check: unexpected end of JSON input"}},
	{name: "invalid with trailers", absent: []string{"request"}, want: []string{"response 400"},
		send: message{line: "POST /", headers: []string{"te: trailers", "content-type: application/problem+json"}, body: []string{"[", "}"}, trailers: []string{"x-a: 1"}}},
	{name: "not said to be JSON", send: message{line: "POST /", headers: []string{"content-type: text/plain"}, body: []string{"{"}}, want: []string{"response 200", `request body "{"`}},
	{name: "no body", send: message{headers: []string{"content-type: application/json"}}, want: []string{"response 200"}},
}
