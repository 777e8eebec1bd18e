package proxywasm

import "slices"

// proxy_buffer_type_t
const (
	requestBodyBuffer = iota
	responseBodyBuffer
	downstreamDataBuffer
	upstreamDataBuffer
	callBodyBuffer
	grpcMessageBuffer
	vmConfigurationBuffer
	pluginConfigurationBuffer
	foreignArgumentsBuffer
	bufferCount
)

// buffer is the content of a buffer, and whether there is such a buffer. As in
// Envoy, bodies outside of their callbacks are there but empty.
func (cx *Context) buffer(id uint32) (data []byte, ok bool) {
	root := cx.root
	switch id {
	case requestBodyBuffer, responseBodyBuffer:
		if b := cx.body(id); b != nil {
			return *b, true
		}
	case callBodyBuffer:
		if root.response == nil {
			return nil, false
		}
		return root.response.Body, true
	case grpcMessageBuffer:
		return root.message, true
	case vmConfigurationBuffer:
		return cx.vm.machine.config, true
	case pluginConfigurationBuffer:
		if !root.configuring {
			return nil, false
		}
		return cx.plugin.spec.Config, true
	case foreignArgumentsBuffer:
		return root.foreignArguments, true
	}
	return nil, true
}

// body is the part of a body that a guest may change now, or nil.
func (cx *Context) body(id uint32) *[]byte {
	if cx.stream == nil || id > responseBodyBuffer {
		return nil
	}
	return cx.stream.halves[id].window()
}

func bufferBytes(c *call) Status {
	data, ok := c.cx.buffer(c.u32(0))
	if !ok {
		return NotFound
	}
	start, size := c.args[1].num, c.args[2].num
	if start+size > 1<<32-1 {
		return BadArgument
	}
	if start < uint64(len(data)) {
		c.data = data[start:min(start+size, uint64(len(data)))]
	}
	return OK
}

func bufferStatus(c *call) Status {
	data, ok := c.cx.buffer(c.u32(0))
	if !ok {
		return NotFound
	}
	c.num = [2]uint64{uint64(len(data)), 0}
	return OK
}

// setBufferBytes prepends, appends or replaces the whole, which is all that
// Envoy does; the specification's injecting is refused by it, and so here.
func setBufferBytes(c *call) Status {
	if _, ok := c.cx.buffer(c.u32(0)); !ok {
		return NotFound
	}
	body := c.cx.body(c.u32(0))
	if body == nil {
		return BadArgument
	}
	start, size, data := c.args[1].num, c.args[2].num, c.bytes(3)
	old, came, limit := *body, c.cx.stream.halves[c.u32(0)].came, c.cx.plugin.abi.cfg.BodyLimit
	switch {
	case len(old)+len(data) > limit && len(data) > len(old):
		return InternalFailure
	case start == 0 && size > 0 && size >= uint64(len(old)):
		*body = slices.Clone(data)
	case len(old)+len(data) > limit+2*came: // a guest may add little by little
		return InternalFailure
	case start == 0 && size == 0:
		*body = slices.Concat(data, old)
	case start > 0 && start >= uint64(len(old)):
		*body = slices.Concat(old, data)
	default:
		return BadArgument
	}
	return OK
}
