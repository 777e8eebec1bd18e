package examples_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// example is a plugin in its languages with the exchanges that show it.
type example struct {
	name      string
	langs     []string
	config    map[string]string
	callouts  map[string]http.Handler
	gone      []string // callouts whose address refuses connections
	exchanges []exchange
}

// letters returns n bytes that differ from place to place.
func letters(n int) []byte {
	return bytes.Repeat([]byte("The quick brown fox. "), n/21+1)[:n]
}

// tea is what immediate-response generates.
func tea() []byte {
	var body []byte
	for piece := range 64 {
		body = append(body, bytes.Repeat([]byte{'a' + byte(piece%26)}, 4096)...)
	}
	return body
}

var examples = []example{
	{name: "header-rules", langs: []string{"rust", "c", "js", "python"}, exchanges: headerRules},
	{name: "body-passthrough", langs: []string{"rust"}, exchanges: bodyPassthrough},
	{name: "body-transform", langs: []string{"rust"}, exchanges: bodyTransform},
	{name: "immediate-response", langs: []string{"rust"}, exchanges: immediateResponse},
	{name: "trailers", langs: []string{"rust"}, exchanges: trailers},
	{name: "configuration", langs: []string{"rust"}, config: map[string]string{"header": "x-team", "value": "blue green"},
		exchanges: []exchange{configured("configured", message{headers: []string{"x-team: blue green"}, absent: []string{"x-config"}})}},
	{name: "configuration", langs: []string{"rust"}, config: map[string]string{"header": "x-team"},
		exchanges: []exchange{configured("missing key", message{headers: []string{"x-config: missing"}, absent: []string{"x-team"}})}},
	{name: "configuration", langs: []string{"rust"}, config: map[string]string{"header": "x team", "value": "blue"},
		exchanges: []exchange{configured("invalid name", message{headers: []string{"x-config: invalid"}})}},
	{name: "auth-callout", langs: []string{"rust"}, callouts: map[string]http.Handler{"auth": http.HandlerFunc(auth)},
		exchanges: authCallout},
	{name: "auth-callout", langs: []string{"rust"}, gone: []string{"auth"}, exchanges: authGone},
	{name: "quota", langs: []string{"rust"}, config: map[string]string{"limit": "2"}, exchanges: quota},
	{name: "quota", langs: []string{"rust"}, config: map[string]string{"limit": "0"}, exchanges: quotaUsedUp},
	{name: "rate-limit", langs: []string{"rust"}, config: map[string]string{"limit": "2", "window": "3600000000000"}, exchanges: withinRate},
	{name: "rate-limit", langs: []string{"rust"}, config: map[string]string{"limit": "0", "window": "1000"}, exchanges: beyondRate},
}

// Each exchange has a client of its own: under wasmtime it has data of its own.
var quota = []exchange{
	{
		name:    "within the quota",
		send:    message{line: "GET /x", headers: []string{"x-client: anna"}},
		arrives: &message{line: "GET /x", headers: []string{"x-client: anna"}},
		reply:   message{headers: []string{"x-quota-left: forged"}, body: []byte("ok")},
		returns: message{headers: []string{"x-quota-left: 1"}, body: []byte("ok")},
	},
	{
		name:    "a client without a name, and a body",
		send:    message{line: "POST /x", body: letters(100_000)},
		arrives: &message{line: "POST /x", body: letters(100_000)},
		returns: message{headers: []string{"x-quota-left: 1"}},
	},
}

var withinRate = []exchange{
	{
		name:    "within the limit",
		send:    message{line: "GET /x", headers: []string{"x-client: anna"}},
		arrives: &message{line: "GET /x", headers: []string{"x-client: anna"}},
		reply:   message{headers: []string{"x-ratelimit-remaining: forged"}, body: []byte("ok")},
		returns: message{headers: []string{"x-ratelimit-remaining: 1"}, body: []byte("ok")},
	},
	{
		name:    "nobody in particular, and a body",
		send:    message{line: "POST /x", body: letters(100_000)},
		arrives: &message{line: "POST /x", body: letters(100_000)},
		returns: message{headers: []string{"x-ratelimit-remaining: 1"}},
	},
}

var beyondRate = []exchange{
	{
		name: "one too many",
		send: message{line: "GET /x", headers: []string{"x-client: bert"}},
		returns: message{status: 429, headers: []string{"content-type: text/plain", "retry-after: 1"}, body: []byte("too many requests\n"),
			absent: []string{"x-ratelimit-remaining"}},
	},
}

var quotaUsedUp = []exchange{
	{
		name:    "the quota is used up",
		send:    message{line: "GET /x", headers: []string{"x-client: bert"}},
		returns: message{status: 429, headers: []string{"content-type: text/plain"}, body: []byte("the quota is used up\n"), absent: []string{"x-quota-left"}},
	},
}

var headerRules = []exchange{
	{
		name:    "headers without a body",
		send:    message{line: "GET /a/b?c=d&e=%20f", headers: []string{"x-secret: 1", "x-secret: 2", "x-other: kept", "cookie: a=b"}},
		arrives: &message{line: "GET /a/b?c=d&e=%20f", headers: []string{"x-plugin: header-rules", "x-multi: plugin", "x-other: kept", "cookie: a=b"}, absent: []string{"x-secret"}},
		reply: message{status: 201, headers: []string{"server-secret: s", "x-multi: one", "x-multi: two", "set-cookie: a=b", "set-cookie: c=d"},
			body: []byte("made\n")},
		returns: message{status: 201, headers: []string{"x-plugin: header-rules", "x-multi: one", "x-multi: two", "x-multi: plugin", "set-cookie: a=b", "set-cookie: c=d"},
			absent: []string{"server-secret", "x-secret"}, body: []byte("made\n")},
	},
	{
		name:    "values that are already there",
		send:    message{line: "GET /", headers: []string{"x-multi: one", "x-multi: two, three", "x-plugin: forged", "x-plugin: twice"}},
		arrives: &message{line: "GET /", headers: []string{"x-multi: one", "x-multi: two, three", "x-multi: plugin", "x-plugin: header-rules"}},
		reply:   message{headers: []string{"x-plugin: forged"}},
		returns: message{headers: []string{"x-plugin: header-rules", "x-multi: plugin"}},
	},
	{
		name:    "the server's secret in a request, the client's in a response",
		send:    message{line: "GET /", headers: []string{"server-secret: kept"}},
		arrives: &message{line: "GET /", headers: []string{"server-secret: kept"}},
		reply:   message{headers: []string{"x-secret: kept"}},
		returns: message{headers: []string{"x-secret: kept"}},
	},
	{
		name:    "small body",
		send:    message{line: "PUT /thing", body: []byte("hello")},
		arrives: &message{line: "PUT /thing", headers: []string{"x-plugin: header-rules"}, body: []byte("hello")},
		reply:   message{status: 404, body: []byte("not here")},
		returns: message{status: 404, headers: []string{"x-plugin: header-rules"}, body: []byte("not here")},
	},
	{
		name:    "large bodies",
		send:    message{line: "POST /large", body: letters(3 << 20)},
		arrives: &message{line: "POST /large", body: letters(3 << 20)},
		reply:   message{body: letters(2<<20 + 1)},
		returns: message{headers: []string{"x-plugin: header-rules"}, body: letters(2<<20 + 1)},
	},
	{
		name:    "trailers",
		send:    message{line: "POST /", headers: []string{"te: trailers"}, body: []byte("a"), trailers: []string{"x-sum: 1", "x-more: 2"}},
		arrives: &message{line: "POST /", body: []byte("a"), trailers: []string{"x-sum: 1", "x-more: 2"}},
		reply:   message{body: []byte("b"), trailers: []string{"x-sum: 3", "x-more: 4"}},
		returns: message{body: []byte("b"), trailers: []string{"x-sum: 3", "x-more: 4"}},
	},
	{
		name:    "a body of no bytes",
		send:    message{line: "POST /", body: []byte{}},
		arrives: &message{line: "POST /", headers: []string{"x-plugin: header-rules"}},
		reply:   message{status: 204},
		returns: message{status: 204, headers: []string{"x-plugin: header-rules"}},
	},
	method("HEAD"), method("DELETE"), method("OPTIONS"), method("PROPFIND"),
}

func method(name string) exchange {
	return exchange{
		name:    name,
		send:    message{line: name + " /m"},
		arrives: &message{line: name + " /m", headers: []string{"x-plugin: header-rules"}},
		returns: message{headers: []string{"x-plugin: header-rules"}},
	}
}

var bodyPassthrough = []exchange{
	{
		name:    "no body",
		send:    message{line: "GET /x"},
		arrives: &message{line: "GET /x", absent: []string{"x-plugin"}},
		returns: message{headers: []string{"x-plugin: body-passthrough"}},
	},
	{
		name:    "bodies and trailers",
		send:    message{line: "POST /x", headers: []string{"te: trailers"}, body: letters(1 << 20), trailers: []string{"x-sum: 1"}},
		arrives: &message{line: "POST /x", body: letters(1 << 20), trailers: []string{"x-sum: 1"}, absent: []string{"x-plugin"}},
		reply:   message{body: letters(1<<20 + 7), trailers: []string{"x-sum: 2"}},
		returns: message{headers: []string{"x-plugin: body-passthrough"}, body: letters(1<<20 + 7), trailers: []string{"x-sum: 2"}},
	},
}

var bodyTransform = []exchange{
	{
		name:    "no body",
		send:    message{line: "GET /Quiet"},
		arrives: &message{line: "GET /Quiet"},
	},
	{
		name:    "small bodies",
		send:    message{line: "POST /", body: []byte("hello, wörld")},
		arrives: &message{line: "POST /", body: []byte("HELLO, WöRLD")},
		reply:   message{body: []byte("bye")},
		returns: message{body: []byte("BYE")},
	},
	{
		name:    "large bodies",
		send:    message{line: "POST /", body: letters(3 << 20)},
		arrives: &message{line: "POST /", body: bytes.ToUpper(letters(3 << 20)), absent: []string{"content-length"}},
		reply:   message{body: letters(2<<20 + 1)},
		returns: message{body: bytes.ToUpper(letters(2<<20 + 1)), absent: []string{"content-length"}},
	},
	{
		name:    "trailers stay as they are",
		send:    message{line: "POST /", headers: []string{"te: trailers"}, body: []byte("a"), trailers: []string{"x-sum: low"}},
		arrives: &message{line: "POST /", body: []byte("A"), trailers: []string{"x-sum: low"}},
		reply:   message{body: []byte("b"), trailers: []string{"x-sum: low"}},
		returns: message{body: []byte("B"), trailers: []string{"x-sum: low"}},
	},
}

var immediateResponse = []exchange{
	{
		name:    "denied",
		send:    message{line: "GET /denied/here?x=y"},
		returns: message{status: 403, headers: []string{"content-type: text/plain", "x-plugin: immediate-response"}, body: []byte("denied by plugin\n")},
	},
	{
		name:    "denied with a body unread",
		send:    message{line: "POST /denied", body: letters(64 << 10)},
		returns: message{status: 403, body: []byte("denied by plugin\n")},
	},
	{
		name:    "redirected",
		send:    message{line: "GET /redirect"},
		returns: message{status: 302, headers: []string{"location: /elsewhere", "x-plugin: immediate-response"}},
	},
	{
		name:    "a large answer",
		send:    message{line: "GET /teapot"},
		returns: message{status: 418, headers: []string{"content-type: text/plain"}, body: tea()},
	},
	{
		name:    "passed on",
		send:    message{line: "POST /other", body: []byte("a")},
		arrives: &message{line: "POST /other", body: []byte("a")},
		reply:   message{status: 202, body: []byte("b")},
		returns: message{status: 202, body: []byte("b"), absent: []string{"x-plugin"}},
	},
}

// Both ends announce the plugin's trailer: over HTTP/1.1 one that nobody announced may be dropped on the way.
const announced = "x-trailer-plugin"

var trailers = []exchange{
	{
		name:    "none",
		send:    message{line: "GET /"},
		arrives: &message{line: "GET /", absent: []string{"x-trailer-plugin"}},
		reply:   message{body: []byte("b")},
		returns: message{headers: []string{"x-saw-request-trailers: 0"}, body: []byte("b"), absent: []string{"x-trailer-plugin"}},
	},
	{
		name: "of both directions",
		send: message{line: "POST /", headers: []string{"te: trailers"}, body: []byte("a"),
			trailers: []string{"x-sum: 1", "x-secret-trailer: s", announced}},
		arrives: &message{line: "POST /", body: []byte("a"),
			trailers: []string{"x-sum: 1", "x-trailer-plugin: trailers"}, absent: []string{"x-secret-trailer"}},
		reply: message{body: []byte("b"), trailers: []string{"x-sum: 2", "x-secret-trailer: s", announced}},
		returns: message{headers: []string{"x-saw-request-trailers: 2"}, body: []byte("b"),
			trailers: []string{"x-sum: 2", "x-trailer-plugin: trailers"}, absent: []string{"x-secret-trailer"}},
	},
	{
		name: "values that are already there",
		send: message{line: "POST /", headers: []string{"te: trailers"}, body: []byte("a"), trailers: []string{"x-trailer-plugin: client"}},
		arrives: &message{line: "POST /", body: []byte("a"),
			trailers: []string{"x-trailer-plugin: client", "x-trailer-plugin: trailers"}},
		reply: message{body: []byte("b"), trailers: []string{"x-trailer-plugin: upstream"}},
		returns: message{headers: []string{"x-saw-request-trailers: 1"}, body: []byte("b"),
			trailers: []string{"x-trailer-plugin: upstream", "x-trailer-plugin: trailers"}},
	},
}

func configured(name string, returns message) exchange {
	return exchange{name: name, send: message{line: "GET /"}, arrives: &message{line: "GET /"}, returns: returns}
}

// auth knows one user.
func auth(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet || r.URL.Path != "/check":
		http.Error(w, "no such check", http.StatusNotFound)
	case r.Header.Get("Authorization") == "Bearer good":
		w.Header().Set("X-User", "alice")
		_, _ = w.Write([]byte("welcome\n"))
	default:
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}
}

var authCallout = []exchange{
	{
		name:    "known",
		send:    message{line: "POST /", headers: []string{"authorization: Bearer good", "x-user: forged"}, body: []byte("a")},
		arrives: &message{line: "POST /", headers: []string{"x-user: alice", "authorization: Bearer good"}, body: []byte("a")},
		reply:   message{body: []byte("b")},
		returns: message{body: []byte("b"), absent: []string{"x-user"}},
	},
	{
		name:    "unknown",
		send:    message{line: "GET /", headers: []string{"authorization: Bearer bad"}},
		returns: message{status: 401, headers: []string{"content-type: text/plain; charset=utf-8"}, body: []byte("who are you?\n")},
	},
	{
		name:    "anonymous",
		send:    message{line: "GET /"},
		returns: message{status: 401, body: []byte("who are you?\n")},
	},
}

var authGone = []exchange{{
	name:    "service gone",
	send:    message{line: "GET /", headers: []string{"authorization: Bearer good"}},
	returns: message{status: 503, body: []byte("the auth service can't be reached\n")},
}}

// run sends every exchange of every example through a host. Exchanges that deviates names, by example/name, are left out.
func run(t *testing.T, h host, deviates map[string]string) {
	for _, e := range examples {
		for _, lang := range e.langs {
			t.Run(e.name+"/"+lang, func(t *testing.T) {
				u := newUpstream(t)
				baseURL, client := h.start(t, plugin{
					example: e.name, lang: lang, upstream: u.address(), config: e.config, callouts: e.services(t),
				})
				for _, x := range e.exchanges {
					if reason, found := deviates[e.name+"/"+x.name]; found {
						t.Logf("left out: %s: %s", x.name, reason)
						continue
					}
					t.Run(strings.ReplaceAll(x.name, " ", "-"), func(t *testing.T) { x.run(t, client, baseURL, u) })
				}
			})
		}
	}
}

// services starts the callouts of an example and returns their base URLs.
func (e example) services(t *testing.T) map[string]string {
	urls := map[string]string{}
	for name, handler := range e.callouts {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		urls[name] = server.URL
	}
	for _, name := range e.gone {
		server := httptest.NewServer(nil)
		server.Close()
		urls[name] = server.URL
	}
	return urls
}
