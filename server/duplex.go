package server

import (
	"encoding/binary"
	"fmt"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// maxPiece is the size of the pieces of a full-duplex body that the protocol
// recommends.
const maxPiece = 64 << 10

// stream sends a full-duplex body on, the guest's or the one that came. It has
// one end: a piece that says so, or the answer to the trailers.
//
// Envoy takes no piece before it has sent one itself: it fails the exchange. And
// headers whose body has arrived before their answer go on with the first piece
// only: a guest that has nothing to send yet sends an empty one.
func (p *process) stream(h *half) (moved bool, err error) {
	if !h.begun {
		return false, nil
	}
	src := h.source()
	if err := p.drain(h); err != nil {
		return false, err
	}
	for !h.sentEnd && src.Len() > 0 {
		piece := src.TakeChunk(p.windows.most(h.Direction, maxPiece))
		if piece.Bytes == nil {
			return moved, nil // the proxy takes no more for now
		}
		p.windows.sent(h.Direction, len(piece.Bytes))
		moved = moved || h.replaced()
		h.sentEnd, h.pieced = src.Len() == 0 && h.ends(src), true
		if err := p.send(h.streamedBody(piece.Bytes, h.sentEnd)); err != nil {
			return false, err
		}
		piece.Done()
	}
	if !h.sentEnd && h.ends(src) {
		h.sentEnd = true
		err = p.send(h.streamedBody(nil, true))
	}
	if h.drained == drainArrived && src.Len() == 0 {
		h.drained, h.sentEnd = drainAnswered, true
		return moved, p.send(h.piece(&extprocv3.StreamedBodyResponse{DrainComplete: true}))
	}
	if !h.sentEnd && !h.pieced && h.replaced() && h.trailers == nothing {
		h.pieced = true
		err = p.send(h.streamedBody(nil, false))
	}
	if h.sentEnd {
		h.msg.In.Discard()
	}
	if h.sentEnd && h.replaced() && h.over && h.trailers == nothing {
		p.reject(len(h.msg.Out.Trailers), "trailers where none came")
		h.msg.Out.Trailers = nil
	}
	return moved, err
}

// source is the body that goes on: the guest's or the one that came.
func (h *half) source() *plugin.Body {
	if !h.replaced() {
		return &h.msg.In
	}
	if h.msg.Out.Ended {
		h.msg.In.Discard()
	}
	return &h.msg.Out
}

// blocked says whether a part of a body waits until the proxy takes more.
func (p *process) blocked(h *half) bool {
	return flows(p.modes.body[h.Direction]) && !h.sentEnd && h.source().Len() > 0
}

// ends says whether a drained full-duplex body is at its end, and no trailers
// will be. A guest that has trailers to send waits for those of the original:
// only in answer to them can any be sent.
func (h *half) ends(src *plugin.Body) bool {
	if !src.Ended || h.trailers != nothing {
		return false
	}
	return h.over || h.replaced() && len(h.msg.Out.Trailers) == 0
}

// draining is how far the proxy is with keeping the rest of a body to itself.
type draining uint8

const (
	notDrained draining = iota
	drainAsked
	drainArrived
	drainAnswered
)

// drain asks the proxy to keep what is left of a body that no plugin looks at. Only
// proxies with flow control do that.
func (p *process) drain(h *half) error {
	if !p.windows.on || h.drained != notDrained || h.replaced() || h.over {
		return nil
	}
	h.drained = drainAsked
	resp := &extprocv3.ProcessingResponse{RequestDrainRequests: h.Direction == plugin.Request, RequestDrainResponses: h.Direction == plugin.Response}
	return p.send(resp)
}

// grpcPrefix is what precedes a message of gRPC in a body: whether it is compressed,
// and its length (PROTOCOL-HTTP2.md, Length-Prefixed-Message). Plugins see bodies as
// HTTP has them; in mode GRPC the proxy sends and takes whole messages without it.
const grpcPrefix = 5

// pushMessage puts a message of gRPC into the body, if there is one.
func (h *half) pushMessage(m *codec.Message) {
	if m.EndWithoutMessage {
		return
	}
	prefix := make([]byte, grpcPrefix)
	if m.Compressed {
		prefix[0] = 1
	}
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(m.Body))) //nolint:gosec // bounded by the size of what is received
	h.msg.In.Push(prefix)
	h.msg.In.Push(m.Body)
}

// streamMessages sends the messages of gRPC in a body on, each when it is whole. The
// end is said apart, or by the answer to the trailers.
func (p *process) streamMessages(h *half) (moved bool, err error) {
	src := h.source()
	for !h.sentEnd && src.Len() > 0 && p.windows.open(h.Direction) {
		moved = moved || h.replaced()
		if err := p.assemble(h, src); err != nil {
			return moved, err
		}
		if !h.messageWhole() {
			continue
		}
		p.windows.sent(h.Direction, len(h.gathered)-grpcPrefix) // it can't be cut
		whole := &extprocv3.StreamedBodyResponse{Body: h.gathered[grpcPrefix:], GrpcMessageCompressed: h.gathered[0] != 0}
		h.gathered = nil
		if err := p.send(h.piece(whole)); err != nil {
			return moved, err
		}
	}
	if h.sentEnd || src.Len() > 0 || !h.ends(src) {
		return moved, nil
	}
	if len(h.gathered) > 0 {
		return moved, fmt.Errorf("the %v ends in the middle of a message of gRPC: %w", h.place(plugin.BodyPart, false).Phase, errMode)
	}
	h.sentEnd = true
	return moved, p.send(h.piece(&extprocv3.StreamedBodyResponse{EndOfStream: true, EndOfStreamWithoutMessage: true}))
}

// assemble moves bytes of a body to the message that is being gathered.
func (p *process) assemble(h *half, src *plugin.Body) error {
	want := grpcPrefix
	if len(h.gathered) >= grpcPrefix {
		want += int(binary.BigEndian.Uint32(h.gathered[1:]))
	}
	if want > p.limits.Buffered {
		return fmt.Errorf("a message of gRPC in the %v is longer than %d bytes: %w", h.place(plugin.BodyPart, false).Phase, p.limits.Buffered, errTooLarge)
	}
	h.gathered = append(h.gathered, src.Take(want-len(h.gathered))...)
	return nil
}

// messageWhole says whether all of a message has been gathered.
func (h *half) messageWhole() bool {
	return len(h.gathered) >= grpcPrefix && len(h.gathered) == grpcPrefix+int(binary.BigEndian.Uint32(h.gathered[1:]))
}
