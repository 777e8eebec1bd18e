package wasihttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
	"github.com/extproc/extproc/plugin/wasihttp"
)

// withSpace gives a plugin data and queues that no other test has.
func withSpace(t *testing.T) func(*plugin.Spec) {
	return func(s *plugin.Spec) { s.VM.ID, s.Name = t.Name(), t.Name() }
}

// ask is what the guest of all services says to a path.
func ask(t *testing.T, m loaded, path string, change ...func(*plugin.Exchange)) string {
	t.Helper()
	p := newProxy(t, m, get(path), okResponse)
	for _, c := range change {
		c(&p.ex)
	}
	got := p.run()
	if got.err != nil {
		t.Fatalf("%s: %v\n%s", path, got.err, strings.Join(m.logs.all(), "\n"))
	}
	return got.response.body
}

// eventually waits for something that happens without an exchange.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// counted is the value of a counter that a guest has made.
func (m loaded) counted(name string) uint64 {
	id, ok := m.services.Metrics.Lookup(host.Counter, name)
	if !ok {
		return 0
	}
	n, _ := m.services.Metrics.Get(id)
	return n
}

// tasks is how many calls of a handler of the test's plugin have ended so.
func (m loaded) tasks(t *testing.T, handler string, result host.TaskResult) float64 {
	return metricValue(t, m.services.Tasks.WithLabelValues(t.Name(), handler, string(result)))
}

func (m loaded) kept(t *testing.T, key string) string {
	entry, err := m.services.Store.Data.Bucket(t.Name(), 0).Get(t.Context(), key)
	if err != nil {
		return err.Error()
	}
	return string(entry.Value)
}

// told is what a proxy tells of an exchange.
type told map[string]plugin.Value

func (a told) Attribute(name string) (plugin.Value, bool) { v, ok := a[name]; return v, ok }
func (a told) Metadata(namespace string) (plugin.Value, bool) {
	v, ok := a["metadata "+namespace]
	return v, ok
}

func TestProperties(t *testing.T) {
	m := loadWith(t, host.NewServices(nil), guestFile("services"), withSpace(t))
	nested := plugin.Value{Kind: plugin.MapValue, Map: map[string]plugin.Value{
		"id": plugin.Text("n"), "list": {Kind: plugin.ListValue, List: []plugin.Value{plugin.Text("a"), {Kind: plugin.NumberValue, Number: 1.5}, {}}},
	}}
	tell := func(ex *plugin.Exchange) {
		ex.Attributes = told{
			"source.address": plugin.Text("1.2.3.4:5"), "source.port": {Kind: plugin.NumberValue, Number: 5},
			"connection.mtls": {Kind: plugin.BoolValue, Int: 1}, "request.time": plugin.Text("1970-01-01T00:00:01Z"),
			"request.duration": plugin.Text("3ms"), "xds.node": nested, "destination.address": plugin.Text("\xff"),
		}
		ex.SetProperty("from.module", plugin.Bytes([]byte{1, 2}))
		ex.SetMetadata("jwt", "claims", nested)
	}
	for _, c := range []struct{ path, want string }{
		{"source.address", `Some(Value::Text("1.2.3.4:5"))`},
		{"source.port", `Some(Value::Integer(5))`},
		{"connection.mtls", `Some(Value::Boolean(true))`},
		{"request.time", `Some(Value::Time(1000000000))`},
		{"request.duration", `Some(Value::Span(3000000))`},
		{"xds.node.id", `Some(Value::Text("n"))`},
		{"xds.node", `Some(Value::Json("{\"id\":\"n\",\"list\":[\"a\",1.5,null]}"))`},
		{"destination.address", `Some(Value::Bytes([255]))`},
		{"from.module", `Some(Value::Bytes([1, 2]))`},
		{"metadata.filter_metadata.jwt.claims.id", `Some(Value::Text("n"))`},
		{"request.method", `Some(Value::Text("GET"))`},
		{"request.url_path", `Some(Value::Text("/property"))`},
		{"request.headers.:authority", `Some(Value::Text("example.com"))`},
		{"plugin_name", `Some(Value::Text("TestProperties"))`},
		{"plugin_vm_id", `Some(Value::Text("TestProperties"))`},
		{"response.code", "None"},
		{"no.such", "None"},
	} {
		if got := ask(t, m, "/property?"+c.path, tell); got != c.want+"\n" {
			t.Errorf("%s: %s expected %s", c.path, got, c.want)
		}
	}
	for _, c := range []struct {
		args, want string
		path       string
		value      plugin.Value
	}{
		{"mine.text,text,v", "Ok(())", "mine.text", plugin.Text("v")},
		{"mine.integer,integer,-3", "Ok(())", "mine.integer", plugin.Value{Kind: plugin.IntValue, Int: -3}},
		{"mine.number,number,1.5", "Ok(())", "mine.number", plugin.Value{Kind: plugin.NumberValue, Number: 1.5}},
		{"mine.boolean,boolean,true", "Ok(())", "mine.boolean", plugin.Value{Kind: plugin.BoolValue, Int: 1}},
		{"mine.bytes,bytes,b", "Ok(())", "mine.bytes", plugin.Bytes([]byte("b"))},
		{"mine.json,json,[1]", "Ok(())", "mine.json", plugin.Value{Kind: plugin.ListValue, List: []plugin.Value{{Kind: plugin.NumberValue, Number: 1}}}},
		{"mine.bad,number,NaN", `Err(Error::Invalid("no finite number"))`, "", plugin.Value{}},
		{"mine.bad,json,{", `Err(Error::Invalid("unexpected end of JSON input"))`, "", plugin.Value{}},
		{"request.path,text,x", "Err(Error::ReadOnly)", "", plugin.Value{}},
		{"source.address,text,x", "Err(Error::ReadOnly)", "", plugin.Value{}},
	} {
		var ex *plugin.Exchange
		if got := ask(t, m, "/set-property?"+c.args, func(e *plugin.Exchange) { ex = e }); got != c.want {
			t.Errorf("%s: %s, expected %s", c.args, got, c.want)
		}
		if got, ok := ex.Property(c.path); ok != (c.path != "") || !equalValues(got, c.value) {
			t.Errorf("%s: %v, expected %v", c.args, got, c.value)
		}
	}
}

func equalValues(a, b plugin.Value) bool {
	return a.Kind == b.Kind && a.Text == b.Text && a.Int == b.Int && a.Number == b.Number && slices.EqualFunc(a.List, b.List, equalValues)
}

func TestMetadata(t *testing.T) {
	m := loadWith(t, host.NewServices(nil), guestFile("services"), withSpace(t), func(s *plugin.Spec) { s.WritesMetadata = []string{"audit"} })
	set := func(ex *plugin.Exchange) { ex.SetMetadata("seen", "k", plugin.Text("v")) }
	for _, c := range []struct{ path, want string }{
		{"/metadata?seen,k", `Some(Value::Text("v"))`},
		{"/metadata?seen,other", "None"},
		{"/set-metadata?audit,user,text,anna", "Ok(())"},
		{"/set-metadata?other,user,text,anna", "Err(Error::NotAllowed)"},
		{"/set-metadata?audit,user,json," + strings.Repeat("[", 40) + strings.Repeat("]", 40), `Err(Error::Invalid("nested more than 32 deep"))`},
	} {
		if got := ask(t, m, c.path, set); got != c.want {
			t.Errorf("%s: %s, expected %s", c.path, got, c.want)
		}
	}
	p := newProxy(t, m, get("/set-and-forward"), okResponse)
	if got := p.run(); got.err != nil || !p.ex.Request.Reroute {
		t.Errorf("%v; rerouted: %v", got.err, p.ex.Request.Reroute)
	}
	unsent := p.ex.UnsentMetadata()
	if name := unsent["audit"]["user"].Map["name"]; len(name.List) != 2 || name.List[0].Text != "anna" {
		t.Errorf("metadata %v", unsent)
	}
	if unsent["wasm"]["mine"].Text != "kept" {
		t.Errorf("property %v", unsent)
	}
}

// Handles, errors and bounds of the services that need no exchange.
func TestServices(t *testing.T) {
	m := loadWith(t, host.NewServices(nil), guestFile("services"), withSpace(t))
	for _, c := range []struct{ path, want string }{
		{"/metrics", "Ok(()) Ok(()) Ok(()) Ok(()) (Err(Error::InvalidName), Err(Error::InvalidName)) 3 -3 0"},
		{"/keyvalue?" + t.Name(), `Some(Error::NoSuchStore) Ok(Some([49])) Ok(None) Ok(true) Ok(42) Ok(2) [Some("Y"), None, Some("X")] 2 ` +
			"Ok(true) Ok(false) Ok(false) Ok(true) Ok(true) Ok(false) true"},
		{"/dequeue?steps", "one one Ok(()) two Ok(()) true"},
		{"/enqueue?" + t.Name() + ",none,x", "Err(Error::NoSuchQueue)"},
		{"/enqueue?no such space,none,x", "Err(Error::NoSuchQueue)"},
		{"/open?,", "Err(Error::InvalidName)"},
		{"/timer?,1", `Err(Error::Invalid("a name of 1 to 256 bytes is expected"))`},
		{"/timer?x,1,0", `Err(Error::Invalid("a period of 1 ms or more is expected"))`},
		{"/cancel?no such", "false"},
		{"/refused?none", `Err("Error::NoSuchCluster")`},
		{"/leak", "leaked"},
		{"/long-names", "true Err(Error::InvalidName) true Err(Error::InvalidName) None false Err(Error::TooLarge)"},
	} {
		if got := ask(t, m, c.path); got != c.want {
			t.Errorf("%s: %s, expected %s", c.path, got, c.want)
		}
	}
	queue, err := m.services.Store.Queues.Find(t.Context(), t.Name(), "leak")
	if err != nil {
		t.Fatal(err)
	}
	if item, err := queue.Dequeue(t.Context()); err != nil || string(item.Data()) != "leaked" {
		t.Errorf("an item that a guest has left behind did not go back: %v", err)
	}
}

func TestTimers(t *testing.T) {
	m := loadWith(t, host.NewServices(nil), guestFile("services"), withSpace(t))
	for _, path := range []string{"/timer?once,1", "/timer?every,1,1", "/timer?again,1", "/timer?slow,1,1", "/timer?late,3600000", "/timer?exchange,1"} {
		if got := ask(t, m, path); got != "Ok(())" {
			t.Fatalf("%s: %s", path, got)
		}
	}
	eventually(t, "timers", func() bool {
		return m.counted("timer_once") == 1 && m.counted("timer_every") > 3 && m.counted("timer_again") > 3 && m.counted("timer_slow") > 1 &&
			m.counted("no_exchange") == 1
	})
	if n := m.counted("an_exchange") + m.counted("timer_late"); n != 0 {
		t.Errorf("%d calls that should not be", n)
	}
	for _, c := range []struct{ name, want string }{{"every", "true"}, {"late", "true"}, {"late", "false"}, {"once", "false"}, {"slow", "true"}} {
		if got := ask(t, m, "/cancel?"+c.name); got != c.want {
			t.Errorf("cancelling %s: %s, expected %s", c.name, got, c.want)
		}
	}
	before := m.counted("timer_every")
	time.Sleep(20 * time.Millisecond)
	if after := m.counted("timer_every"); after > before+1 { // one may have been under way
		t.Errorf("%d calls after the timer was cancelled", after-before)
	}
	if once := m.counted("timer_once"); once != 1 {
		t.Errorf("a one-shot timer was due %d times", once)
	}
}

func TestStartup(t *testing.T) {
	m := loadWith(t, host.NewServices(nil), guestFile("services"), withSpace(t), withConfig(map[string]string{"start": "startup"}))
	eventually(t, "a timer that start has set", func() bool { return m.counted("timer_startup") > 2 })
	if got := ask(t, m, "/enqueue?"+t.Name()+",startup,hello"); got != "Ok(())" {
		t.Fatal(got)
	}
	eventually(t, "a queue that start has subscribed to", func() bool { return m.kept(t, "startup") == "hello" })

	for _, c := range []struct {
		start, want string
		timeout     time.Duration
	}{
		{"refuse", "does not start: start: the moon is full", time.Minute},
		{"trap", "does not start: start: ", time.Minute},
		{"loop", "does not start: start: ran for longer than 50ms", 50 * time.Millisecond},
		{strings.Repeat("n", 257), "does not start: start: Error::Invalid(", time.Minute},
	} {
		_, err := tryLoad(t, guestFile("services"), &logs{}, withConfig(map[string]string{"start": c.start}), withTimeout(c.timeout))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.10s: %v, expected %q", c.start, err, c.want)
		}
	}
}

// A handler that traps or loops is stopped, logged, counted and left alone for a
// while; an item that it took comes again; and exchanges go on all the same.
func TestFailingTasks(t *testing.T) {
	m := loadWith(t, host.NewServices(nil), guestFile("services"), withSpace(t), withTimeout(500*time.Millisecond), func(s *plugin.Spec) {
		s.VM.Backoff = plugin.Backoff{Base: 50 * time.Millisecond, Most: 100 * time.Millisecond}
	})
	for _, path := range []string{"/subscribe?failing", "/enqueue?" + t.Name() + ",failing,trap", "/timer?trap,1,1", "/timer?loop,1,1"} {
		if got := ask(t, m, path); got != "Ok(())" {
			t.Fatalf("%s: %s", path, got)
		}
	}
	eventually(t, "the item", func() bool { return m.kept(t, "failing") == "trap" && m.counted("items_failing") == 2 })
	eventually(t, "failures", func() bool {
		return m.tasks(t, "on-timer", host.TaskFailed) >= 4 && m.tasks(t, "on-item", host.TaskFailed) == 1
	})
	for range 50 {
		begin := time.Now()
		if got := ask(t, m, "/metadata?a,b"); got != "None" {
			t.Fatal(got)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("an exchange took %v", took)
		}
	}
	for _, word := range []string{"a handler failed handler=on-timer", "ran for longer than 500ms", "unreachable", "a handler failed handler=on-item"} {
		eventually(t, word+" in the log", func() bool {
			return slices.ContainsFunc(m.logs.all(), func(line string) bool { return strings.Contains(line, word) })
		})
	}
}

// The item that a guest trapped on comes again after the pause, not before.
func TestFailingItemWaits(t *testing.T) {
	m := loadWith(t, host.NewServices(nil), guestFile("services"), withSpace(t), func(s *plugin.Spec) {
		s.VM.Backoff = plugin.Backoff{Base: time.Minute, Most: time.Minute}
	})
	for _, path := range []string{"/subscribe?failing", "/enqueue?" + t.Name() + ",failing,trap"} {
		if got := ask(t, m, path); got != "Ok(())" {
			t.Fatalf("%s: %s", path, got)
		}
	}
	eventually(t, "the failure", func() bool { return m.tasks(t, "on-item", host.TaskFailed) == 1 })
	time.Sleep(50 * time.Millisecond)
	if n := m.counted("items_failing"); n != 1 {
		t.Errorf("the handler was called %d times within a moment", n)
	}
}

// What hostile guests do a million times.
func TestFloods(t *testing.T) {
	m := loadWith(t, host.NewServices(nil), guestFile("services"), withSpace(t))
	for _, c := range []struct{ path, want string }{
		{"/flood-timers", `1000 "Error::TooMany"`},
		{"/flood-queues", `1000 "Error::TooMany"`},
		{"/flood-properties", `"Error::TooLarge"`},
	} {
		if got := ask(t, m, c.path); !strings.HasSuffix(strings.ReplaceAll(got, `"`, ""), strings.ReplaceAll(c.want, `"`, "")) {
			t.Errorf("%s: %s, expected %s", c.path, got, c.want)
		}
	}
	got := newProxy(t, m, get("/flood-items"), okResponse).run()
	if got.err == nil || !strings.Contains(got.err.Error(), "more handles held at once") {
		t.Errorf("/flood-items: %v", got.err)
	}
	queue, err := m.services.Store.Queues.Find(t.Context(), t.Name(), "items")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := queue.Dequeue(t.Context()); err != nil {
		t.Errorf("the items of a guest that trapped did not go back: %v", err)
	}
}

// Metrics are all plugins', so this comes in services of its own.
func TestFloodOfMetrics(t *testing.T) {
	m := loadWith(t, host.NewServices(nil), guestFile("services"))
	if got := ask(t, m, "/flood-metrics"); !strings.HasSuffix(got, " Error::TooMany") || len(got) > 30 {
		t.Error(got)
	}
}

func TestCallouts(t *testing.T) {
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Trailer", "grpc-status")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, r.Method+" "+r.Proto+" "+string(body)+" te="+r.Header.Get("Te"))
		if strings.HasPrefix(r.URL.Path, "/grpc.") {
			w.Header().Set("grpc-status", "0")
		}
	}))
	service.Config.Protocols = new(http.Protocols)
	service.Config.Protocols.SetHTTP1(true)
	service.Config.Protocols.SetUnencryptedHTTP2(true)
	service.Start()
	defer service.Close()
	u, err := url.Parse(service.URL)
	if err != nil {
		t.Fatal(err)
	}
	m := loadWith(t, host.NewServices(nil), guestFile("services"), withSpace(t), func(s *plugin.Spec) {
		s.Callouts = map[string]*plugin.Cluster{"service": {URL: u}, "gone": {URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}}}
	})
	for _, c := range []struct{ args, want string }{
		{"service,POST,/x,hello", "202_POST HTTP/1.1 hello te="},
		{"service,POST,/grpc.Service/Method,hello", "202_POST HTTP/2.0 hello te=trailers_grpc-status:0"},
		{"gone,GET,/,", "ErrorCode::ConnectionRefused"},
		{"none,GET,/,", "Error::NoSuchCluster"},
	} {
		if got := ask(t, m, "/call?"+c.args); got != c.want {
			t.Errorf("%s: %s, expected %s", c.args, got, c.want)
		}
	}
	// A callout by name is none down the chain: the request can still be sent on.
	if got := ask(t, m, "/timer?call,1"); got != "Ok(())" {
		t.Fatal(got)
	}
	eventually(t, "a call from a timer", func() bool { return m.counted("call_202_POST HTTP/1.1 tick te=") == 1 })
}

func TestExchangeLog(t *testing.T) {
	// The guest writes megabytes as text: no limit to how long that takes.
	m := loadWith(t, host.NewServices(nil), guestFile("services"), withSpace(t), withTimeout(0))
	if n := m.Needs(); !n.Headers[plugin.Response] || len(n.Attributes[0]) == 0 || !slices.Equal(n.Writes, []string{"wasm"}) {
		t.Errorf("needs %+v", n)
	}
	logger := m.Module.(plugin.Logger)
	if !logger.Logs() {
		t.Fatal("it doesn't log")
	}
	r := &plugin.Record{Began: time.Unix(1, 2), Took: 3, Outcome: plugin.Answered}
	r.Exchange.ID, r.Exchange.Attributes = 7, told{"source.address": plugin.Text("1.2.3.4:5")}
	r.Exchange.SetProperty("mine", plugin.Text("left"))
	r.Messages[plugin.Request] = &plugin.Sent{
		Headers: headers([]string{":method: GET", ":path: /p", "a: 1", "a: 2"}), Trailers: headers([]string{"t: \xff"}), Bytes: 9, BytesSeen: true,
	}
	r.Messages[plugin.Response] = &plugin.Sent{Headers: headers([]string{":status: 418", "b: 3"})}
	logger.Log(r)
	want := `Exchange { id: 7, began: 1000000002, took: 3, outcome: Outcome::Answered, request: Request { method: "GET", scheme: None, authority: None, ` +
		`path-with-query: Some("/p"), headers: [("a", [49]), ("a", [50])], body: Some(9), trailers: [("t", [255])] }, ` +
		`response: Some(Response { status: 418, headers: [("b", [51])], body: None, trailers: [] }) } ` +
		`Some(Value::Text("1.2.3.4:5")) Some(Value::Text("left")) Err(Error::NoExchange)`
	eventually(t, "the log", func() bool { return strings.HasPrefix(m.kept(t, "log 7"), "Exchange") })
	if got := m.kept(t, "log 7"); got != want {
		t.Errorf("%s\nexpected\n%s", got, want)
	}

	// What waits is logged before the plugin is gone, and what is too much is counted.
	large := &plugin.Record{Messages: r.Messages}
	large.Messages[plugin.Response] = &plugin.Sent{Headers: plugin.Headers{{Name: "x", Value: make([]byte, 1<<20)}}}
	done, dropped := func() float64 { return m.tasks(t, "on-log", host.TaskDone) }, func() float64 { return m.tasks(t, "on-log", host.TaskDropped) }
	logged := 1.0
	for ; dropped() == 0; logged++ {
		if logged > 1000 {
			t.Fatal("1000 MiB wait to be logged")
		}
		logger.Log(large)
	}
	eventually(t, "every exchange", func() bool { return done()+dropped() == logged })
	if n := done(); n < 10 {
		t.Errorf("%v of %v were logged", n, logged)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 10 {
		logger.Log(r)
	}
	if err := m.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if n := done() + dropped(); n != logged+10 {
		t.Errorf("%v of %v exchanges were logged when the plugin was closed", n, logged+10)
	}
}

func metricValue(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

// TestTasksEnd: with a plugin everything ends that it does without an exchange,
// wherever that stands, and soon.
func TestTasksEnd(t *testing.T) {
	shared := host.NewServices(nil)
	before := runtime.NumGoroutine()
	for range 5 {
		l := &logs{}
		change := []func(*plugin.Spec){withSpace(t), withConfig(map[string]string{"start": "ends"}), withTimeout(0)}
		module, err := wasihttp.New(engine(), shared).Load(t.Context(), read(t, guestFile("services")), spec(l, change))
		if err != nil {
			t.Fatal(err)
		}
		m := loaded{module, l, shared}
		was := m.counted("timer_loop")
		for _, path := range []string{"/timer?loop,0", "/timer?slow,1,1", "/timer?every,1,1", "/enqueue?" + t.Name() + ",ends,x"} {
			if got := ask(t, m, path); got != "Ok(())" {
				t.Fatalf("%s: %s", path, got)
			}
		}
		eventually(t, "the loop", func() bool { return m.counted("timer_loop") > was })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := module.Close(ctx); err != nil {
			t.Errorf("closing: %v", err)
		}
		cancel()
	}
	checkGoroutines(t, before)
	m := loaded{services: shared}
	ticks := m.counted("timer_every")
	time.Sleep(20 * time.Millisecond)
	if m.counted("timer_every") != ticks {
		t.Error("a timer goes on after its plugin")
	}
}
