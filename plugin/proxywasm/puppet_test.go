package proxywasm

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/extproc/extproc/plugin"
)

func TestMain(m *testing.M) {
	foreignFunctions["puppet"] = play
	os.Exit(m.Run())
}

// script is what a puppet's callbacks do. Those it lacks carry on.
type script map[callbackID]func(p *player) uint32

// scripts are the scripts by the names of the plugins.
var scripts sync.Map

// player is a puppet's callback at work: a test that calls the host as a guest
// does.
type player struct {
	cx      *Context
	args    []uint32
	scratch uint32
}

// play runs the script of the callback whose id and parameters are in args.
func play(cx *Context, args []byte) ([]byte, Status) {
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(args[4*i:]) }
	id := callbackID(word(0))
	found, _ := scripts.Load(cx.plugin.spec.Name)
	s, _ := found.(script)
	f := s[id]
	if f == nil {
		switch id {
		case onVMStart, onConfigure, onDone:
			return nil, 1
		}
		return nil, 0
	}
	p := &player{cx: cx, scratch: scratchStart}
	for i := range callbacks[id].params {
		p.args = append(p.args, word(i+1))
	}
	return nil, Status(f(p))
}

// put writes to the guest's memory.
func (p *player) put(b []byte) uint32 {
	at := p.scratch
	if !p.cx.vm.memory.Write(at, b) {
		panic("the puppet's memory is full")
	}
	p.scratch += uint32(len(b)+7) &^ 7
	return at
}

// answer is what a hostcall gave back: its status, numbers and bytes.
type answer struct {
	Status
	num  []uint64
	data string
}

// call calls the host with parameters as the table has them: numbers, strings,
// headers. What goes out needs none.
func (p *player) call(name string, args ...any) answer {
	var row *hostcall
	for i := range hostcalls {
		if hostcalls[i].name == "proxy_"+name {
			row = &hostcalls[i]
		}
	}
	if row == nil {
		panic("no such hostcall: " + name)
	}
	var stack []uint64
	var outs []uint32
	for _, k := range row.params {
		if kinds[k].out {
			at := p.put(make([]byte, 8))
			outs = append(outs, at)
			stack = append(stack, uint64(at))
			if len(kinds[k].slots) == 2 {
				stack = append(stack, uint64(at)+4)
			}
			continue
		}
		const garbage = 0xdead << 32
		switch v := args[0].(type) {
		case int:
			stack = append(stack, uint64(v))
			if k != num64 {
				stack[len(stack)-1] = uint64(uint32(v)) | garbage
			}
		case string:
			stack = append(stack, uint64(p.put([]byte(v)))|garbage, uint64(len(v))|garbage)
		case plugin.Headers:
			b := make([]byte, pairsSize(v))
			writePairs(b, v)
			stack = append(stack, uint64(p.put(b)), uint64(len(b)))
		default:
			panic(fmt.Sprintf("%s: a parameter of type %T", name, v))
		}
		args = args[1:]
	}
	if len(args) > 0 {
		panic(name + ": too many parameters")
	}
	a := answer{Status: p.cx.vm.hostcall(row, stack)}
	if a.Status != OK {
		return a
	}
	m := p.cx.vm.memory
	for i, k := range row.params[len(row.params)-len(outs):] {
		low, _ := m.ReadUint32Le(outs[i])
		high, _ := m.ReadUint32Le(outs[i] + 4)
		switch k {
		case out32:
			a.num = append(a.num, uint64(low))
		case out64:
			a.num = append(a.num, uint64(high)<<32|uint64(low))
		default:
			b, _ := m.Read(low, high)
			a.data = string(b)
		}
	}
	return a
}

// must is call for what has to succeed.
func (p *player) must(name string, args ...any) answer {
	a := p.call(name, args...)
	if a.Status != OK {
		panic(fmt.Sprintf("%s: %v", name, a.Status))
	}
	return a
}

// get is the value of a field of a map, or the status in brackets.
func (p *player) get(id int, name string) string {
	a := p.call("get_header_map_value", id, name)
	if a.Status != OK {
		return "(" + a.Status.String() + ")"
	}
	return a.data
}

// body is the content of a buffer, or the status in brackets.
func (p *player) body(id int) string {
	a := p.call("get_buffer_bytes", id, 0, 1<<30)
	if a.Status != OK {
		return "(" + a.Status.String() + ")"
	}
	return a.data
}

func (p *player) log(format string, args ...any) {
	p.must("log", 2, fmt.Sprintf(format, args...))
}

// perform loads a puppet with a script.
func perform(tb testing.TB, a *ABI, s script, change ...func(*plugin.Spec)) (*Module, *logs) {
	tb.Helper()
	l := &logs{}
	return mustLoad(tb, a, puppet(), performing(tb, l, s, change...)), l
}

// performing is the configuration of a puppet with a script.
func performing(tb testing.TB, l *logs, s script, change ...func(*plugin.Spec)) *plugin.Spec {
	spec := newSpec(l, change...)
	if spec.Name == "test" {
		spec.Name = tb.Name()
	}
	scripts.Store(spec.Name, s)
	return spec
}
