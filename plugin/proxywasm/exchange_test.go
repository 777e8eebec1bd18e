package proxywasm

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/plugin"
)

// logs collects log records as "level message key=value".
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelDebug }
func (l *logs) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *logs) WithGroup(string) slog.Handler                    { return l }
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

// has waits for a line that contains some text.
func (l *logs) has(tb testing.TB, text string) {
	tb.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		for _, line := range l.all() {
			if strings.Contains(line, text) {
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
	tb.Fatalf("no log line contains %q: %q", text, l.all())
}

// cacheDir keeps compiled guests between test runs.
var cacheDir = filepath.Join(os.TempDir(), "extproc-test-cache")

func newABI(tb testing.TB, cfg Config) *ABI {
	tb.Helper()
	cfg.CacheDir = cacheDir
	a, err := New(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return a
}

func newSpec(l *logs, change ...func(*plugin.Spec)) *plugin.Spec {
	s := &plugin.Spec{
		Name: "test", Log: slog.New(l),
		Limits: plugin.Limits{Timeout: 5 * time.Second, Memory: 64 << 20, Instances: 16},
		VM:     plugin.VM{Workers: 1},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func mustLoad(tb testing.TB, a *ABI, wasm []byte, spec *plugin.Spec) *Module {
	tb.Helper()
	m, err := a.Load(context.Background(), wasm, spec)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeModule(tb, m) })
	return m.(*Module)
}

func closeModule(tb testing.TB, m plugin.Module) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		tb.Error(err)
	}
}

func file(tb testing.TB, parts ...string) []byte {
	tb.Helper()
	path, err := checkout.Path(parts...)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// conversation is an exchange that a test plays the server and the proxy for.
type conversation struct {
	tb     testing.TB
	ex     plugin.Exchange
	guest  plugin.Guest
	status plugin.Status
	err    error
}

var lastExchange uint64

func begin(tb testing.TB, m plugin.Module) *conversation {
	tb.Helper()
	lastExchange++
	c := &conversation{tb: tb}
	c.ex.ID = lastExchange
	g, err := m.Start(&c.ex)
	if err != nil {
		tb.Fatal(err)
	}
	c.guest = g
	tb.Cleanup(g.Close)
	return c
}

// list makes headers of "name: value" lines.
func list(fields ...string) plugin.Headers {
	var h plugin.Headers
	for _, f := range fields {
		at := strings.Index(f[1:], ": ") + 1
		h = append(h, plugin.Field{Name: f[:at], Value: []byte(f[at+2:])})
	}
	return h
}

func (c *conversation) step() *conversation {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c.status, c.err = c.guest.Step(ctx)
	return c
}

func (c *conversation) ok() *conversation {
	c.tb.Helper()
	if c.err != nil {
		c.tb.Fatal(c.err)
	}
	return c
}

// headers delivers headers and steps.
func (c *conversation) headers(d plugin.Direction, end bool, fields ...string) *conversation {
	c.tb.Helper()
	m := c.ex.Message(d)
	m.Arrived, m.Original, m.NoBody = true, list(fields...), end
	m.In.Ended = end
	return c.step()
}

func (c *conversation) request(end bool, fields ...string) *conversation {
	c.tb.Helper()
	return c.headers(plugin.Request, end, append([]string{":method: GET", ":scheme: http", ":authority: example.com", ":path: /p?q=1"}, fields...)...)
}

func (c *conversation) response(end bool, fields ...string) *conversation {
	c.tb.Helper()
	return c.headers(plugin.Response, end, append([]string{":status: 200"}, fields...)...)
}

// chunk delivers a part of a body and steps.
func (c *conversation) chunk(d plugin.Direction, text string, end bool) *conversation {
	c.tb.Helper()
	b := &c.ex.Message(d).In
	b.Push([]byte(text))
	b.Ended = end
	return c.step()
}

func (c *conversation) trailers(d plugin.Direction, fields ...string) *conversation {
	c.tb.Helper()
	b := &c.ex.Message(d).In
	b.Trailers, b.Ended = list(fields...), true
	return c.step()
}

// wait steps when the guest wants to be.
func (c *conversation) wait() *conversation {
	c.tb.Helper()
	select {
	case <-c.status.Wake.Rung():
	case <-time.After(time.Minute):
		c.tb.Fatal("the guest is not woken")
	}
	return c.step()
}

// until steps whenever the guest wants to be, until a line was logged.
func (c *conversation) until(l *logs, text string) {
	c.tb.Helper()
	for timeout := time.After(time.Minute); ; {
		if slices.ContainsFunc(l.all(), func(line string) bool { return strings.Contains(line, text) }) {
			return
		}
		select {
		case <-c.status.Wake.Rung():
			c.step().ok()
		case <-time.After(time.Millisecond):
		case <-timeout:
			c.tb.Fatalf("no log line contains %q: %q", text, l.all())
		}
	}
}

// message is what has gone on of a message so far, as a text.
func (c *conversation) message(d plugin.Direction) string {
	m := c.ex.Message(d)
	if !m.Released {
		return "held"
	}
	var b strings.Builder
	for _, f := range m.Headers {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	if m.Plan == plugin.Untouched {
		b.WriteString("untouched")
		return b.String()
	}
	for chunk := m.Out.Pop(); chunk != nil; chunk = m.Out.Pop() {
		fmt.Fprintf(&b, "[%s]", chunk)
	}
	if m.Out.Ended {
		b.WriteString("end")
		for _, f := range m.Out.Trailers {
			fmt.Fprintf(&b, " %s: %s", f.Name, f.Value)
		}
	}
	return b.String()
}

func (c *conversation) is(d plugin.Direction, want string) *conversation {
	c.tb.Helper()
	c.ok()
	if got := c.message(d); got != want {
		c.tb.Errorf("direction %d:\n%s\nexpected\n%s", d, got, want)
	}
	return c
}

func (c *conversation) contains(d plugin.Direction, want string) *conversation {
	c.tb.Helper()
	c.ok()
	if got := c.message(d); !strings.Contains(got, want) {
		c.tb.Errorf("direction %d:\n%s\nexpected to contain\n%s", d, got, want)
	}
	return c
}
