package server

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// debt says what the proxy is owed for a message that gets one answer.
type debt uint8

const (
	nothing debt = iota // no message came
	owed                // it waits for its answer
	held                // it has an answer that decides nothing: the body's will
	paid
)

// half is one direction of an exchange on the wire: what has come from the proxy
// and what it is owed.
type half struct {
	plugin.Direction
	msg *plugin.Message

	headers  debt
	trailers debt
	// chunks are the body messages that are owed one answer each. Full duplex
	// owes none for a message, but a whole body in the end.
	chunks []chunk
	// over is set when no further part of the body will come.
	over bool
	// pieced is set when a piece of a full-duplex body has been sent.
	pieced bool
	// sentEnd is set when the proxy has been told the end of a full-duplex body.
	sentEnd bool
	// drained says how far the proxy is with keeping the rest of the body.
	drained draining
	// cut is set when the body was replaced in the answer to the headers: what
	// still comes of the original gets no answer.
	cut bool
	// unseen is set when the guest took its body to be whole before the trailers
	// were known: they pass.
	unseen bool
	// begun is set when a part of the body, or its end, has come.
	begun bool
	// since is when the proxy began to wait for an answer, 0 if it doesn't; counted
	// how many it waited for then, and late is set when it has waited too long.
	since   plugin.Instant
	counted int
	late    bool
	// extended is set when the proxy was asked to wait longer for that answer.
	extended bool
	// gathered is a body that must be sent in one answer, as far as it is there.
	gathered []byte
}

// chunk is a body message that is owed an answer.
type chunk struct {
	last bool
	// first is what it holds if more of the body may pass unseen behind it.
	first []byte
}

var errOrder = errors.New("message out of order")

// maxOwed is how many body messages may wait for their answers, which empty ones
// could do without end. A proxy stops long before (2 MB in Envoy).
const maxOwed = 1 << 16

// take puts a wire message into the exchange.
func (h *half) take(m *codec.Message, mode bodyMode) error {
	if h.cut && !m.IsHeaders() {
		return nil
	}
	switch m.Part {
	case plugin.HeadersPart:
		if h.headers != nothing || h.over {
			return fmt.Errorf("%v: %w", m.Phase, errOrder)
		}
		h.headers = owed
		h.msg.Arrived = true
		h.msg.Original = m.Fields
		if m.End {
			h.msg.NoBody = true
			h.msg.In.Ended, h.over = true, true
		}
	case plugin.BodyPart:
		return h.takeBody(m, mode)
	case plugin.TrailersPart:
		if h.trailers != nothing || h.msg.NoBody {
			return fmt.Errorf("%v: %w", m.Phase, errOrder)
		}
		h.trailers, h.begun = owed, true
		h.unseen = h.msg.In.Ended
		h.msg.In.Trailers = m.Fields
		h.msg.In.Ended, h.over = true, true
	}
	return nil
}

func (h *half) takeBody(m *codec.Message, mode bodyMode) error {
	last := m.End
	h.begun = true
	if !flows(mode) {
		if h.msg.NoBody || h.trailers != nothing {
			return fmt.Errorf("%v: %w", m.Phase, errOrder)
		}
		if len(h.chunks) >= maxOwed {
			return fmt.Errorf("%v: %d messages wait for their answers: %w", m.Phase, maxOwed, errOrder)
		}
		owed := chunk{last: last}
		if mode == partial && !last && !h.whole(len(m.Body)) {
			owed.first = slices.Clone(m.Body)
		}
		h.chunks = append(h.chunks, owed)
		// A buffered body is whole although trailers may follow it.
		last = last || mode == buffered || mode == partial
	}
	if h.over {
		return nil // a second end of the stream
	}
	if mode == messages {
		h.pushMessage(m)
	} else {
		h.msg.In.PushChunk(plugin.Chunk{Bytes: m.Body, From: m.In})
	}
	if m.Drained && h.drained == drainAsked {
		h.drained = drainArrived
	}
	if last {
		h.msg.In.Ended, h.over = true, true
	}
	return nil
}

// whole says whether n bytes are all of the body. A message in BUFFERED_PARTIAL that
// is not the last may be followed by trailers, or by a rest that isn't sent.
func (h *half) whole(n int) bool {
	length, ok := h.msg.Original.Get("content-length")
	return ok && string(length) == strconv.Itoa(n)
}

// replaced says whether the body is the guest's instead of the one that came.
func (h *half) replaced() bool { return h.msg.Released && h.msg.Plan == plugin.Replaced }

// pay notes that the headers have had the answer that decides about them. If it has
// the body cut, what has come of that is owed no other.
func (h *half) pay() {
	h.headers, h.msg.Taken = paid, true
	if h.cut {
		h.chunks = nil
		if h.trailers == owed {
			h.trailers = paid
		}
	}
}

// row is the phase of one part of this half.
func (h *half) row(part plugin.Part) *row { return &rows[h.Direction][part] }

// place is where a block of fields of this half stands.
func (h *half) place(part plugin.Part, newBody bool) place {
	return place{Phase: plugin.Phase{Direction: h.Direction, Part: part}, newBody: newBody}
}

// streamedBody is a piece of a full-duplex body.
func (h *half) streamedBody(piece []byte, end bool) *extprocv3.ProcessingResponse {
	return h.piece(&extprocv3.StreamedBodyResponse{Body: piece, EndOfStream: end})
}

func (h *half) piece(s *extprocv3.StreamedBodyResponse) *extprocv3.ProcessingResponse {
	return h.row(plugin.BodyPart).body(&extprocv3.BodyResponse{Response: &extprocv3.CommonResponse{
		BodyMutation: &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_StreamedResponse{StreamedResponse: s}},
	}})
}
