package proxywasm

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/plugin"
)

// TestWASILinks imports every function of both modules, and those of emscripten,
// twice each.
func TestWASILinks(t *testing.T) {
	mustLoad(t, newABI(t, Config{}), puppet(func(a *asm) {
		for range 2 {
			for _, row := range wasi {
				for _, module := range []string{"wasi_snapshot_preview1", "wasi_unstable"} {
					imp := asmImport{module: module, name: row.name, params: row.params}
					if row.result {
						imp.results = n(1)
					}
					a.imports = append(a.imports, imp)
				}
			}
			for _, row := range emscripten {
				imp := asmImport{module: "env", name: row.name, params: row.params}
				if row.result {
					imp.results = n(1)
				}
				a.imports = append(a.imports, imp)
			}
			for _, row := range hostcalls {
				a.imports = append(a.imports, asmImport{"env", row.name, slots(row.params), n(1)})
			}
			// The specification of 0.1.0 gives it no result.
			a.imports = append(a.imports, asmImport{"env", "proxy_continue_request", nil, nil})
		}
		// The puppet calls its import by number.
		a.imports[0] = asmImport{"env", "proxy_call_foreign_function", n(6), n(1)}
	}), performing(t, &logs{}, nil))
}

// TestWASI calls the functions of WASI.
func TestWASI(t *testing.T) {
	m, l := perform(t, newABI(t, Config{}), script{onRequestHeaders: func(p *player) uint32 {
		v := p.cx.vm
		do := func(name string, args ...uint64) errno {
			i := slices.IndexFunc(wasi, func(row wasiCall) bool { return row.name == name })
			return wasi[i].call(v, args)
		}
		is := func(got, want errno, what string) {
			if got != want {
				t.Errorf("%s: error %d, expected %d", what, got, want)
			}
		}
		read := func(at uint32) uint32 { n, _ := v.memory.ReadUint32Le(at); return n }
		size := uint64(v.memory.Size())
		out := p.put(make([]byte, 64))

		is(do("environ_sizes_get", uint64(out), uint64(out+4)), success, "environ_sizes_get")
		if read(out) != 2 || read(out+4) != 8 {
			t.Errorf("%d variables of %d bytes", read(out), read(out+4))
		}
		is(do("environ_get", uint64(out), uint64(out+8)), success, "environ_get")
		if env, _ := v.memory.Read(out+8, 8); string(env) != "A=1\x00B=2\x00" || read(out+4) != out+12 {
			t.Errorf("environment %q", env)
		}
		is(do("environ_get", size-4, uint64(out)), errFault, "environ_get")
		is(do("args_sizes_get", uint64(out), uint64(out+4)), success, "args_sizes_get")
		is(do("args_sizes_get", size, size), errFault, "args_sizes_get")

		is(do("clock_time_get", clockRealtime, 0, uint64(out)), success, "clock_time_get")
		now := uint64(read(out+4))<<32 | uint64(read(out))
		if time.Since(time.Unix(0, int64(now))).Abs() > time.Minute {
			t.Errorf("the time is %d", now)
		}
		is(do("clock_time_get", 2, 0, uint64(out)), errNotsup, "another clock")
		is(do("clock_time_get", 0, 0, size-7), errFault, "clock_time_get")
		is(do("clock_res_get", 1, uint64(out)), success, "clock_res_get")

		v.memory.WriteUint64Le(out, 0)
		is(do("random_get", uint64(out), 8), success, "random_get")
		if read(out) == 0 && read(out+4) == 0 {
			t.Error("nothing random")
		}
		is(do("random_get", 0, 4<<30-1), errInval, "random_get of 4 GiB")
		is(do("random_get", size-1, 2), errFault, "random_get")

		// fd_write, in pieces and with what they end in the middle of a line.
		text := p.put([]byte("one\ntwothree"))
		vec := p.put([]byte(words(text, 7, text+7, 5)))
		is(do("fd_write", 1, uint64(vec), 1, uint64(out)), success, "fd_write")
		is(do("fd_write", 2, uint64(vec+8), 1, uint64(out)), success, "fd_write")
		is(do("fd_write", 1, uint64(vec+8), 1, uint64(out)), success, "fd_write")
		if read(out) != 5 {
			t.Errorf("%d bytes were written", read(out))
		}
		is(do("fd_write", 3, uint64(vec), 1, uint64(out)), errBadf, "another file")
		is(do("fd_write", 1, uint64(vec), 1<<30, uint64(out)), errInval, "endless pieces")
		is(do("fd_write", 1, size-4, 1, uint64(out)), errFault, "pieces over the end")
		is(do("fd_write", 1, 0xffffffff, 2, uint64(out)), errFault, "pieces far away")
		is(do("fd_write", 1, uint64(p.put([]byte(words(0, 0xffffffff)))), 1, uint64(out)), errFault, "an endless piece")
		is(do("fd_fdstat_get", 1, uint64(out)), success, "fd_fdstat_get")
		is(do("fd_fdstat_get", 0, uint64(out)), errBadf, "fd_fdstat_get")
		is(do("fd_prestat_get", 3, uint64(out)), errBadf, "fd_prestat_get")
		is(do("path_open", 3, 0, 0, 0, 0, 0, 0, 0, 0), errNoent, "path_open")

		// Two clocks, of which the first is due after 5 ms.
		in := p.put(make([]byte, 2*subscriptionSize))
		b, _ := v.memory.Read(in, 2*subscriptionSize)
		for i, d := range []time.Duration{5 * time.Millisecond, time.Hour} {
			s := b[i*subscriptionSize:]
			s[0], s[16] = byte(7+i), clockMonotonic
			binary.LittleEndian.PutUint64(s[24:], uint64(d))
		}
		events := p.put(make([]byte, 2*eventSize))
		start := time.Now()
		is(do("poll_oneoff", uint64(in), uint64(events), 2, uint64(out)), success, "poll_oneoff")
		if took := time.Since(start); took < 5*time.Millisecond || took > 10*time.Minute || read(out) != 1 || read(events) != 7 {
			t.Errorf("slept %v, %d events, the first of %d", took, read(out), read(events))
		}
		is(do("poll_oneoff", uint64(in), uint64(events), 1<<31, uint64(out)), errInval, "endless subscriptions")
		is(do("poll_oneoff", size, uint64(events), 1, uint64(out)), errFault, "poll_oneoff")
		return 0
	}}, func(s *plugin.Spec) { s.Env = map[string]string{"A": "1", "B": "2"} })
	begin(t, m).request(true).ok()
	var got []string
	for _, line := range l.all() {
		text, _, _ := strings.Cut(line, " context=")
		got = append(got, text)
	}
	if want := []string{"INFO one", "INFO twothree", "ERROR three"}; !slices.Equal(got, want) {
		t.Errorf("logged %q, expected %q", got, want)
	}
}

// TestSleepPastDeadline has a guest sleep for longer than it may run.
func TestSleepPastDeadline(t *testing.T) {
	start := time.Now()
	m, _ := perform(t, newABI(t, Config{}), script{onRequestHeaders: func(p *player) uint32 {
		p.cx.vm.sleep(time.Hour)
		return 0
	}}, func(s *plugin.Spec) { s.Limits.Timeout = 50 * time.Millisecond })
	begin(t, m).request(true)
	if took := time.Since(start); took > time.Minute {
		t.Errorf("slept %v", took)
	}
}
