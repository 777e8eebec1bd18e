package proxywasm

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/tetratelabs/wazero/api"

	"github.com/extproc/extproc/plugin"
)

// kind is what a parameter of a hostcall means. Everything that is done with
// parameters (core types, decoding, checking, encoding) follows from it.
type kind uint8

const (
	num32      kind = iota // a number
	num64                  // a number
	mapID                  // proxy_map_type_t
	bufferID               // proxy_buffer_type_t
	streamID               // proxy_stream_type_t
	logLevelID             // proxy_log_level_t
	bytesIn                // pointer and length
	pairsIn                // pointer and length of a serialized map
	out32                  // pointer to where a number goes
	out64                  // pointer to where a number goes
	bytesOut               // pointers to where pointer and length of new memory go
	pairsOut               // the same for a serialized map
	bytesMaybe             // the same, either pointer may be 0
)

// kinds says how each kind is passed.
var kinds = [...]struct {
	slots []api.ValueType
	most  uint32 // the last value of an enum, 0 for what is none
	out   bool
}{
	num32:      {slots: []api.ValueType{i32}},
	num64:      {slots: []api.ValueType{i64}},
	mapID:      {slots: []api.ValueType{i32}, most: mapCount - 1},
	bufferID:   {slots: []api.ValueType{i32}, most: bufferCount - 1},
	streamID:   {slots: []api.ValueType{i32}, most: streamCount - 1},
	logLevelID: {slots: []api.ValueType{i32}, most: uint32(len(levels)) - 1},
	bytesIn:    {slots: []api.ValueType{i32, i32}},
	pairsIn:    {slots: []api.ValueType{i32, i32}},
	out32:      {slots: []api.ValueType{i32}, out: true},
	out64:      {slots: []api.ValueType{i32}, out: true},
	bytesOut:   {slots: []api.ValueType{i32, i32}, out: true},
	pairsOut:   {slots: []api.ValueType{i32, i32}, out: true},
	bytesMaybe: {slots: []api.ValueType{i32, i32}, out: true},
}

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// call is one call of a hostcall: what came in and what is to go out. What lies
// in data is the guest's memory: it is to be copied if it is kept.
type call struct {
	cx   *Context
	args [maxArgs]arg
	// num, data and pairs go out, in the order of the row's results of that kind.
	num   [2]uint64
	data  []byte
	pairs plugin.Headers

	nums int // how many of num have gone out
}

const maxArgs = 8

// arg is a parameter that came in.
type arg struct {
	num   uint64
	data  []byte
	pairs plugin.Headers
}

func (c *call) u32(i int) uint32   { return uint32(c.args[i].num) }
func (c *call) u64(i int) uint64   { return c.args[i].num }
func (c *call) bytes(i int) []byte { return c.args[i].data }

// decode takes the parameters off the stack and checks them: enums for their
// range, pointers for lying in the guest's memory. A result that could not be
// written fails before anything is done. The upper halves of i32 slots are not
// looked at: wazero leaves what it likes there.
func (v *vm) decode(c *call, params []kind, stack []uint64) Status {
	at := 0
	for i, k := range params {
		switch k {
		case num32:
			c.args[i].num = uint64(uint32(stack[at]))
		case num64:
			c.args[i].num = stack[at]
		case mapID, bufferID, streamID, logLevelID:
			n := uint32(stack[at])
			if n > kinds[k].most {
				return BadArgument
			}
			c.args[i].num = uint64(n)
		case bytesIn, pairsIn:
			data, ok := v.memory.Read(uint32(stack[at]), uint32(stack[at+1]))
			if !ok {
				return InvalidMemoryAccess
			}
			c.args[i].data = data
			if k == pairsIn {
				if c.args[i].pairs, ok = parsePairs(data); !ok {
					return BadArgument
				}
			}
			at++
		case out32, out64:
			if !v.writable(uint32(stack[at]), 4+4*uint64(k-out32)) {
				return InvalidMemoryAccess
			}
		case bytesMaybe:
			for _, p := range stack[at : at+2] {
				if uint32(p) != 0 && !v.writable(uint32(p), 4) {
					return InvalidMemoryAccess
				}
			}
			at++
		case bytesOut, pairsOut:
			if !v.writable(uint32(stack[at]), 4) || !v.writable(uint32(stack[at+1]), 4) {
				return InvalidMemoryAccess
			}
			at++
		}
		at++
	}
	return OK
}

func (v *vm) writable(at uint32, n uint64) bool {
	return uint64(at)+n <= uint64(v.memory.Size())
}

// encode writes the results to where the guest wants them. An empty value is
// pointer 0 and length 0: some allocators can't be asked for nothing.
func (v *vm) encode(c *call, params []kind, stack []uint64) Status {
	at := 0
	for _, k := range params {
		switch k {
		case out32:
			v.memory.WriteUint32Le(uint32(stack[at]), uint32(c.num[c.nums]))
			c.nums++
		case out64:
			v.memory.WriteUint64Le(uint32(stack[at]), c.num[c.nums])
			c.nums++
		case bytesOut, bytesMaybe:
			if s := v.give(c, stack[at:at+2], k == bytesMaybe); s != OK {
				return s
			}
		case pairsOut:
			if s := v.givePairs(c, stack[at:at+2]); s != OK {
				return s
			}
		}
		at += len(kinds[k].slots)
	}
	return OK
}

func (v *vm) give(c *call, to []uint64, maybe bool) Status {
	pointer := uint32(0)
	if len(c.data) > 0 && !(maybe && uint32(to[0]) == 0) {
		mem, at, ok := v.allocate(len(c.data))
		if !ok {
			return InvalidMemoryAccess
		}
		copy(mem, c.data)
		pointer = at
	}
	v.giveAt(to, pointer, uint32(len(c.data)), maybe)
	return OK
}

func (v *vm) givePairs(c *call, to []uint64) Status {
	if len(c.pairs) == 0 {
		v.giveAt(to, 0, 0, false)
		return OK
	}
	size := pairsSize(c.pairs)
	mem, at, ok := v.allocate(size)
	if !ok {
		return InvalidMemoryAccess
	}
	writePairs(mem, c.pairs)
	v.giveAt(to, at, uint32(size), false)
	return OK
}

func (v *vm) giveAt(to []uint64, pointer, size uint32, maybe bool) {
	if !maybe || uint32(to[0]) != 0 {
		v.memory.WriteUint32Le(uint32(to[0]), pointer)
	}
	if !maybe || uint32(to[1]) != 0 {
		v.memory.WriteUint32Le(uint32(to[1]), size)
	}
}

// hostFunction is a hostcall as wazero calls it.
type hostFunction struct {
	row    *hostcall
	result bool // whether the module's import has one
}

// Call implements api.GoModuleFunction.
func (h hostFunction) Call(ctx context.Context, _ api.Module, stack []uint64) {
	status := ctx.(*callContext).vm.hostcall(h.row, stack)
	if h.result {
		stack[0] = uint64(status)
	}
}

var errStopped = errors.New("stopped by its host")

// checkTime ends a guest that has run too long. Code looks at the clock every few
// thousand turns, each of which may call the host for long.
func (v *vm) checkTime() {
	if v.watch.Fired() {
		panic(errStopped)
	}
}

// hostcall does what a row says for one call.
func (v *vm) hostcall(row *hostcall, stack []uint64) Status {
	v.checkTime()
	c := &v.calls[0]
	if v.allocating {
		// An allocator runs in the middle of another call.
		if !row.anytime {
			panic(brokenRule("calls " + row.name + " from its allocator"))
		}
		c = &v.calls[1]
	}
	c.cx = v.effectiveContext()
	status := v.decode(c, row.params, stack)
	if status == OK {
		if row.waits {
			status = v.wait(row, c)
		} else {
			status = row.call(c)
		}
		if status == OK {
			if s := v.encode(c, row.params, stack); s != OK {
				status = s
			}
		}
	}
	c.data, c.pairs, c.nums = nil, nil, 0
	return status
}

// Limits of a serialized map, as Envoy has them.
const (
	maxPairsBytes = 1 << 20
	maxPairs      = 1024
)

// parsePairs reads a serialized map (specification, "Serialization"). The values
// lie in the guest's memory.
func parsePairs(b []byte) (plugin.Headers, bool) {
	if len(b) == 0 || len(b) == 1 && b[0] == 0 {
		return nil, true
	}
	if len(b) < 4 || len(b) > maxPairsBytes {
		return nil, false
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n > maxPairs || len(b)-4 < 8*n {
		return nil, false
	}
	sizes, rest := b[4:4+8*n], b[4+8*n:]
	list := make(plugin.Headers, n)
	take := func(at int) ([]byte, bool) {
		size := uint64(binary.LittleEndian.Uint32(sizes[at:]))
		if size >= uint64(len(rest)) || rest[size] != 0 {
			return nil, false
		}
		s := rest[:size:size]
		rest = rest[size+1:]
		return s, true
	}
	for i := range list {
		name, ok := take(8 * i)
		if !ok {
			return nil, false
		}
		value, ok := take(8*i + 4)
		if !ok {
			return nil, false
		}
		list[i] = plugin.Field{Name: lower(name), Value: value}
	}
	return list, len(rest) == 0
}

func pairsSize(list plugin.Headers) int {
	size := 4
	for i := range list {
		size += 8 + len(list[i].Name) + 1 + len(list[i].Value) + 1
	}
	return size
}

// writePairs serializes a map to b, which has its size.
func writePairs(b []byte, list plugin.Headers) {
	binary.LittleEndian.PutUint32(b, uint32(len(list)))
	at, text := 4, 4+8*len(list)
	for i := range list {
		f := &list[i]
		binary.LittleEndian.PutUint32(b[at:], uint32(len(f.Name)))
		binary.LittleEndian.PutUint32(b[at+4:], uint32(len(f.Value)))
		at += 8
		text += copy(b[text:], f.Name)
		b[text] = 0
		text += 1 + copy(b[text+1:], f.Value)
		b[text] = 0
		text++
	}
}
