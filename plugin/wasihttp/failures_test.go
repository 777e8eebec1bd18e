package wasihttp_test

import (
	"context"
	"errors"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
	"github.com/extproc/extproc/plugin/wasihttp"
)

// A guest that fails spoils its own exchange and no other.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		guest, path string
		kind        plugin.FailureKind
		message     string
	}{
		{"trap", "/trap", plugin.Trapped, "unreachable"},
		{"loop", "/loop", plugin.TimedOut, "ran for longer than 1s"},
		{"loop", "/loop-hostcalls", plugin.TimedOut, "ran for longer than 1s"},
		{"memory-bomb", "/bomb", plugin.OutOfMemory, "out of memory"},
		{"exit", "/exit", plugin.Exited, "exit code 0"},
		{"exit", "/exit-failure", plugin.Exited, "exit code 1"},
	} {
		t.Run(c.guest+c.path, func(t *testing.T) {
			limit := time.Minute
			if c.kind == plugin.TimedOut {
				limit = time.Second // those that do nothing take less
			}
			m := load(t, guestFile(c.guest), withTimeout(limit), func(s *plugin.Spec) { s.Limits.Memory = 8 << 20 })
			for range 2 {
				begin := time.Now()
				got := newProxy(t, m, get(c.path), okResponse).run()
				var failure *plugin.Failure
				switch {
				case !errors.As(got.err, &failure):
					t.Fatalf("error %v", got.err)
				case failure.Kind != c.kind || !strings.Contains(failure.Message, c.message):
					t.Errorf("%v: %s", failure.Kind, failure.Message)
				case got.request.released || got.response.released:
					t.Error("something was released")
				case time.Since(begin) > time.Minute/2:
					t.Errorf("took %v", time.Since(begin))
				}
				if errors.Is(got.err, plugin.ErrTimeout) != (c.kind == plugin.TimedOut) {
					t.Error("not told from others as a timeout")
				}
				if got := newProxy(t, m, get("/"), okResponse).run(); got.err != nil {
					t.Fatalf("the next exchange: %v", got.err)
				}
			}
		})
	}
}

// A guest that runs on is stopped by whichever bound comes first.
func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits plugin.Limits
		due    time.Duration
		kind   plugin.FailureKind
		text   string
	}{
		{"callback", plugin.Limits{Timeout: time.Minute, Callback: 50 * time.Millisecond}, 0, plugin.TimedOut, "ran for longer than 50ms at a stretch"},
		{"timeout", plugin.Limits{Timeout: 50 * time.Millisecond, Callback: time.Minute}, time.Minute, plugin.TimedOut, "ran for longer than 50ms"},
		{"due", plugin.Limits{Timeout: time.Minute}, 50 * time.Millisecond, plugin.Late, "was still running when it had to have answered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := load(t, guestFile("loop"), func(s *plugin.Spec) { s.Limits = c.limits })
			p := newProxy(t, m, get("/loop"), okResponse)
			if c.due != 0 {
				p.ex.Due = plugin.Now().In(c.due)
			}
			start := time.Now()
			got := p.run()
			var f *plugin.Failure
			if !errors.As(got.err, &f) || f.Kind != c.kind || !strings.Contains(f.Message, c.text) {
				t.Errorf("error %v", got.err)
			}
			t.Logf("stopped after %v", time.Since(start))
			if took := time.Since(start); took > time.Minute/2 {
				t.Errorf("took %v", took)
			}
		})
	}
}

// Whenever an exchange ends, its guest does too, and leaves nothing behind.
func TestCloseAnywhere(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, w := range examples {
		t.Run(w.name, func(t *testing.T) {
			m := load(t, w.plugin, w.change...)
			for steps := 1; ; steps++ {
				p := newProxy(t, m, w.request, w.response)
				p.closeAfter = steps
				got := p.run()
				if got.err != nil {
					t.Fatal(got.err)
				}
				if got.steps < steps || steps > 20 {
					w.check(t, newProxy(t, m, w.request, w.response).run())
					break
				}
			}
			// Not stepped at all, and closed more than once.
			p := newProxy(t, m, w.request, w.response)
			p.guest.Close()
			p.guest.Close()
			if _, err := p.guest.Step(t.Context()); err == nil {
				t.Error("a closed guest was stepped")
			}
		})
	}
	checkGoroutines(t, before)
}

func checkGoroutines(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if runtime.NumGoroutine() <= before {
			return
		}
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}

func TestLoadErrors(t *testing.T) {
	for name, c := range map[string]struct{ file, message string }{
		"another world":    {guestFile("cli"), "plugin test: exports wasi:cli/run@0.2.12; expected wasi:http/incoming-handler@0.2.x (world wasi:http/proxy)"},
		"a missing import": {guestFile("missing-import"), "acme:missing/thing@1.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryLoad(t, c.file, &logs{})
			if err == nil || !strings.Contains(err.Error(), c.message) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v", err)
			}
		})
	}
	for name, c := range map[string]struct{ wasm, message string }{
		"a core module": {"\x00asm\x01\x00\x00\x00", "plugin test: not a component"},
		"nothing":       {"", "plugin test: not a component"},
		"an empty one":  {"\x00asm\x0d\x00\x01\x00", "plugin test: exports nothing; expected wasi:http/incoming-handler@0.2.x"},
		"cut short":     {"\x00asm\x0d\x00\x01\x00\x07\xff", "plugin test: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tryLoadBytes([]byte(c.wasm), &logs{})
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A plugin that never finishes starting is no plugin.
func TestStartLoops(t *testing.T) {
	path, err := checkout.Path("plugin", "wasihttp", "testdata", "start-loop.wasm")
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = wasihttp.New(engine(), host.NewServices(nil)).Load(ctx, wasm, &plugin.Spec{Name: "test"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "does not start") {
		t.Errorf("error %v", err)
	}
}

func TestMemoryLimitBelowStart(t *testing.T) {
	_, err := tryLoad(t, example("header-rules", "rust"), &logs{}, func(s *plugin.Spec) { s.Limits.Memory = 64 << 10 })
	if err == nil || !strings.Contains(err.Error(), "its limit is 65536") {
		t.Errorf("error %v", err)
	}
}

// An exchange that begins with its response has nothing for a plugin.
func TestResponseOnly(t *testing.T) {
	m := load(t, example("header-rules", "rust"))
	p := newProxy(t, m, getRequest, okResponse)
	defer p.guest.Close()
	p.arrive(plugin.Response)
	st, err := p.guest.Step(t.Context())
	if p.collect(); err != nil || !st.Done || !p.out.response.same || !p.out.response.untouched {
		t.Errorf("%+v, %v, %+v", st, err, p.out.response)
	}
}

// A request of which nothing is known can't be handled.
func TestUnseenRequest(t *testing.T) {
	m := load(t, example("header-rules", "rust"))
	p := newProxy(t, m, message{}, okResponse)
	defer p.guest.Close()
	p.ex.Request.Arrived, p.ex.Request.Unseen = true, true
	if _, err := p.guest.Step(t.Context()); err == nil || !strings.Contains(err.Error(), "neither headers (mode SKIP) nor attributes") {
		t.Errorf("got %v", err)
	}
}

// A body that nobody will read doesn't pile up, though the proxy sends it.
func TestUnreadBodyIsDiscarded(t *testing.T) {
	m := load(t, guestFile("hostile"))
	p := newProxy(t, m, post("/no-body", bigMessage(postRequest(), 10_000, 10)), okResponse)
	p.unasked = true
	got := p.run()
	if got.err != nil || p.fed[plugin.Request] != 10 {
		t.Fatalf("%d chunks sent, %v", p.fed[plugin.Request], got.err)
	}
	if n := p.ex.Request.In.Len(); n > 10_000 {
		t.Errorf("%d bytes piled up", n)
	}
}

// Exchanges beyond the limit wait for an instance, and no longer than their
// proxy does.
func TestInstancesAreLimited(t *testing.T) {
	m := load(t, guestFile("echo-late"), func(s *plugin.Spec) { s.Limits.Instances = 1 })
	first := newProxy(t, m, postRequest(), okResponse)
	first.closeAfter = 1
	first.arrive(plugin.Request)
	counted := m.Module.(plugin.Counted)
	if busy, idle := counted.Instances(); busy != 0 || idle != 1 {
		t.Errorf("%d busy, %d idle before", busy, idle)
	}
	if _, err := first.guest.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if busy, idle := counted.Instances(); busy != 1 || idle != 0 {
		t.Errorf("%d busy, %d idle", busy, idle)
	}
	second := make(chan outcome)
	p := newProxy(t, m, postRequest(), okResponse)
	go func() { second <- p.run() }()
	select {
	case got := <-second:
		t.Errorf("the second exchange did not wait: %+v", got)
	case <-time.After(50 * time.Millisecond):
	}
	first.guest.Close()
	if got := <-second; got.err != nil || !strings.Contains(got.response.body, "length 13") {
		t.Errorf("%+v", got)
	}
}

func TestNeeds(t *testing.T) {
	all := plugin.Needs{Headers: [2]bool{true, true}, Body: [2]plugin.BodyNeed{plugin.OnDemand, plugin.OnDemand}}
	local := plugin.Needs{Headers: [2]bool{true, false}, Body: [2]plugin.BodyNeed{plugin.OnDemand, plugin.Never}}
	for file, want := range map[string]plugin.Needs{example("header-rules", "rust"): all, guestFile("echo-late"): local} {
		if got := load(t, file).Needs(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s needs %+v, want %+v", file, got, want)
		}
	}
}

func TestReload(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		m, err := tryLoad(t, example("header-rules", "rust"), &logs{})
		if err != nil {
			t.Fatal(err)
		}
		if got := newProxy(t, m, getRequest, okResponse).run(); got.err != nil || !slices.Contains(got.request.headers, "x-plugin: header-rules") {
			t.Fatalf("%+v", got)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	checkGoroutines(t, before)
}

// An exchange under way ends on the instance that it has, whatever is renewed.
func TestRenew(t *testing.T) {
	m := load(t, example("header-rules", "rust"))
	want := newProxy(t, m, get("/"), okResponse).run()
	p := newProxy(t, m, get("/"), okResponse)
	p.arrive(plugin.Request)
	if _, err := p.guest.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Module.(plugin.Renewable).Renew()
	for _, got := range []outcome{p.run(), newProxy(t, m, get("/"), okResponse).run()} {
		if got.err != nil || !reflect.DeepEqual(got.response, want.response) {
			t.Errorf("got %+v, expected %+v", got, want)
		}
	}
	if busy, _ := m.Module.(plugin.Counted).Instances(); busy > 1 {
		t.Errorf("%d instances are busy", busy)
	}
}
