package proxywasm

import (
	"slices"
	"unsafe"

	"github.com/extproc/extproc/plugin"
)

// The values of proxy_action_t, and what Envoy makes of others. For headers
// everything but carry-on stops the message altogether.
const (
	carryOn uint32 = iota
	pauseAndBuffer
	pauseAndWatermark
)

// pause is where a guest has stopped a message.
type pause uint8

const (
	notPaused pause = iota
	atHeaders
	inBody
	atTrailers
)

// half is one direction of an exchange as a guest goes through it.
type half struct {
	plugin.Direction
	msg *plugin.Message
	// in is where the body comes from: the message, or a local response.
	in *plugin.Body
	// local is set when the message is a local response on its way through the
	// response callbacks.
	local bool

	headers, trailers fieldMap
	seen              bool // the headers callback was made
	paused            pause
	calling           bool // in one of the message's callbacks
	resume            bool // the guest wants it to go on
	released          bool // the headers have gone on
	ended             bool // everything has

	// held is what a paused body callback left, chunk what the last one was about.
	// While buffering, the guest sees held with the chunk in it.
	held, chunk []byte
	// lent is the chunk as it came.
	lent plugin.Chunk
	// came is how long that was when the callback began.
	came      int
	buffering bool
	exposed   bool // the guest may look at the body
	last      bool // the end of the stream was told
	// taken and given count the bytes of the body that came and that went on.
	taken, given uint64
	// whole makes one chunk of what piled up while the headers were paused.
	whole bool
}

func (h *half) begin(d plugin.Direction, msg *plugin.Message) {
	*h = half{Direction: d, msg: msg, in: &msg.In}
}

// arrived says whether the headers are there.
func (h *half) arrived() bool { return h.msg.Arrived || h.local }

// window is what the guest may see and change of the body.
func (h *half) window() *[]byte {
	switch {
	case h.buffering:
		return &h.held
	case h.exposed:
		return &h.chunk
	}
	return nil
}

// offerTrailers lets the guest add trailers to a body that ends without.
func (h *half) offerTrailers() {
	if !h.trailers.visible && h.exposed && h.last {
		h.trailers.set(nil)
	}
}

// advance makes the next callback for a message or lets it go on, and says
// whether there was anything to do.
func (s *stream) advance(h *half) (bool, error) {
	switch {
	case h.ended:
		return false, nil
	case h.resume:
		h.resume = false
		s.goOn(h)
		return true, nil
	case !h.seen:
		if !h.arrived() {
			return false, nil
		}
		return true, s.callHeaders(h)
	case h.paused == atHeaders || h.paused == atTrailers:
		return false, nil
	}
	if !h.last && (h.in.Len() > 0 && s.room(h) || h.in.Ended && h.in.Len() == 0 && h.in.Trailers == nil) {
		return true, s.callBody(h)
	}
	if !h.last && h.in.Ended && h.in.Len() == 0 {
		return true, s.callTrailers(h)
	}
	return false, nil
}

// room says whether a further chunk may be taken. Behind a body that is held back
// without being buffered, the proxy has to wait.
func (s *stream) room(h *half) bool {
	return h.buffering || len(h.held) < s.plugin.abi.cfg.BodyLimit
}

func (s *stream) callHeaders(h *half) error {
	h.seen = true
	if !h.local {
		h.headers.set(h.msg.Original)
	}
	end := uint64(0)
	if h.local && h.in.Len() == 0 || !h.local && h.msg.NoBody {
		h.last, end = true, 1
	}
	if h.msg.Unseen && len(h.msg.Original) == 0 && !h.local {
		h.headers.visible = false
		s.release(h) // there is nothing to call the guest about
		return nil
	}
	action, err := s.callFor(h, plugin.HeadersPart, uint64(len(h.headers.list)), end)
	if err != nil {
		return err
	}
	if s.stopped() {
		return nil
	}
	if action == carryOn || h.resume {
		h.resume = false
		h.headers.visible = false
		s.release(h)
		return nil
	}
	h.paused = atHeaders
	return nil
}

func (s *stream) callBody(h *half) error {
	h.lent = h.in.PopChunk()
	chunk := h.lent.Bytes
	if h.whole {
		for more := h.in.Pop(); more != nil; more = h.in.Pop() {
			chunk = append(slices.Clip(chunk), more...)
		}
		h.whole = false
	}
	h.taken += uint64(len(chunk))
	h.last = h.in.Ended && h.in.Len() == 0 && h.in.Trailers == nil
	h.exposed = true
	if h.buffering {
		if len(h.held)+len(chunk) > s.plugin.abi.cfg.BodyLimit {
			return s.tooLarge(h)
		}
		h.held, h.chunk = append(h.held, chunk...), nil
		h.lent.Done()
		h.lent = plugin.Chunk{}
	} else {
		h.chunk = chunk
	}
	end := uint64(0)
	if h.last {
		end = 1
	}
	h.came = len(*h.window())
	action, err := s.callFor(h, plugin.BodyPart, uint64(h.came), end)
	if err != nil {
		return err
	}
	if s.stopped() {
		return nil
	}
	if h.resume {
		h.resume, action = false, carryOn
	}
	return s.decide(h, action)
}

// decide does with a body what its callback has decided.
func (s *stream) decide(h *half, action uint32) error {
	if action == carryOn {
		s.goOn(h)
		return nil
	}
	h.paused = inBody
	// Envoy drops the chunk for any other action.
	if action == pauseAndBuffer || action == pauseAndWatermark {
		if len(h.held)+len(h.chunk) > s.plugin.abi.cfg.BodyLimit && action == pauseAndBuffer {
			return s.tooLarge(h)
		}
		if h.held == nil {
			h.held = slices.Clip(h.chunk)
		} else {
			h.held = append(h.held, h.chunk...)
		}
	}
	h.chunk, h.lent = nil, plugin.Chunk{}
	h.buffering = action == pauseAndBuffer
	return nil
}

func (s *stream) callTrailers(h *half) error {
	h.last = true
	h.trailers.set(h.in.Trailers)
	action, err := s.callFor(h, plugin.TrailersPart, uint64(len(h.trailers.list)))
	if err != nil {
		return err
	}
	if s.stopped() {
		return nil
	}
	if action == carryOn || h.resume {
		h.resume = false
		h.trailers.visible = false
		s.goOn(h)
		return nil
	}
	h.paused = atTrailers
	return nil
}

// release lets the headers go on, and with them the decision about the body.
func (s *stream) release(h *half) {
	m := h.msg
	m.Headers, m.Plan = h.headers.list, plugin.Untouched
	m.Reroute = s.reroute && h.Direction == plugin.Request
	switch {
	case h.local || !h.last && s.plugin.watches(h.Direction):
		m.Plan, m.WantBody = plugin.Replaced, !h.local
	default:
		h.ended = true
	}
	m.Released, h.released = true, true
	h.headers.own = false // what has gone on changes no more
	if h.local && h.last {
		m.Out.Ended, h.ended = true, true
	}
}

// goOn lets go on what is held back.
func (s *stream) goOn(h *half) {
	if h.paused == atHeaders {
		h.paused, h.whole = notPaused, true
		s.release(h)
		return
	}
	h.paused, h.exposed, h.buffering = notPaused, false, false
	h.given += uint64(len(h.held) + len(h.chunk))
	h.msg.Out.Push(h.held)
	h.msg.Out.PushChunk(h.ofChunk())
	h.held, h.chunk, h.lent = nil, nil, plugin.Chunk{}
	if h.last {
		h.msg.Out.Ended, h.msg.Out.Trailers = true, h.trailers.list
		h.ended = true
	}
}

// ofChunk is the chunk that the last body callback was about, lent if it still is what
// came.
func (h *half) ofChunk() plugin.Chunk {
	if len(h.chunk) == len(h.lent.Bytes) && unsafe.SliceData(h.chunk) == unsafe.SliceData(h.lent.Bytes) {
		return h.lent
	}
	return plugin.Chunk{Bytes: h.chunk}
}

// callFor makes a callback of a message, unless the plugin is not to be called for it.
func (s *stream) callFor(h *half, part plugin.Part, args ...uint64) (uint32, error) {
	if s.plugin.spec.VM.Skips[h.Direction][part] {
		return carryOn, nil
	}
	h.calling = true
	action, err := s.call(phaseCallbacks[h.Direction][part], args...)
	h.calling = false
	return action, err
}

// abort ends a message that goes no further.
func (h *half) abort() {
	h.ended = true
	h.held, h.chunk, h.lent, h.exposed, h.buffering = nil, nil, plugin.Chunk{}, false, false
}
