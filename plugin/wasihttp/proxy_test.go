package wasihttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
	"github.com/extproc/extproc/plugin/wasihttp"
)

// engine is shared, as compiling is slow.
var engine = sync.OnceValue(func() *abi.Engine {
	e, err := abi.NewEngine(context.Background(), abi.Config{MemoryLimit: 64 << 20, CacheDir: filepath.Join(os.TempDir(), "extproc-test-cache")})
	if err != nil {
		panic(err)
	}
	return e
})

// logs collects log records as "level message key=value".
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logs) WithGroup(string) slog.Handler            { return l }
func (l *logs) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

func (l *logs) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// loaded is a plugin for a test.
type loaded struct {
	plugin.Module
	logs     *logs
	services *host.Services
}

func example(name, lang string) string { return filepath.Join("envoy", "examples", name, lang+".wasm") }
func guestFile(name string) string     { return filepath.Join("internal", "guests", name, "rust.wasm") }

func load(tb testing.TB, file string, change ...func(*plugin.Spec)) loaded {
	tb.Helper()
	return loadWith(tb, services(), file, change...)
}

func loadWith(tb testing.TB, shared *host.Services, file string, change ...func(*plugin.Spec)) loaded {
	tb.Helper()
	l := &logs{}
	m, err := wasihttp.New(engine(), shared).Load(context.Background(), read(tb, file), spec(l, change))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(shared.Client.Close)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			tb.Errorf("closing %s: %v", file, err)
		}
	})
	return loaded{m, l, shared}
}

func tryLoad(tb testing.TB, file string, l *logs, change ...func(*plugin.Spec)) (plugin.Module, error) {
	tb.Helper()
	return tryLoadBytes(read(tb, file), l, change...)
}

func read(tb testing.TB, file string) []byte {
	tb.Helper()
	path, err := checkout.Path(filepath.Split(file))
	if err != nil {
		tb.Fatal(err)
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return wasm
}

func tryLoadBytes(wasm []byte, l *logs, change ...func(*plugin.Spec)) (plugin.Module, error) {
	return wasihttp.New(engine(), services()).Load(context.Background(), wasm, spec(l, change))
}

func spec(l *logs, change []func(*plugin.Spec)) *plugin.Spec {
	s := &plugin.Spec{Name: "test", Log: slog.New(l), Limits: plugin.Limits{Timeout: 5 * time.Second, Instances: 8}}
	for _, c := range change {
		c(s)
	}
	return s
}

// services are shared, as in a server.
var services = sync.OnceValue(func() *host.Services { return host.NewServices(nil) })

func withConfig(m map[string]string) func(*plugin.Spec) {
	return func(s *plugin.Spec) { s.ConfigMap = m }
}

func withTimeout(d time.Duration) func(*plugin.Spec) {
	return func(s *plugin.Spec) { s.Limits.Timeout = d }
}

func withCallout(name, target string) func(*plugin.Spec) {
	return func(s *plugin.Spec) {
		u, err := url.Parse(target)
		if err != nil {
			panic(err)
		}
		s.Callouts = map[string]*plugin.Cluster{name: {URL: u}}
	}
}

// message is one direction of an exchange, as sent or as it came out.
type message struct {
	headers  []string // "name: value"
	body     []string // chunks
	trailers []string
	noBody   bool
}

func headers(list []string) plugin.Headers {
	var h plugin.Headers
	for _, s := range list {
		i := strings.Index(s[1:], ":") + 1
		h = append(h, plugin.Field{Name: s[:i], Value: []byte(strings.TrimPrefix(s[i+1:], " "))})
	}
	return h
}

func list(h plugin.Headers) []string {
	var l []string
	for _, f := range h {
		l = append(l, f.Name+": "+string(f.Value))
	}
	return l
}

// outcome is what became of an exchange.
type outcome struct {
	request, response sent
	local             bool // the guest answered in the upstream's place
	err               error
	steps             int
}

// sent is one direction as it went on.
type sent struct {
	released  bool
	untouched bool // the body was left to the proxy
	same      bool // the headers are the original ones
	headers   []string
	body      string
	ended     bool
	trailers  []string
	asked     bool // the body was asked for
}

// proxy plays the part of the server for one exchange: the six phases, with
// bodies sent when they are asked for, and the response when the request has
// gone on, unless it comes early.
type proxy struct {
	tb                testing.TB
	ex                plugin.Exchange
	guest             plugin.Guest
	input             [2]message
	fed               [2]int // chunks
	out               outcome
	closeAfter        int  // steps; 0 is never
	unasked           bool // bodies are sent without being asked for
	responseAtOnce    bool
	bodiesInOneMoment bool
	noResponse        bool // the upstream is silent
}

func newProxy(tb testing.TB, m plugin.Module, request, response message) *proxy {
	tb.Helper()
	p := &proxy{tb: tb, input: [2]message{request, response}}
	g, err := m.Start(&p.ex)
	if err != nil {
		tb.Fatal(err)
	}
	p.guest = g
	return p
}

// errStuck: the guest waits for something that never comes.
var errStuck = errors.New("the guest waits for what never comes")

func (p *proxy) run() outcome {
	p.tb.Helper()
	defer p.guest.Close()
	p.arrive(plugin.Request)
	if p.responseAtOnce {
		p.arrive(plugin.Response)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		st, err := p.guest.Step(ctx)
		p.out.steps++
		p.collect()
		if err != nil {
			p.out.err = err
			return p.out
		}
		if st.Done || p.out.steps == p.closeAfter {
			return p.out
		}
		if p.feed() {
			continue
		}
		if st.Wake == nil {
			p.out.err = errStuck
			return p.out
		}
		select {
		case <-st.Wake.Rung():
		case <-ctx.Done():
			p.out.err = fmt.Errorf("no wake: %w", ctx.Err())
			return p.out
		}
	}
}

func (p *proxy) arrive(d plugin.Direction) {
	m, in := p.ex.Message(d), p.input[d]
	m.Arrived, m.Original, m.NoBody = true, headers(in.headers), in.noBody
}

// feed delivers the next part of the exchange, if there is one.
func (p *proxy) feed() bool {
	for d := range plugin.Direction(2) {
		m := p.ex.Message(d)
		if !m.Arrived || m.NoBody || m.In.Ended || !(m.WantBody || p.unasked) || m.Released && m.Plan == plugin.Untouched {
			continue
		}
		p.feedBody(d)
		return true
	}
	if r := &p.ex.Request; r.Released && !p.ex.Response.Arrived && !p.out.local && !p.noResponse &&
		(r.Plan == plugin.Untouched || r.Out.Ended) {
		p.arrive(plugin.Response)
		return true
	}
	return false
}

func (p *proxy) feedBody(d plugin.Direction) {
	m, in := p.ex.Message(d), p.input[d]
	for p.fed[d] < len(in.body) {
		m.In.Push([]byte(in.body[p.fed[d]]))
		p.fed[d]++
		if !p.bodiesInOneMoment {
			return
		}
	}
	m.In.Ended, m.In.Trailers = true, headers(in.trailers)
}

// collect takes what the guest has handed on.
func (p *proxy) collect() {
	for d := range plugin.Direction(2) {
		m, s := p.ex.Message(d), &p.out.request
		if d == plugin.Response {
			s = &p.out.response
			p.out.local = m.Released && !m.Arrived || p.out.local
		}
		s.asked = m.WantBody
		if !m.Released {
			if m.Out.Len() > 0 {
				p.tb.Errorf("%d: a body before the headers were released", d)
			}
			continue
		}
		if !s.released {
			s.released, s.untouched = true, m.Plan == plugin.Untouched
			s.headers = list(m.Headers)
			s.same = len(m.Headers) == len(m.Original) && (len(m.Headers) == 0 || &m.Headers[0] == &m.Original[0])
		}
		for chunk := m.Out.Pop(); chunk != nil; chunk = m.Out.Pop() {
			s.body += string(chunk)
		}
		s.ended, s.trailers = m.Out.Ended, list(m.Out.Trailers)
	}
}

var getRequest = message{
	headers: []string{":scheme: http", ":method: GET", ":authority: example.com", ":path: /p?q=1", "x-secret: s", "te: trailers", "x-multi: client"},
	noBody:  true,
}

var okResponse = message{
	headers: []string{":status: 200", "content-type: text/plain", "server-secret: s", "connection: close"},
	body:    []string{"hello, ", "world"},
}

func postRequest(trailers ...string) message {
	return message{
		headers:  []string{":method: POST", ":scheme: http", ":authority: example.com", ":path: /", "content-type: text/plain"},
		body:     []string{"one ", "two ", "three"},
		trailers: trailers,
	}
}

func bigMessage(head message, chunk, n int) message {
	head.body = nil
	for i := range n {
		head.body = append(head.body, string(bytes.Repeat([]byte{byte('a' + i%26)}, chunk)))
	}
	return head
}
