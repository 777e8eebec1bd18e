package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// trap is a module whose callback traps.
func trapping(id callbackID, body ...any) func(*asm) {
	return func(a *asm) {
		without(callbacks[id].name)(a)
		f := asmFunc{name: callbacks[id].name, params: n(callbacks[id].params), body: join(body...)}
		if callbacks[id].result {
			f.results = n(1)
		}
		a.funcs = append(a.funcs, f)
	}
}

// TestLoadErrors loads what can't be loaded. The errors name what was found and
// what was expected, in one line.
func TestLoadErrors(t *testing.T) {
	callback := func(id callbackID, params int) func(*asm) {
		return func(a *asm) {
			without(callbacks[id].name)(a)
			a.funcs = append(a.funcs, asmFunc{name: callbacks[id].name, params: n(params), results: n(1), body: join(uint32(1))})
		}
	}
	importing := func(module, name string, params []byte) func(*asm) {
		return func(a *asm) { a.imports = append(a.imports, asmImport{module, name, params, n(1)}) }
	}
	for _, c := range []struct {
		name   string
		change func(*asm)
		script script
		want   string
	}{
		{"no memory", func(a *asm) {
			a.memory, a.data = 0, nil
			a.funcs = []asmFunc{{name: "malloc", params: n(1), results: n(1), body: join(uint32(0))}}
		}, nil,
			"has no memory, expected one"},
		{"two versions", func(a *asm) { a.versions = []string{"0_1_0", "0_2_0"} }, nil,
			"exports proxy_abi_version_0_1_0 and proxy_abi_version_0_2_0, expected one of proxy_abi_version_0_1_0, 0_2_0 and 0_2_1"},
		{"a version to come", func(a *asm) { a.versions = []string{"0_3_0"} }, nil, "exports proxy_abi_version_0_3_0, expected one of"},
		{"no version", func(a *asm) { a.versions = nil }, nil, "exports no version of the ABI, expected one of"},
		{"no allocator", without("malloc"), nil, "exports no allocator, expected a function malloc or proxy_on_memory_allocate"},
		{"unknown import", importing("env", "proxy_fly", n(1)), nil, "import env proxy_fly is not offered by any version of the ABI"},
		{"unknown module", importing("wasi_snapshot_preview2", "fd_write", n(4)), nil, "import wasi_snapshot_preview2 fd_write is not offered"},
		{"import of another type", importing("env", "proxy_log", n(2)), nil, "import env proxy_log has type (i32, i32) -> (i32), expected (i32, i32, i32) -> (i32)"},
		{"callback of another type", callback(onRequestBody, 2), nil, "export proxy_on_request_body has type (i32, i32) -> (i32), expected (i32, i32, i32) -> (i32)"},
		{"too much memory", func(a *asm) { a.memory = 2000 }, nil, "its memory starts with 131072000 bytes, the limit is 67108864"},
		{"on_vm_start", nil, script{onVMStart: give(0)}, "proxy_on_vm_start returned false"},
		{"on_configure", nil, script{onConfigure: give(0)}, "proxy_on_configure returned false"},
		{"a trap in create", trapping(onContextCreate, opTrap), nil, `proxy_on_context_create: wasm error: unreachable (root id "TestLoadErrors/a_trap_in_create": the module may know others)`},
		{"a trap in configure", trapping(onConfigure, opTrap), nil, "proxy_on_configure: wasm error: unreachable"},
		{"a loop in start", func(a *asm) {
			a.funcs = append(a.funcs, asmFunc{name: "_start", body: join(opLoop, opVoidBlock, opBr, 0, opEnd)})
		}, nil, "_start: ran for longer than 300ms"},
		{"exit", func(a *asm) {
			a.imports = append(a.imports, asmImport{"wasi_unstable", "proc_exit", n(1), nil})
			a.funcs = append(a.funcs, asmFunc{name: "_initialize", body: join(uint32(3), opCall, 1)})
		}, nil, "_initialize: exited with code 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wasm := puppet()
			if c.change != nil {
				wasm = puppet(c.change)
			}
			limit := time.Minute
			if strings.Contains(c.want, "ran for longer") {
				limit = 300 * time.Millisecond
			}
			a := newABI(t, Config{StartLimit: limit})
			spec := performing(t, &logs{}, c.script, func(s *plugin.Spec) { s.Name = t.Name() })
			_, err := a.Load(context.Background(), wasm, spec)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, expected %s", err, c.want)
			}
			if used := a.machines.Len(); used != 0 {
				t.Errorf("%d machines are left", used)
			}
		})
	}
}

func TestDetect(t *testing.T) {
	a := newABI(t, Config{})
	for want, files := range map[bool][][]byte{
		true:  {puppet(), puppet(func(a *asm) { a.versions = []string{"9_9_9"} })},
		false: {nil, []byte("\x00asm"), []byte("\x00asm\x01\x00\x00\x00"), []byte("\x00asm\x0d\x00\x01\x00"), puppet(func(a *asm) { a.versions = nil }), puppet()[:40], []byte("\x00asm\x01\x00\x00\x00\x07\xff\xff\xff\xff\x0f")},
	} {
		for i, f := range files {
			if a.Detect(f) != want {
				t.Errorf("file %d: expected %v", i, want)
			}
		}
	}
}

// TestStart follows the start of a VM and what it may call meanwhile.
func TestStart(t *testing.T) {
	say := func(text uint32) []byte { return join(uint32(2), text, uint32(1), opCall, 1, opDrop) }
	base := func(a *asm) {
		a.imports = append(a.imports, asmImport{"env", "proxy_log", n(3), n(1)}, asmImport{"wasi_snapshot_preview1", "proc_exit", n(1), nil})
		a.data[1000] = "ismS"
		a.funcs = append(a.funcs, asmFunc{name: "section", body: say(1003)})
		a.start = "section"
	}
	for _, c := range []struct {
		name  string
		funcs []asmFunc
		want  string
	}{
		{"reactor", []asmFunc{{name: "_initialize", body: say(1000)}, {name: "main", params: n(2), results: n(1), body: join(say(1002), uint32(0))}, {name: "_start", body: join(opTrap)}}, "S i m"},
		{"command", []asmFunc{{name: "_start", body: say(1001)}, {name: "main", params: n(2), results: n(1), body: join(opTrap)}}, "S s"},
		{"exit with 0", []asmFunc{{name: "_start", body: join(say(1001), uint32(0), opCall, 2, opTrap)}}, "S s"},
		{"neither", nil, "S"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &logs{}
			spec := performing(t, l, script{onContextCreate: func(p *player) uint32 { p.log("c"); return 0 }}, func(s *plugin.Spec) { s.Name = t.Name() })
			mustLoad(t, newABI(t, Config{}), puppet(base, func(a *asm) { a.funcs = append(a.funcs, c.funcs...) }), spec)
			var got []string
			for _, line := range l.all() {
				got = append(got, strings.Fields(line)[1])
			}
			if text := strings.Join(got, " "); text != c.want+" c" {
				t.Errorf("%q, expected %q", text, c.want+" c")
			}
		})
	}
}

// TestOldCallbacks calls the headers callbacks with as many parameters as they
// take, whatever version the module claims.
func TestOldCallbacks(t *testing.T) {
	for _, version := range []string{"0_1_0", "0_2_1"} {
		for _, params := range []int{2, 3} {
			l := &logs{}
			spec := performing(t, l, script{onRequestHeaders: func(p *player) uint32 {
				p.log("%v", p.args[:2])
				if a := p.call("get_header_map_value", 0, "absent"); version == "0_1_0" && a.Status != OK || version == "0_2_1" && a.Status != NotFound {
					t.Errorf("%s: status %v", version, a.Status)
				}
				return 0
			}}, func(s *plugin.Spec) { s.Name = fmt.Sprint(version, params) })
			m := mustLoad(t, newABI(t, Config{}), puppet(func(a *asm) {
				without("proxy_on_request_headers")(a)
				a.funcs = append(a.funcs, puppetFunc(onRequestHeaders, params))
				a.versions = []string{version}
			}), spec)
			begin(t, m).request(true).ok()
			l.has(t, "[2 4]")
		}
	}
}

// TestTrap loses a VM: all its exchanges fail, and later ones have a new VM.
func TestTrap(t *testing.T) {
	l := &logs{}
	m := mustLoad(t, newABI(t, Config{}), puppet(trapping(onResponseHeaders, opTrap)), performing(t, l, nil))
	first, second := begin(t, m).request(true).ok(), begin(t, m).request(true).ok()
	first.response(true)
	var f *plugin.Failure
	if !errors.As(first.err, &f) || f.Kind != plugin.Trapped || !strings.Contains(f.Message, "proxy_on_response_headers: wasm error: unreachable") || len(f.Stack) == 0 {
		t.Errorf("error %+v", first.err)
	}
	if second.wait(); !errors.As(second.err, &f) || !strings.Contains(f.Message, "its VM was lost") {
		t.Errorf("error %v", second.err)
	}
	third := begin(t, m).request(true).ok()
	if busy, idle := m.Instances(); busy != 1 || idle != 0 {
		t.Errorf("%d busy and %d idle VMs", busy, idle)
	}
	third.guest.Close()
}

// TestRestart has a VM not start again after it was lost, and then start.
func TestRestart(t *testing.T) {
	var starts atomic.Int32
	m, l := perform(t, newABI(t, Config{}), script{
		onVMStart: func(*player) uint32 {
			if starts.Add(1) == 2 {
				return 0
			}
			return 1
		},
		onRequestHeaders: func(p *player) uint32 {
			if starts.Load() == 1 {
				panic("lost")
			}
			return 0
		},
	})
	if c := begin(t, m).request(true); !errors.Is(c.err, plugin.ErrTrap) {
		t.Fatalf("error %v", c.err)
	}
	l.has(t, "a VM does not start again")
	if c := begin(t, m).request(true); c.err == nil || !strings.Contains(c.err.Error(), "no instance: it does not start: proxy_on_vm_start returned false") {
		t.Errorf("error %v", c.err)
	}
	deadline := time.Now().Add(time.Minute)
	for starts.Load() < 3 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
	begin(t, m).request(true).ok()
}

// TestTimeout stops guests that run on.
func TestTimeout(t *testing.T) {
	loop := []any{opLoop, opVoidBlock, opBr, 0, opEnd, opTrap}
	for name, change := range map[string]func(*asm){
		"request headers": trapping(onRequestHeaders, loop...),
		"create":          func(a *asm) { a.funcs = slices.Clone(a.funcs) },
	} {
		t.Run(name, func(t *testing.T) {
			s := script{}
			if name == "create" {
				s[onContextCreate] = func(p *player) uint32 {
					if p.args[1] != 0 {
						time.Sleep(150 * time.Millisecond)
					}
					return 0
				}
			}
			m := mustLoad(t, newABI(t, Config{}), puppet(change), performing(t, &logs{}, s, func(s *plugin.Spec) {
				s.Name, s.Limits.Timeout = t.Name(), 100*time.Millisecond
			}))
			start := time.Now()
			c := begin(t, m).request(true)
			if name == "create" {
				return // a host function is not interrupted, the guest stops when it goes on
			}
			if !errors.Is(c.err, plugin.ErrTimeout) || time.Since(start) > time.Minute/2 {
				t.Errorf("error %v after %v", c.err, time.Since(start))
			}
		})
	}
}

// TestBounds: a guest that runs on is stopped by whichever bound comes first.
func TestBounds(t *testing.T) {
	loop := []any{opLoop, opVoidBlock, opBr, 0, opEnd, opTrap}
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
			m := mustLoad(t, newABI(t, Config{}), puppet(trapping(onRequestHeaders, loop...)), performing(t, &logs{}, script{}, func(s *plugin.Spec) {
				s.Name, s.Limits = t.Name(), c.limits
			}))
			conv := begin(t, m)
			if c.due != 0 {
				conv.ex.Due = plugin.Now().In(c.due)
			}
			start := time.Now()
			conv.request(true)
			var f *plugin.Failure
			if !errors.As(conv.err, &f) || f.Kind != c.kind || !strings.Contains(f.Message, c.text) {
				t.Errorf("error %v", conv.err)
			}
			t.Logf("stopped after %v", time.Since(start))
			if took := time.Since(start); took > time.Minute/2 {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestBusyVM: an exchange whose VM is at work for others waits until it is due,
// and the VM lives on.
func TestBusyVM(t *testing.T) {
	m, _ := perform(t, newABI(t, Config{Workers: 1}), script{onRequestHeaders: func(*player) uint32 { return 0 }},
		func(s *plugin.Spec) { s.Limits.Timeout = time.Hour })
	first := begin(t, m).request(true).ok()
	vm := first.guest.(*lease).stream.vm
	vm.mu.Lock()
	late := begin(t, m)
	late.ex.Due = plugin.Now().In(20 * time.Millisecond)
	late.request(true)
	var f *plugin.Failure
	if !errors.As(late.err, &f) || f.Kind != plugin.Late {
		t.Errorf("error %v", late.err)
	}
	time.AfterFunc(20*time.Millisecond, vm.mu.Unlock)
	in := begin(t, m)
	in.ex.Due = plugin.Now().In(time.Minute)
	in.request(true).ok()
	first.response(true).ok()
}

// TestSharing puts two plugins into one VM and keeps others apart.
func TestSharing(t *testing.T) {
	a := newABI(t, Config{})
	s := script{onContextCreate: func(p *player) uint32 {
		p.log("%v %s", p.args, p.must("get_property", "plugin_root_id").data)
		return 0
	}}
	load := func(name string, change func(*plugin.Spec)) (*Module, *logs) {
		return perform(t, a, s, func(s *plugin.Spec) { s.Name = name; change(s) })
	}
	one, log1 := load("one", func(s *plugin.Spec) {})
	two, log2 := load("two", func(s *plugin.Spec) {})
	other, _ := load("other", func(s *plugin.Spec) { s.VM.ID = "x" })
	apart, _ := load("apart", func(s *plugin.Spec) { s.VM.Isolation = plugin.PerFilter })
	if one.machine != two.machine || one.machine == other.machine || apart.machine == one.machine {
		t.Fatal("the wrong plugins share VMs")
	}
	begin(t, one).request(true).ok()
	begin(t, two).request(true).ok()
	log1.has(t, "[1 0] one")
	log1.has(t, "[3 1] one")
	log2.has(t, "[2 0] two")
	log2.has(t, "[4 2] two")
}

// TestRootID leaves the root id to the configuration.
func TestRootID(t *testing.T) {
	empty := ""
	for _, c := range []struct {
		id        *string
		want      string
		mentioned bool
	}{{nil, "TestRootID", false}, {&empty, "", true}} {
		l := &logs{}
		spec := performing(t, l, script{onContextCreate: func(p *player) uint32 {
			p.log("root id %q", p.must("get_property", "plugin_root_id").data)
			return 0
		}}, func(s *plugin.Spec) { s.Name, s.VM.RootID = "TestRootID", c.id })
		mustLoad(t, newABI(t, Config{}), puppet(), spec)
		l.has(t, fmt.Sprintf("root id %q", c.want))
		warned := slices.ContainsFunc(l.all(), func(line string) bool { return strings.Contains(line, "does not occur in it") })
		if warned == c.mentioned {
			t.Errorf("warned: %v", warned)
		}
	}
}

// TestIsolation gives each exchange a VM as it was configured.
func TestIsolation(t *testing.T) {
	var vms sync.Map
	m, _ := perform(t, newABI(t, Config{}), script{onRequestHeaders: func(p *player) uint32 {
		vms.Store(p.cx.vm, true)
		if p.args[0] != 2 {
			t.Errorf("context %d, expected 2", p.args[0])
		}
		const secret = 100 << 10
		was, _ := p.cx.vm.memory.ReadUint32Le(secret)
		if was != 0 {
			t.Error("an exchange sees what another has written")
		}
		p.cx.vm.memory.WriteUint32Le(secret, 1)
		return 0
	}}, func(s *plugin.Spec) { s.VM.Isolation = plugin.PerStream })
	a, b := begin(t, m).request(true).ok(), begin(t, m).request(true).ok()
	a.guest.Close()
	b.guest.Close()
	for range 5 {
		c := begin(t, m).request(true).ok()
		c.guest.Close()
	}
	count := 0
	vms.Range(func(any, any) bool { count++; return true })
	if count != 2 {
		t.Errorf("%d VMs were made, expected 2", count)
	}
}

// TestWorkers spreads exchanges over VMs.
func TestWorkers(t *testing.T) {
	var vms sync.Map
	m, _ := perform(t, newABI(t, Config{Workers: 3}), script{onRequestHeaders: func(p *player) uint32 {
		vms.Store(p.cx.vm, true)
		return 1
	}}, func(s *plugin.Spec) { s.VM.Workers = 0 })
	var group sync.WaitGroup
	for range 30 {
		c := begin(t, m)
		group.Go(func() { c.request(true) })
	}
	group.Wait()
	count := 0
	vms.Range(func(any, any) bool { count++; return true })
	if count != 3 {
		t.Errorf("%d VMs are at work, expected 3", count)
	}
}

// TestShutdown ends root contexts, at once or when they are done.
func TestShutdown(t *testing.T) {
	a := newABI(t, Config{})
	l := &logs{}
	asked := false
	s := script{
		onDone: func(p *player) uint32 {
			p.log("done %d", p.args[0])
			asked = true
			return 0
		},
		onTick: func(p *player) uint32 {
			if !asked {
				if s := p.call("done"); s.Status != NotFound {
					t.Errorf("done before it was asked for: %v", s.Status)
				}
				return 0
			}
			p.must("done")
			return 0
		},
		onConfigure: func(p *player) uint32 { p.must("set_tick_period_milliseconds", 5); return 1 },
		onDelete:    func(p *player) uint32 { p.log("delete %d", p.args[0]); return 0 },
	}
	m, err := a.Load(context.Background(), puppet(), performing(t, l, s))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	closeModule(t, m)
	if got := strings.Join(l.all(), ", "); got != "INFO done 1 context=1, INFO delete 1 context=1" {
		t.Error(got)
	}
	if a.machines.Len() != 0 {
		t.Error("the machine is left")
	}
	if _, err := m.Start(&plugin.Exchange{}); !errors.Is(err, plugin.ErrPoolClosed) {
		t.Errorf("error %v", err)
	}
}

// TestRenew: new exchanges get VMs that have just started, those under way end on
// the old ones, and those are closed then.
func TestRenew(t *testing.T) {
	for _, isolation := range []plugin.Isolation{plugin.Shared, plugin.PerStream} {
		t.Run(fmt.Sprint(isolation), func(t *testing.T) {
			var starts atomic.Int32
			m, _ := perform(t, newABI(t, Config{Workers: 1}), script{
				onVMStart:        func(*player) uint32 { starts.Add(1); return 1 },
				onRequestHeaders: func(*player) uint32 { return 0 },
			}, func(s *plugin.Spec) { s.Name, s.VM.Isolation = t.Name(), isolation })
			old := begin(t, m).request(true).ok()
			vm := old.guest.(*lease).stream.vm
			m.Renew()
			waitFor(t, "another VM", func() bool { return starts.Load() >= 2 || isolation == plugin.PerStream })
			waitFor(t, "an exchange in another VM", func() bool {
				c := begin(t, m).request(true).ok()
				defer c.guest.Close()
				return c.guest.(*lease).stream.vm != vm
			})
			old.response(true).ok()
			vm.mu.Lock()
			dead := vm.dead
			vm.mu.Unlock()
			if dead != nil {
				t.Errorf("the VM of an exchange under way has ended: %v", dead)
			}
			old.guest.Close()
			waitFor(t, "the end of the old VM", func() bool {
				vm.mu.Lock()
				defer vm.mu.Unlock()
				return errors.Is(vm.dead, errClosed)
			})
		})
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}
