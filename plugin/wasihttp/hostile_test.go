package wasihttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

func post(path string, m message) message {
	m.headers = slices.Clone(m.headers)
	for i, h := range m.headers {
		if strings.HasPrefix(h, ":path: ") {
			m.headers[i] = ":path: " + path
		}
	}
	return m
}

// What a guest must not do ends it, with a message that tells why.
func TestBrokenRules(t *testing.T) {
	m := load(t, guestFile("hostile"))
	for _, c := range []struct {
		path    string
		kind    plugin.FailureKind
		message string
	}{
		{"/many-fields", plugin.Trapped, "more than 32768 fields"},
		{"/large-field", plugin.Trapped, "more than 128 KiB"},
		{"/many-lists", plugin.Trapped, "more header fields held at once"},
		{"/drop-twice", plugin.Trapped, ""},
		{"/drop-parent", plugin.Trapped, "before its child resources"},
		{"/finish-parent", plugin.Trapped, "before its child resources"},
		{"/random", plugin.Trapped, "4294967296 bytes asked for"},
		{"/pollables", plugin.Trapped, "handle"},
		{"/poll-nothing", plugin.Trapped, "the list is empty"},
		{"/over-budget", plugin.Trapped, "more than check-write permitted"},
		{"/blocking-over", plugin.Trapped, "4096 bytes at most"},
		{"/unsent", plugin.Trapped, "would wait forever"},
		{"/short", plugin.Unanswered, "before it was finished"},
		{"/long", plugin.Unanswered, "before it was finished"},
		{"/unfinished", plugin.Unanswered, "before it was finished"},
		{"/left-short", plugin.Unanswered, "before it was finished"},
		{"/silent", plugin.Unanswered, "without setting response-outparam"},
	} {
		t.Run(c.path, func(t *testing.T) {
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			got := newProxy(t, m, post(c.path, postRequest()), okResponse).run()
			var failure *plugin.Failure
			if !errors.As(got.err, &failure) || failure.Kind != c.kind || !strings.Contains(failure.Message, c.message) {
				t.Errorf("error %v", got.err)
			}
			var after runtime.MemStats
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 200<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
		})
	}
	if !slices.ContainsFunc(m.logs.all(), func(s string) bool { return strings.Contains(s, "32768 fields") }) {
		t.Error("the 32,768th field was refused")
	}
}

// What a guest may do, strange as it is.
func TestOddities(t *testing.T) {
	m := load(t, guestFile("hostile"))
	upper := strings.Join(bigMessage(message{}, 100_000, 12).body, "")
	for _, c := range []struct {
		path    string
		request message
		check   func(t *testing.T, got outcome)
	}{
		{"/handle-twice", getRequest, func(t *testing.T, got outcome) {
			if !strings.HasPrefix(got.response.body, "sent\nErrorCode::InternalError(Some(\"the request was sent on already, which can be done once;") {
				t.Errorf("body %q", got.response.body)
			}
		}},
		{"/sleep", getRequest, local("[1] in time")},
		{"/leak", getRequest, local("leaked")},
		{"/spin", postRequest(), local("13")},
		{"/exact", getRequest, local("hello")},
		{"/exit-after", getRequest, local("complete")},
		{"/trap-after", getRequest, local("complete")},
		{"/left-behind", getRequest, local("left")},
		{"/te", getRequest, func(t *testing.T, got outcome) {
			got.request.has(t, "te: trailers", ":path: /")
			if n := strings.Count(strings.Join(got.request.headers, "\n"), "te: "); n != 1 {
				t.Errorf("te stands there %d times", n)
			}
		}},
		{"/te", get("/te"), func(t *testing.T, got outcome) { got.request.has(t, "!te: trailers", ":path: /") }},
		{"/read-nothing", postRequest(), local("Ok([]) Err(StreamError::Closed) Err(StreamError::Closed)")},
		{"/ask-first", get("/ask-first"), func(t *testing.T, got outcome) {
			got.request.is(t, true, "")
			local("200 Ok(())")(t, got)
		}},
		{"/echo", postRequest("x-t: 1"), func(t *testing.T, got outcome) { got.response.is(t, false, "one two three", "x-t: 1") }},
		{"/echo", bigMessage(postRequest(), 100_000, 12), func(t *testing.T, got outcome) { got.response.is(t, false, upper) }},
		{"/echo", getRequest, local("")},
		{"/footer", postRequest(), local("one two threefooter")},
		{"/forward-footer", postRequest("x-t: 1"), func(t *testing.T, got outcome) {
			got.request.is(t, false, "one two threefooter")
			got.response.is(t, true, "")
		}},
		{"/forward-unfinished", postRequest(), func(t *testing.T, got outcome) {
			local("Some(ErrorCode::HttpProtocolError)")(t, got)
			if got.request.released {
				t.Error("half a request went on")
			}
		}},
		{"/forward-trailers", postRequest("x-t: 1", "x-u: 2"), func(t *testing.T, got outcome) {
			got.request.is(t, false, "one two three")
			local("2")(t, got)
		}},
		{"/no-body", postRequest("x-t: 1"), func(t *testing.T, got outcome) {
			got.request.is(t, false, "")
			got.request.has(t, "x-new: 1", ":method: GET", ":path: /", "!content-type: text/plain")
			local("200")(t, got)
		}},
		{"/error", getRequest, func(t *testing.T, got outcome) { got.response.has(t, ":status: 403") }},
		{"/error-text", getRequest, func(t *testing.T, got outcome) { got.response.has(t, ":status: 500") }},
	} {
		t.Run(c.path, func(t *testing.T) {
			got := newProxy(t, m, post(c.path, c.request), okResponse).run()
			if got.err != nil {
				t.Fatalf("%v\n%s", got.err, strings.Join(m.logs.all(), "\n"))
			}
			c.check(t, got)
		})
	}
	if !slices.ContainsFunc(m.logs.all(), func(s string) bool {
		return strings.HasPrefix(s, "WARN the plugin failed after it had answered") && strings.Contains(s, "unreachable")
	}) {
		t.Errorf("no log of the trap after the answer in %q", m.logs.all())
	}
	want := []string{
		"wrote 3, may write more: Ok(true)", "Some(ErrorCode::HttpResponseBodySize(Some(5)))",
		"wrote 5, may write more: Ok(true)", "finished: Err(ErrorCode::HttpResponseBodySize(Some(5)))",
	}
	for _, path := range []string{"/long", "/short"} {
		newProxy(t, m, get(path), okResponse).run()
	}
	all := strings.Join(m.logs.all(), "\n")
	for _, line := range want {
		if !strings.Contains(all, line) {
			t.Errorf("no log line %q in\n%s", line, all)
		}
	}
}

func local(body string) func(t *testing.T, got outcome) {
	return func(t *testing.T, got outcome) {
		t.Helper()
		got.response.is(t, false, body)
	}
}

func TestSyntax(t *testing.T) {
	m := load(t, guestFile("hostile"))
	got := newProxy(t, m, get("/syntax"), okResponse).run()
	if got.err != nil {
		t.Fatal(got.err)
	}
	const want = `"" "v": Err(HeaderError::InvalidSyntax)
":path" "/": Err(HeaderError::InvalidSyntax)
"a b" "v": Err(HeaderError::InvalidSyntax)
"a\n" "v": Err(HeaderError::InvalidSyntax)
"ä" "v": Err(HeaderError::InvalidSyntax)
"a" "\0": Err(HeaderError::InvalidSyntax)
"a" "x\r\ny": Err(HeaderError::InvalidSyntax)
"a" "\u{7f}": Err(HeaderError::InvalidSyntax)
"content-length" "+5": Err(HeaderError::InvalidSyntax)
"content-length" "": Err(HeaderError::InvalidSyntax)
"Content-Length" "5x": Err(HeaderError::InvalidSyntax)
"connection" "close": Err(HeaderError::Forbidden)
"Host" "x": Err(HeaderError::Forbidden)
"transfer-encoding" "chunked": Err(HeaderError::Forbidden)
"te" "trailers": Ok(())
"upgrade" "h2c": Err(HeaderError::Forbidden)
"a" "": Ok(())
"A" " \t��": Ok(())
"content-length" "5": Ok(())
[("te", [116, 114, 97, 105, 108, 101, 114, 115]), ("a", []), ("a", [32, 9, 128, 255]), ("content-length", [53])]
2 false
Some(HeaderError::Forbidden)
Err(HeaderError::Immutable) Err(HeaderError::Immutable)
Err(HeaderError::Immutable)
path "/a?b": Ok(())
path "*": Ok(())
path "": Ok(())
path "a": Err(())
path "/a b": Err(())
path "/a#b": Err(())
authority "a": Ok(())
authority "a:80": Ok(())
authority "[::1]:80": Ok(())
authority "a:": Err(())
authority "a:b": Err(())
authority "a:65536": Err(())
authority "a b": Err(())
authority "u@a": Err(())
authority "": Err(())
`
	if got.response.body != want {
		t.Errorf("found\n%s", got.response.body)
	}
}

// A body whose first byte was waited for can't be left to the proxy any more,
// though it is handed on as it is.
func TestHandedOnAfterWait(t *testing.T) {
	m := load(t, guestFile("hostile"))
	sized := func(m message, length string) message {
		m.headers = append(slices.Clone(m.headers), "content-length: "+length)
		return m
	}
	for _, request := range []message{postRequest(), sized(postRequest(), "13"), get("/")} {
		for _, response := range []message{okResponse, sized(okResponse, "12")} {
			got := newProxy(t, m, post("/wait-first", request), response).run()
			if got.err != nil {
				t.Fatalf("%q, %q: %v", request.headers, response.headers, got.err)
			}
			got.request.is(t, request.noBody, strings.Join(request.body, ""))
			got.response.is(t, false, "hello, world")
		}
	}
}

// Headers that came without a body have gone on when their response is waited
// for: it is too late for a body then.
func TestBodyTooLate(t *testing.T) {
	m := load(t, guestFile("hostile"))
	for path, message := range map[string]string{
		"/ask-first?late":  "went on without a body",
		"/ask-first-trail": "went on without a body",
		"/ask-between":     "before its body is finished",
	} {
		p := newProxy(t, m, get(path), okResponse)
		got := p.run()
		var failure *plugin.Failure
		if !errors.As(got.err, &failure) || failure.Kind != plugin.Trapped || !strings.Contains(failure.Message, message) {
			t.Errorf("%s: %v", path, got.err)
		}
	}
}

// A guest that waits no longer for the chain's response answers by itself.
func TestFirstByteTimeout(t *testing.T) {
	m := load(t, guestFile("hostile"))
	p := newProxy(t, m, get("/first-byte"), okResponse)
	p.noResponse = true
	begin := time.Now()
	got := p.run()
	if got.err != nil {
		t.Fatal(got.err)
	}
	local("Err(ErrorCode::ConnectionReadTimeout)")(t, got)
	if d := time.Since(begin); d < 20*time.Millisecond || !got.local || !got.request.untouched {
		t.Errorf("after %v: %+v", d, got)
	}
	// One that comes in those 20 ms is taken, which a busy machine may take for itself.
	for range 100 {
		if got = newProxy(t, m, get("/first-byte"), okResponse).run(); got.err != nil || got.response.body == "Ok(200)" {
			break
		}
	}
	if local("Ok(200)")(t, got); got.err != nil {
		t.Error(got.err)
	}
}

// A million lines cost neither memory nor a full disk.
func TestLogStorm(t *testing.T) {
	m := load(t, guestFile("hostile"), withTimeout(time.Minute))
	got := newProxy(t, m, get("/log-storm"), okResponse).run()
	if got.err != nil {
		t.Fatal(got.err)
	}
	all := m.logs.all()
	if len(all) != 1001 || all[0] != "INFO line 0 stream=stdout exchange=0" || all[999] != "INFO line 999 stream=stdout exchange=0" ||
		!strings.Contains(all[1000], "lines=999000") {
		t.Errorf("%d lines, the last %q", len(all), all[len(all)-1])
	}
	if got = newProxy(t, m, get("/long-line"), okResponse).run(); got.err != nil {
		t.Fatal(got.err)
	}
	if n := len(m.logs.all()) - len(all); n != 13 { // 100,000 bytes in lines of 8 KiB
		t.Errorf("%d lines", n)
	}
}

// A guest that sleeps is woken by nothing but its end.
func TestCloseSleeping(t *testing.T) {
	before := runtime.NumGoroutine()
	m := load(t, guestFile("hostile"))
	for range 20 {
		p := newProxy(t, m, get("/sleep-forever"), okResponse)
		p.arrive(plugin.Request)
		st, err := p.guest.Step(t.Context())
		if err != nil || st.Done || st.Wake == nil {
			t.Fatalf("%+v, %v", st, err)
		}
		p.guest.Close()
	}
	checkGoroutines(t, before+1) // the instance kept warm
}

func TestCalloutStreams(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/base/a%2Fb?c=d" || r.Host != "service" || len(r.TransferEncoding) == 0 {
			http.Error(w, r.RequestURI+" "+r.Host, 500)
			return
		}
		w.Header().Set("trailer", "x-count")
		http.NewResponseController(w).EnableFullDuplex()
		n := 0
		buf := make([]byte, 1000)
		for {
			k, err := r.Body.Read(buf)
			n += k
			w.Write(buf[:k])
			if err != nil {
				break
			}
		}
		w.Header().Set("x-count", "all")
	}))
	defer service.Close()
	before := runtime.NumGoroutine()
	t.Run("whole", func(t *testing.T) {
		m := load(t, guestFile("hostile"), withCallout("service", service.URL+"/base"))
		for _, n := range []int{0, 1, 30} {
			request := bigMessage(postRequest(), 100_000, n)
			want := strings.Join(request.body, "")
			got := newProxy(t, m, post("/callout", request), okResponse).run()
			if got.err != nil {
				t.Fatal(got.err)
			}
			got.response.has(t, ":status: 200")
			got.response.is(t, false, want, "x-count: all")
			if got.request.released || !got.request.asked {
				t.Error("the body was not asked for, or the request went on")
			}
		}
	})
	t.Run("closed anywhere", func(t *testing.T) {
		m := load(t, guestFile("hostile"), withCallout("service", service.URL+"/base"))
		for steps := 1; steps < 30; steps += 3 {
			p := newProxy(t, m, post("/callout", bigMessage(postRequest(), 100_000, 30)), okResponse)
			p.closeAfter = steps
			if got := p.run(); got.err != nil {
				t.Fatal(got.err)
			}
		}
	})
	service.CloseClientConnections()
	checkGoroutines(t, before)
}

func TestCalloutFailures(t *testing.T) {
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("content-length", "100")
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer cut.Close()
	for name, c := range map[string]struct{ url, status string }{
		"nobody listens": {"http://127.0.0.1:1", ":status: 502"},
		"no such name":   {"http://no-such-name.invalid", ":status: 502"},
	} {
		t.Run(name, func(t *testing.T) {
			m := load(t, guestFile("hostile"), withCallout("service", c.url))
			got := newProxy(t, m, post("/callout", postRequest()), okResponse).run()
			if got.err != nil {
				t.Fatal(got.err)
			}
			got.response.has(t, c.status)
		})
	}
	m := load(t, guestFile("hostile"), withCallout("service", cut.URL))
	got := newProxy(t, m, post("/callout", postRequest()), okResponse).run()
	var failure *plugin.Failure
	if !errors.As(got.err, &failure) || failure.Kind != plugin.Unanswered {
		t.Errorf("a response that broke off: %v, %+v", got.err, got.response)
	}
}
