package proxywasm

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/extproc/extproc/plugin"
)

// errno is an error of WASI (wasi_snapshot_preview1, "errno").
type errno uint32

const (
	success    errno = 0
	errBadf    errno = 8
	errFault   errno = 21
	errInval   errno = 28
	errNoent   errno = 44
	errNosys   errno = 52
	errNotdir  errno = 54
	errNotsup  errno = 58
	errNotcapa errno = 76
)

// wasiCall is a function of WASI or of emscripten's runtime. The parameters come
// as they lie on the stack; the upper halves of those that are i32 hold garbage.
type wasiCall struct {
	name   string
	params []api.ValueType
	result bool
	call   func(v *vm, args []uint64) errno
}

var (
	none   = []api.ValueType{}
	one    = []api.ValueType{i32}
	two    = []api.ValueType{i32, i32}
	three  = []api.ValueType{i32, i32, i32}
	four   = []api.ValueType{i32, i32, i32, i32}
	five   = []api.ValueType{i32, i32, i32, i32, i32}
	six    = []api.ValueType{i32, i32, i32, i32, i32, i32}
	offset = []api.ValueType{i32, i32, i32, i64, i32}
)

// wasi is the table of wasi_snapshot_preview1 and wasi_unstable. There are the
// two standard streams that are written to, clocks, random numbers and the
// environment, and neither files nor sockets.
var wasi = []wasiCall{
	{"args_get", two, true, succeed},
	{"args_sizes_get", two, true, func(v *vm, a []uint64) errno { return v.putTwo(a[0], 0, a[1], 0) }},
	{"environ_get", two, true, environ},
	{"environ_sizes_get", two, true, environSizes},
	{"clock_res_get", two, true, clockResolution},
	{"clock_time_get", []api.ValueType{i32, i64, i32}, true, clockTime},
	{"random_get", two, true, random},
	{"proc_exit", one, false, func(_ *vm, a []uint64) errno { panic(exitError(uint32(a[0]))) }},
	{"poll_oneoff", four, true, poll},
	{"sched_yield", none, true, succeed},

	{"fd_write", four, true, fdWrite},
	{"fd_pwrite", offset, true, func(v *vm, a []uint64) errno { return fdWrite(v, []uint64{a[0], a[1], a[2], a[4]}) }},
	{"fd_fdstat_get", two, true, fdStat},
	{"fd_fdstat_set_flags", two, true, always(errNosys)},
	{"fd_fdstat_set_rights", []api.ValueType{i32, i64, i64}, true, standardStream},
	{"fd_filestat_get", two, true, always(errBadf)},
	{"fd_filestat_set_size", []api.ValueType{i32, i64}, true, standardStream},
	{"fd_filestat_set_times", []api.ValueType{i32, i64, i64, i32}, true, standardStream},
	{"fd_advise", []api.ValueType{i32, i64, i64, i32}, true, succeed},
	{"fd_allocate", []api.ValueType{i32, i64, i64}, true, standardStream},
	{"fd_datasync", one, true, standardStream},
	{"fd_sync", one, true, standardStream},
	{"fd_close", one, true, succeed},
	{"fd_seek", []api.ValueType{i32, i64, i32, i32}, true, always(errBadf)},
	{"fd_tell", two, true, always(errBadf)},
	{"fd_renumber", two, true, always(errNotsup)},
	{"fd_prestat_get", two, true, always(errBadf)},
	{"fd_prestat_dir_name", three, true, always(errBadf)},
	{"fd_read", four, true, always(errBadf)},
	{"fd_pread", offset, true, always(errBadf)},
	{"fd_readdir", offset, true, always(errNotdir)},

	{"path_open", []api.ValueType{i32, i32, i32, i32, i32, i64, i64, i32, i32}, true, always(errNoent)},
	{"path_filestat_get", five, true, always(errNotsup)},
	{"path_filestat_set_times", []api.ValueType{i32, i32, i32, i32, i64, i64, i32}, true, always(errNotsup)},
	{"path_create_directory", three, true, always(errNotsup)},
	{"path_remove_directory", three, true, always(errNotsup)},
	{"path_link", []api.ValueType{i32, i32, i32, i32, i32, i32, i32}, true, always(errNotsup)},
	{"path_symlink", five, true, always(errNotsup)},
	{"path_readlink", six, true, always(errNotsup)},
	{"path_rename", six, true, always(errNotsup)},
	{"path_unlink_file", three, true, always(errNotsup)},
	{"sock_accept", three, true, always(errNotcapa)},
	{"sock_recv", six, true, always(errNotcapa)},
	{"sock_send", five, true, always(errNotcapa)},
	{"sock_shutdown", two, true, always(errNotcapa)},
	{"proc_raise", one, true, always(errNotsup)},
}

// emscripten is the table of what its runtime imports from env.
var emscripten = []wasiCall{
	{"emscripten_notify_memory_growth", one, false, succeed},
	{"pthread_equal", two, true, func(_ *vm, a []uint64) errno {
		if uint32(a[0]) == uint32(a[1]) {
			return 1
		}
		return 0
	}},
}

// wasiFunction is a wasiCall as wazero calls it.
type wasiFunction struct {
	row    *wasiCall
	result bool // whether the module's import has one
}

// Call implements api.GoModuleFunction.
func (w wasiFunction) Call(ctx context.Context, _ api.Module, stack []uint64) {
	v := ctx.(*callContext).vm
	v.checkTime()
	e := w.row.call(v, stack)
	if w.result {
		stack[0] = uint64(e)
	}
}

func always(e errno) func(*vm, []uint64) errno { return func(*vm, []uint64) errno { return e } }

func succeed(*vm, []uint64) errno { return success }

const (
	stdout = 1
	stderr = 2
)

// standardStream is for what has no effect on a standard stream and can't be done
// to anything else.
func standardStream(_ *vm, a []uint64) errno {
	if fd := uint32(a[0]); fd == stdout || fd == stderr {
		return success
	}
	return errBadf
}

func (v *vm) put32(at uint64, n uint32) errno {
	if !v.memory.WriteUint32Le(uint32(at), n) {
		return errFault
	}
	return success
}

func (v *vm) put64(at, n uint64) errno {
	if !v.memory.WriteUint64Le(uint32(at), n) {
		return errFault
	}
	return success
}

func (v *vm) putTwo(at uint64, n uint32, then uint64, m uint32) errno {
	if e := v.put32(at, n); e != success {
		return e
	}
	return v.put32(then, m)
}

func environ(v *vm, a []uint64) errno {
	list, text := uint32(a[0]), uint32(a[1])
	for _, s := range v.machine.env {
		mem, ok := v.memory.Read(text, uint32(len(s)+1))
		if !ok || v.put32(uint64(list), text) != success {
			return errFault
		}
		mem[copy(mem, s)] = 0
		list, text = list+4, text+uint32(len(s)+1)
	}
	return success
}

func environSizes(v *vm, a []uint64) errno {
	size := 0
	for _, s := range v.machine.env {
		size += len(s) + 1
	}
	return v.putTwo(a[0], uint32(len(v.machine.env)), a[1], uint32(size))
}

// The clocks that there are.
const (
	clockRealtime  = 0
	clockMonotonic = 1
)

func clockResolution(v *vm, a []uint64) errno {
	if uint32(a[0]) > clockMonotonic {
		return errNotsup
	}
	return v.put64(a[1], 1)
}

// began is the monotonic clock's zero.
var began = time.Now()

func clockTime(v *vm, a []uint64) errno {
	switch uint32(a[0]) {
	case clockRealtime:
		return v.put64(a[2], uint64(time.Now().UnixNano()))
	case clockMonotonic:
		return v.put64(a[2], uint64(time.Since(began)))
	}
	return errNotsup
}

// maxRandom is how many random bytes a guest gets at once, as in Envoy.
const maxRandom = 64 << 10

func random(v *vm, a []uint64) errno {
	if uint32(a[1]) > maxRandom {
		return errInval
	}
	mem, ok := v.memory.Read(uint32(a[0]), uint32(a[1]))
	if !ok {
		return errFault
	}
	_, _ = rand.Read(mem) // never fails
	return success
}

// maxPieces is how many pieces a write may have.
const maxPieces = 1024

// fdWrite logs what is written to stdout and stderr.
func fdWrite(v *vm, a []uint64) errno {
	to := &v.stdout
	switch uint32(a[0]) {
	case stdout:
	case stderr:
		to = &v.stderr
	default:
		return errBadf
	}
	pieces := uint32(a[2])
	if pieces > maxPieces {
		return errInval
	}
	m := v.memory
	written := uint32(0)
	for i := range pieces {
		at := uint64(uint32(a[1])) + 8*uint64(i)
		if at > 1<<32-8 {
			return errFault
		}
		start, ok := m.ReadUint32Le(uint32(at))
		size, ok2 := m.ReadUint32Le(uint32(at) + 4)
		if !ok || !ok2 {
			return errFault
		}
		text, ok := m.Read(start, size)
		if !ok {
			return errFault
		}
		to.write(v.effectiveContext(), text)
		written += size
	}
	return v.put32(a[3], written)
}

// fdStat tells of the standard streams that they are character devices that can
// be written to (wasi_snapshot_preview1, "fdstat").
func fdStat(v *vm, a []uint64) errno {
	if e := standardStream(v, a); e != success {
		return e
	}
	mem, ok := v.memory.Read(uint32(a[1]), 24)
	if !ok {
		return errFault
	}
	clear(mem)
	const characterDevice, rightToWrite = 2, 1 << 6
	mem[0], mem[8] = characterDevice, rightToWrite
	return success
}

// Layout of poll_oneoff's subscriptions and events (wasi_snapshot_preview1).
const (
	subscriptionSize = 48
	eventSize        = 32
	maxSubscriptions = 64
	byClock          = 0
	absolute         = 1
)

// poll sleeps until the first clock that is subscribed to, and for no longer than
// the guest may run. Subscriptions to files are ready at once.
func poll(v *vm, a []uint64) errno {
	n := uint32(a[2])
	if n > maxSubscriptions {
		return errInval
	}
	m := v.memory
	in, ok := m.Read(uint32(a[0]), n*subscriptionSize)
	out, ok2 := m.Read(uint32(a[1]), n*eventSize)
	if !ok || !ok2 || v.put32(a[3], 0) != success {
		return errFault
	}
	least, found := time.Duration(1<<63-1), false
	for i := range n {
		s := in[i*subscriptionSize:][:subscriptionSize]
		if s[8] != byClock {
			least, found = 0, true
			continue
		}
		least, found = min(least, clockWait(s)), true
	}
	if !found {
		return success
	}
	v.sleep(least)
	events := uint32(0)
	for i := range n {
		s := in[i*subscriptionSize:][:subscriptionSize]
		if s[8] == byClock && clockWait(s) > 0 && least > 0 && clockWait(s) > least {
			continue
		}
		e := out[events*eventSize:][:eventSize]
		clear(e)
		copy(e, s[:8]) // userdata
		e[10] = s[8]   // what it is about
		events++
	}
	return v.put32(a[3], events)
}

// clockWait is how long a subscription to a clock waits.
func clockWait(s []byte) time.Duration {
	le := func(b []byte) (n uint64) {
		for i := range 8 {
			n |= uint64(b[i]) << (8 * i)
		}
		return n
	}
	timeout := le(s[24:])
	if s[40]&absolute != 0 {
		now := uint64(time.Since(began))
		if s[16] == clockRealtime {
			now = uint64(time.Now().UnixNano())
		}
		if timeout <= now {
			return 0
		}
		timeout -= now
	}
	return time.Duration(min(timeout, 1<<62))
}

// sleep waits, but not beyond the guest's deadline, which then stops it.
func (v *vm) sleep(d time.Duration) {
	if v.bound != plugin.Unbound {
		d = min(d, v.watch.Left()+time.Millisecond)
	} else {
		d = min(d, time.Minute)
	}
	if d > 0 {
		time.Sleep(d)
		if v.watch.Overdue() {
			panic(errStopped)
		}
	}
}
