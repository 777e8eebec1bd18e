package hostile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
	"github.com/extproc/extproc/plugin/proxywasm"
	"github.com/extproc/extproc/plugin/wasihttp"
	"github.com/extproc/extproc/server"
)

// logs keep the beginning of what was logged, and count the rest.
type logs struct {
	mu    sync.Mutex
	lines []string
	count int
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }
func (l *logs) WithAttrs(attrs []slog.Attr) slog.Handler { return withAttrs{l, attrs} }
func (l *logs) WithGroup(string) slog.Handler            { return l }
func (l *logs) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count++; l.count > 10_000 {
		return nil
	}
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	l.lines = append(l.lines, line)
	return nil
}

func (l *logs) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

type withAttrs struct {
	*logs
	attrs []slog.Attr
}

func (w withAttrs) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	r.AddAttrs(w.attrs...)
	return w.logs.Handle(ctx, r)
}

// kinds are the engines for guests of both kinds.
type kinds struct {
	abis []plugin.ABI
}

// cacheDir keeps compiled guests between test runs.
var cacheDir = filepath.Join(os.TempDir(), "extproc-test-cache")

const (
	guestMemory  = 32 << 20
	guestTimeout = 20 * time.Second
	loadLimit    = time.Minute
)

func engines(tb testing.TB, interpreted bool, startLimit time.Duration) *kinds {
	tb.Helper()
	ctx := context.Background()
	dir := cacheDir
	if interpreted {
		dir = ""
	}
	engine, err := abi.NewEngine(ctx, abi.Config{CacheDir: dir, MemoryLimit: 256 << 20, Interpreter: interpreted})
	if err != nil {
		tb.Fatal(err)
	}
	modules, err := proxywasm.New(ctx, proxywasm.Config{CacheDir: dir, Workers: 1, StartLimit: startLimit, Interpreter: interpreted})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(modules.Close(ctx), engine.Close(ctx)); err != nil {
			tb.Error(err)
		}
	})
	return &kinds{[]plugin.ABI{wasihttp.New(engine, host.NewServices(nil)), modules}}
}

// watched is a module whose guests' failures are noted.
type watched struct {
	plugin.Module
	mu     sync.Mutex
	failed error
}

type watchedGuest struct {
	plugin.Guest
	of *watched
}

func (w *watched) Start(ex *plugin.Exchange) (plugin.Guest, error) {
	g, err := w.Module.Start(ex)
	if err != nil {
		return nil, err
	}
	return &watchedGuest{g, w}, nil
}

func (g *watchedGuest) Step(ctx context.Context) (plugin.Status, error) {
	st, err := g.Guest.Step(ctx)
	if err != nil {
		g.of.mu.Lock()
		g.of.failed = err
		g.of.mu.Unlock()
	}
	return st, err
}

// take is the last failure, which is then forgotten.
func (w *watched) take() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.failed
	w.failed = nil
	return err
}

// load loads a guest as the program does.
func (k *kinds) load(wasm []byte, spec *plugin.Spec, limit time.Duration) (*watched, error) {
	for _, a := range k.abis {
		if a.Detect(wasm) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			m, err := a.Load(ctx, wasm, spec)
			if err != nil {
				return nil, err
			}
			return &watched{Module: m}, nil
		}
	}
	return nil, errors.New("of no known kind")
}

// proxy is the client of a server in this process.
type proxy struct {
	extprocv3.ExternalProcessorClient
}

// serve runs a server of some plugins until the test ends.
func serve(tb testing.TB, l *logs, plugins ...*plugin.Plugin) proxy {
	tb.Helper()
	var current plugin.Current
	if err := current.Swap(plugin.NewSet(plugins...)); err != nil {
		tb.Fatal(err)
	}
	s := grpc.NewServer(server.GRPCOptions()...)
	server.New(&current, server.Options{Log: slog.New(l)}).Register(s)
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///server", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(128<<20), grpc.MaxCallSendMsgSize(128<<20)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = conn.Close()
		s.Stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
		if err := current.Close(); err != nil {
			tb.Error(err)
		}
	})
	return proxy{extprocv3.NewExternalProcessorClient(conn)}
}

// resident is the memory of the process that is not on disk.
func resident(tb testing.TB) int64 {
	tb.Helper()
	var pages [2]int64
	if _, err := fmt.Sscan(string(read(tb, "/proc/self/statm")), &pages[0], &pages[1]); err != nil {
		tb.Fatal(err)
	}
	return pages[1] * int64(os.Getpagesize())
}

// TestGuests runs every guest, compiled and interpreted, in a server of its own,
// while others go on with theirs. What comes of it is what the table says, and the
// next exchange is served.
func TestGuests(t *testing.T) {
	guests := allGuests()
	if len(guests) < 100 {
		t.Errorf("only %d guests", len(guests))
	}
	binaries := assemble(t, guests)
	for name, interpreted := range map[string]bool{"compiled": false, "interpreted": true} {
		t.Run(name, func(t *testing.T) {
			k := engines(t, interpreted, time.Second)
			w := witnesses(t, k)
			before := resident(t)
			for _, g := range guests {
				t.Run(g.name, func(t *testing.T) { k.meet(t, g, binaries[g.name]) })
			}
			w.stop(t)
			debug.FreeOSMemory()
			grown := resident(t) - before
			t.Logf("the process grew by %d MiB", grown>>20)
			if grown > 512<<20 {
				t.Error("that is too much")
			}
		})
	}
	t.Logf("%d guests", len(guests))
}

func allGuests() []guest {
	return slices.Concat(hostcallGuests(), moduleGuests(), componentGuests())
}

// meet runs one guest.
func (k *kinds) meet(t *testing.T, g guest, wasm []byte) {
	if g.file != "" {
		wasm = read(t, inCheckout(t, g.file))
	}
	l := &logs{}
	spec := &plugin.Spec{
		Name: "guest", Log: slog.New(l), VM: plugin.VM{Workers: 1},
		Limits: plugin.Limits{Timeout: cmp.Or(g.timeout, guestTimeout), Memory: cmp.Or(g.memory, guestMemory), Instances: 4},
	}
	if g.want.fails && g.want.kind == plugin.TimedOut {
		spec.Limits.Timeout = 100 * time.Millisecond
	}
	began := time.Now()
	limit := loadLimit
	if g.want.refused {
		limit = 5 * time.Second // it may be one that never starts
	}
	m, err := k.load(wasm, spec, limit)
	if g.want.refused {
		if err == nil {
			_ = m.Close(t.Context())
			t.Fatal("it was loaded")
		}
		if !strings.Contains(err.Error(), g.want.message) || strings.Contains(err.Error(), "panic") || time.Since(began) > time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	p := serve(t, l, plugin.NewPlugin(spec, m))
	good := exchange{path: "/good"}
	if !g.starting {
		if got := p.run(t, good); got.problem != "" {
			t.Error("before: ", got.problem)
		}
	}
	if err := m.take(); err != nil {
		t.Error("before: ", err)
	}
	before := resident(t)
	harm := exchange{path: cmp.Or(g.path, "/harm"), body: true}
	if g.want.waits {
		harm.patience = time.Second
	}
	got := p.run(t, harm)
	g.judge(t, got, m.take(), l)
	if grown := resident(t) - before; grown > 256<<20 {
		t.Errorf("the process grew by %d MiB", grown>>20)
	}
	if !g.starting {
		k.again(t, p, m, good)
	}
	if strings.Contains(l.text(), "panicked") {
		t.Error(l.text())
	}
}

// again serves the next exchange. A VM that was lost may take a moment to start
// anew.
func (k *kinds) again(t *testing.T, p proxy, m *watched, good exchange) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got := p.run(t, good)
		if got.problem == "" && got.immediate != 503 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the next exchange: %+v, %v", got, m.take())
		}
	}
}

// judge compares what came of a guest with what may.
func (g guest) judge(t *testing.T, got result, err error, l *logs) {
	t.Helper()
	if g.want.waits {
		if got.immediate != 503 || got.problem != "" {
			t.Errorf("%+v, %v", got, err)
		}
		return
	}
	if got.problem != "" {
		t.Fatalf("%s; %v", got.problem, err)
	}
	switch want := g.want; {
	case want.fails:
		var f *plugin.Failure
		if want.kind == plugin.Unanswered && got.immediate == 503 && (err == nil || strings.Contains(err.Error(), want.message)) {
			if !strings.Contains(l.text(), want.message) {
				t.Errorf("not in the log: %s\n%s", want.message, l.text())
			}
			return
		}
		if !errors.As(err, &f) || f.Kind != want.kind || !strings.Contains(f.Message, want.message) || got.immediate != 503 {
			t.Errorf("%+v, %v", got, err)
		}
	case err != nil:
		t.Errorf("%+v, %v", got, err)
	case got.immediate != want.status:
		t.Errorf("%+v\n%s", got, l.text())
	case want.log != "" && !strings.Contains(l.text(), want.log):
		t.Errorf("not in the log: %s", want.log)
	}
}

// good are plugins of both kinds that are in order.
func (k *kinds) good(tb testing.TB) []*plugin.Plugin {
	tb.Helper()
	var list []*plugin.Plugin
	for _, file := range []string{"envoy/examples/header-rules/rust.wasm", "envoy/examples/proxy-wasm-headers/c/plugin.wasm"} {
		spec := &plugin.Spec{
			Name: "good", Log: slog.New(slog.DiscardHandler), VM: plugin.VM{Workers: 1},
			Limits: plugin.Limits{Timeout: 20 * time.Second, Memory: 64 << 20, Instances: 4},
		}
		m, err := k.load(read(tb, inCheckout(tb, file)), spec, loadLimit)
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, plugin.NewPlugin(spec, m))
	}
	return list
}
