package proxywasm

import (
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// calloutKind is the kind of a callout, which the lowest bits of its id tell.
type calloutKind uint32

const (
	httpCallout calloutKind = iota
	grpcUnary
	grpcStreaming

	calloutBits = 2
	calloutMask = 1<<calloutBits - 1
)

// callout is a call that a root context has under way.
type callout struct {
	cancel func()
	stream host.GRPCStream // of gRPC
	owner  uint32          // the stream context it was begun for, or that of a root
	// The halves of a gRPC stream that are closed.
	localClosed, remoteClosed bool
}

// statusOf maps an error of the host's services to the status for it.
func statusOf(err error) Status {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, host.ErrNotFound):
		return NotFound
	case errors.Is(err, host.ErrEmpty):
		return Empty
	case errors.Is(err, host.ErrCasMismatch):
		return CasMismatch
	case errors.Is(err, host.ErrBadArgument), errors.Is(err, host.ErrUnknownCluster):
		return BadArgument
	}
	return InternalFailure
}

// newCallout gives out an id, which counts up from 1 above the bits of its kind.
func (cx *Context) newCallout(kind calloutKind, c *callout) uint32 {
	v := cx.vm
	for {
		v.callout++
		id := v.callout<<calloutBits | uint32(kind)
		if _, taken := cx.calls[id]; !taken && id > calloutMask {
			cx.calls[id] = c
			return id
		}
	}
}

// deliver runs what a callout has led to. If it was begun for an exchange that is
// still there, it runs in the exchange's next step, so that the guest finds
// everything of the exchange.
func (cx *Context) deliver(id uint32, f func()) {
	v := cx.vm
	v.post(func() {
		if co := cx.calls[id]; co != nil && !cx.gone() {
			if owner := v.contexts[co.owner]; owner != nil && owner.stream != nil {
				owner.stream.events = append(owner.stream.events, f)
				owner.stream.notify()
				return
			}
		}
		f()
	})
}

// keep copies fields out of the guest's memory.
func keep(list plugin.Headers) plugin.Headers {
	kept := make(plugin.Headers, len(list))
	for i, f := range list {
		kept[i] = plugin.Field{Name: f.Name, Value: slices.Clone(f.Value)}
	}
	return kept
}

func httpCall(c *call) Status {
	root := c.cx.root
	if root.id == 0 {
		return InternalFailure
	}
	if int32(c.u32(4)) < 0 {
		return BadArgument
	}
	co := &callout{owner: c.cx.id}
	id := root.newCallout(httpCallout, co)
	cancel, err := root.plugin.services.Callouts.HTTP(host.HTTPRequest{
		Cluster: string(c.bytes(0)), Headers: keep(c.args[1].pairs), Body: slices.Clone(c.bytes(2)),
		Trailers: keep(c.args[3].pairs), Timeout: time.Duration(c.u32(4)) * time.Millisecond,
	}, func(response host.HTTPResponse) {
		root.deliver(id, func() { root.httpResponse(id, &response) })
	})
	if err != nil {
		delete(root.calls, id)
		return statusOf(err)
	}
	co.cancel = cancel
	c.num[0] = uint64(id)
	return OK
}

// httpResponse delivers a response. A call that failed after its response had
// begun has no headers, which is how guests know.
func (cx *Context) httpResponse(id uint32, response *host.HTTPResponse) {
	if _, ok := cx.calls[id]; !ok || cx.gone() {
		return
	}
	delete(cx.calls, id)
	cx.lines = 0
	cx.response = response
	if len(response.Headers) == 0 {
		cx.status, cx.statusMessage = uint32(BrokenConnection), "reset"
	}
	_, _ = cx.vm.invoke(cx, onHTTPCallResponse, uint64(cx.id), uint64(id),
		uint64(len(response.Headers)), uint64(len(response.Body)), uint64(len(response.Trailers)))
	cx.response, cx.statusMessage = nil, ""
}

func callStatus(c *call) Status {
	root := c.cx.root
	c.num[0] = uint64(root.status)
	c.data = []byte(root.statusMessage)
	return OK
}

func grpcCall(c *call) Status {
	return openGRPC(c, grpcUnary, host.GRPCRequest{
		Unary: true, Message: slices.Clone(c.bytes(4)), Timeout: time.Duration(c.u32(5)) * time.Millisecond,
	})
}

func grpcStream(c *call) Status { return openGRPC(c, grpcStreaming, host.GRPCRequest{}) }

// openGRPC does what a call and a stream have in common.
func openGRPC(c *call, kind calloutKind, r host.GRPCRequest) Status {
	root := c.cx.root
	if root.id == 0 {
		return InternalFailure
	}
	r.Cluster = grpcCluster(c.bytes(0))
	r.Service, r.Method = string(c.bytes(1)), string(c.bytes(2))
	r.Metadata = keep(c.args[3].pairs)
	co := &callout{owner: c.cx.id}
	id := root.newCallout(kind, co)
	stream, err := root.plugin.services.Callouts.GRPC(r, &grpcEvents{root, id, kind})
	if err != nil {
		delete(root.calls, id)
		if errors.Is(err, host.ErrUnknownCluster) {
			return ParseFailure
		}
		return statusOf(err)
	}
	co.stream, co.cancel = stream, stream.Cancel
	c.num[0] = uint64(id)
	return OK
}

// grpcCluster is the name of the cluster to be called: the bytes are that, or
// Envoy's message GrpcService, whose field envoy_grpc (1) has it as its
// cluster_name (1).
func grpcCluster(service []byte) string {
	if envoy, ok := protoField(service, 1); ok {
		if name, ok := protoField(envoy, 1); ok {
			return string(name)
		}
	}
	return string(service)
}

// protoField finds a length-delimited field in a message that must be well
// formed to its end.
func protoField(message []byte, number protowire.Number) (found []byte, ok bool) {
	for len(message) > 0 {
		num, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, false
		}
		message = message[n:]
		if num == number && kind == protowire.BytesType {
			found, n = protowire.ConsumeBytes(message)
			ok = true
		} else {
			n = protowire.ConsumeFieldValue(num, kind, message)
		}
		if n < 0 {
			return nil, false
		}
		message = message[n:]
	}
	return found, ok
}

func grpcSend(c *call) Status {
	id := c.u32(0)
	if calloutKind(id&calloutMask) != grpcStreaming {
		return BadArgument
	}
	co := c.cx.root.calls[id]
	if co == nil {
		return NotFound
	}
	end := c.u32(2) != 0
	if err := co.stream.Send(slices.Clone(c.bytes(1)), end); err != nil && !errors.Is(err, host.ErrClosed) {
		return statusOf(err)
	}
	return OK
}

func grpcCancel(c *call) Status { return endGRPC(c, true) }

func grpcClose(c *call) Status { return endGRPC(c, false) }

// endGRPC cancels a call, or closes the guest's half of a stream, which then
// lives until the other half is closed too.
func endGRPC(c *call, cancel bool) Status {
	root, id := c.cx.root, c.u32(0)
	kind := calloutKind(id & calloutMask)
	if kind != grpcUnary && kind != grpcStreaming {
		return BadArgument
	}
	co := root.calls[id]
	switch {
	case co == nil:
		return NotFound
	case cancel || kind == grpcUnary:
		co.cancel()
		delete(root.calls, id)
	case co.remoteClosed:
		delete(root.calls, id)
	default:
		co.stream.Close()
		co.localClosed = true
	}
	return OK
}

// grpcEvents brings what comes of a gRPC call to the VM.
type grpcEvents struct {
	root *Context
	id   uint32
	kind calloutKind
}

// deliver makes a callback and waits for it, so that the peer can't send more
// than the guest takes.
func (e *grpcEvents) deliver(f func(root *Context, co *callout)) {
	delivered := make(chan struct{})
	e.root.deliver(e.id, func() {
		defer close(delivered)
		if co := e.root.calls[e.id]; co != nil && !e.root.gone() {
			e.root.lines = 0
			f(e.root, co)
		}
	})
	<-delivered
}

func (cx *Context) grpcEvent(callback callbackID, id uint32, size int) {
	_, _ = cx.vm.invoke(cx, callback, uint64(cx.id), uint64(id), uint64(size)) // a failed VM has taken note
}

// OnInitialMetadata implements host.GRPCEvents.
func (e *grpcEvents) OnInitialMetadata(list plugin.Headers) {
	e.deliver(func(root *Context, _ *callout) {
		root.initial = present(list)
		root.grpcEvent(onGRPCInitialMetadata, e.id, len(list))
		root.initial = nil
	})
}

// OnMessage implements host.GRPCEvents.
func (e *grpcEvents) OnMessage(message []byte) {
	e.deliver(func(root *Context, _ *callout) {
		root.message = message
		root.grpcEvent(onGRPCReceive, e.id, len(message))
		root.message = nil
		if e.kind == grpcUnary {
			delete(root.calls, e.id) // as in Envoy, its end is not told
		}
	})
}

// OnTrailingMetadata implements host.GRPCEvents.
func (e *grpcEvents) OnTrailingMetadata(list plugin.Headers) {
	e.deliver(func(root *Context, _ *callout) {
		root.trailing = present(list)
		root.grpcEvent(onGRPCTrailingMetadata, e.id, len(list))
		root.trailing = nil
	})
}

// OnClose implements host.GRPCEvents.
func (e *grpcEvents) OnClose(status host.GRPCStatus) {
	e.deliver(func(root *Context, co *callout) {
		root.status, root.statusMessage = status.Code, status.Message
		root.grpcEvent(onGRPCClose, e.id, int(status.Code))
		root.statusMessage = ""
		co.remoteClosed = true
		if e.kind == grpcUnary || co.localClosed {
			delete(root.calls, e.id)
		}
	})
}

// present is a list that is there, if empty.
func present(list plugin.Headers) plugin.Headers {
	if list == nil {
		return plugin.Headers{}
	}
	return list
}
