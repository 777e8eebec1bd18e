package server

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
)

// errMode: the guest wants what the proxy's processing mode does not allow.
var errMode = errors.New("the proxy's processing mode does not allow it")

// respond answers what one direction is owed, as far as it is decided. It says
// whether it took output off the guest.
func (p *process) respond(h *half) (moved bool, err error) {
	if h.headers == owed {
		if !h.msg.Released {
			return false, p.fetch(h)
		}
		if moved, err = p.answerHeaders(h); err != nil || h.headers == owed {
			return moved, err
		}
	}
	if !h.msg.Released && h.headers != nothing {
		return moved, nil
	}
	more := p.tooLate(h)
	switch {
	case h.msg.NoBody, h.cut:
	case p.modes.body[h.Direction] == duplex:
		more, err = p.stream(h)
	case p.modes.body[h.Direction] == messages:
		more, err = p.streamMessages(h)
	default:
		more, err = p.answerChunks(h)
	}
	if err != nil {
		return false, err
	}
	return moved || more, p.answerTrailers(h)
}

// fetch gets the body for a guest that wants it before the headers go on. Before
// the request headers' answer, an override may come as a message of its own.
// Before the response headers' answer Envoy takes none, so the headers are
// answered, and held back by asking for the body in one message, whose answer may
// still change them. Later exchanges of the plugin ask in time, see answerHeaders.
func (p *process) fetch(h *half) error {
	if !h.msg.WantBody || h.msg.NoBody || p.mute {
		return nil
	}
	switch mode := p.modes.body[h.Direction]; {
	case flows(mode):
		return nil
	case mode == buffered || mode == partial:
		h.headers = held
		return p.send(h.row(plugin.HeadersPart).plain)
	case mode == none && h.Direction == plugin.Request && !p.modes.fixed && !p.asked && !p.flowing:
		return p.askNow()
	case mode == none && h.Direction == plugin.Response && !p.modes.fixed && !p.upgrade():
		p.chain.Learn()
		p.modes.ask(plugin.Response, buffered)
		h.headers = held
		answer := p.newAnswer(h.Direction)
		defer p.doneWith(answer)
		answer.headers.Response = nil
		answer.resp.ModeOverride = p.modes.override()
		return p.send(&answer.resp)
	default:
		return fmt.Errorf("reading the %v before its headers go on (mode %v): %w", h.place(plugin.BodyPart, false).Phase, mode, errMode)
	}
}

// upgrade says whether the exchange becomes a tunnel, whose bytes never end.
func (p *process) upgrade() bool {
	code, _ := p.ex.Response.Original.Get(":status")
	return string(code) == "101" || p.method() == "CONNECT"
}

func (p *process) method() string {
	m, _ := p.ex.Request.Original.Get(":method")
	return string(m)
}

// askResponse asks for the response's body ahead of the response if the plugin
// is known to need it then: because it reads the body before it lets the headers
// go on, or because there may be trailers, see ask. A response to HEAD has none,
// and would lose its content-length.
func (p *process) askResponse() bool {
	if p.method() == "HEAD" || p.mute || p.modes.fixed || p.modes.body[plugin.Response] != none {
		return false
	}
	ever, first := p.chain.ReadsResponse()
	if !first && !(ever && takesTrailers(p.ex.Request.Original)) {
		return false
	}
	p.modes.ask(plugin.Response, duplex)
	return true
}

// ask asks for the body of a message whose headers are about to be answered, and
// says whether the answer is to carry the override.
//
// When a message has trailers but no body, and both came before the answer, Envoy
// 1.40 forgets to send the trailers that an override to full duplex in the answer
// asks for, and hangs. It does not if the override comes before the answer, which
// a request's may, nor in streamed mode.
func (p *process) ask(h *half) (within bool, err error) {
	switch {
	case p.mute:
		return false, nil
	case p.modes.fixed:
		return false, fmt.Errorf("replacing the %v: %w", h.place(plugin.BodyPart, false).Phase, errMode)
	case h.Direction == plugin.Response:
		p.chain.Learn()
		mode := duplex
		if mayLackBody(h.msg.Original) && hasTrailers(h.msg.Original) {
			mode = streamed
		}
		p.modes.ask(plugin.Response, mode)
		return true, nil
	case mayLackBody(h.msg.Original) && !p.asked:
		return false, p.askNow()
	default:
		p.modes.ask(plugin.Request, duplex)
		p.askResponse()
		return true, nil
	}
}

// askNow asks for the request's body with an override of its own. Envoy takes one
// such message, before the answer to the request headers.
func (p *process) askNow() error {
	p.asked = true
	p.modes.ask(plugin.Request, duplex)
	p.askResponse()
	return p.send(&extprocv3.ProcessingResponse{ModeOverride: p.modes.override()})
}

// answerHeaders sends the answer to the headers, unless their body must come with
// it and is not whole yet.
func (p *process) answerHeaders(h *half) (moved bool, err error) {
	answer := p.newAnswer(h.Direction)
	defer p.doneWith(answer)
	common := &answer.common
	newBody, ask, override := false, false, false
	if h.replaced() {
		switch mode := p.modes.body[h.Direction]; {
		case h.msg.NoBody || mode == none && h.msg.Out.Ended && len(h.msg.Out.Trailers) == 0:
			var done bool
			if moved, done, err = p.gather(h); err != nil || !done {
				return moved, err
			}
			newBody = p.replaceBody(h, common)
		default:
			newBody, ask = true, mode == none
		}
	}
	// The mutation comes first: if it fails, nothing must have been asked for that
	// the answer then doesn't ask for.
	if common.HeaderMutation, err = p.mutation(&answer.changes, h, newBody); err != nil {
		return moved, err
	}
	if ask {
		if override, err = p.ask(h); err != nil {
			return false, err
		}
	}
	if h.Direction == plugin.Request && p.askResponse() {
		override = true
	}
	common.ClearRouteCache = h.reroutes(common.HeaderMutation)
	h.pay()
	if common.HeaderMutation == nil && common.BodyMutation == nil && !common.ClearRouteCache && !override {
		return moved, p.send(h.row(plugin.HeadersPart).plain)
	}
	if override {
		answer.resp.ModeOverride = p.modes.override()
	}
	return moved, p.send(&answer.resp)
}

// mutation is what the guest made of the headers, in memory that is used once.
func (p *process) mutation(d *difference, h *half, newBody bool) (*extprocv3.HeaderMutation, error) {
	to := h.msg.Original
	if h.msg.Released {
		to = h.msg.Headers
	}
	m, rejected, err := d.mutation(h.msg.Original, to, h.place(plugin.HeadersPart, newBody))
	p.reject(rejected, "header mutations")
	return m, err
}

// reroutes says whether the route is to be chosen anew: it may depend on any field
// of the request.
func (h *half) reroutes(m *extprocv3.HeaderMutation) bool {
	return h.Direction == plugin.Request && (m != nil || h.msg.Reroute)
}

func (p *process) reject(n int, what string) {
	if n == 0 {
		return
	}
	p.metrics.rejected.Add(float64(n))
	p.logger().Warn("dropped", "what", what, "count", n, "plugin", p.name(-1))
}

// gather takes the guest's body as far as it is there, and says whether it is whole.
func (p *process) gather(h *half) (moved, done bool, err error) {
	out := &h.msg.Out
	for chunk := out.Pop(); chunk != nil; chunk = out.Pop() {
		moved = true
		if len(h.gathered)+len(chunk) > p.limits.Buffered {
			return moved, false, fmt.Errorf("the %v must be sent whole and is longer than %d bytes: %w",
				h.place(plugin.BodyPart, false).Phase, p.limits.Buffered, errTooLarge)
		}
		if h.gathered == nil {
			h.gathered = chunk
			continue
		}
		h.gathered = append(h.gathered, chunk...)
	}
	return moved, out.Ended, nil
}

// replaceBody puts the gathered body into the answer to the headers. What was to
// come of the original body is then never sent, nor its trailers.
func (p *process) replaceBody(h *half, common *extprocv3.CommonResponse) bool {
	p.reject(len(h.msg.Out.Trailers), "trailers where none can be sent")
	if len(h.gathered) > 0 && h.Direction == plugin.Response && plugin.Bodiless(p.ex.Request.Original, h.msg.Headers) {
		h.gathered = nil
		p.reject(1, "body of a response that has none")
	}
	if len(h.gathered) == 0 && h.msg.NoBody {
		return false
	}
	common.Status = extprocv3.CommonResponse_CONTINUE_AND_REPLACE
	common.BodyMutation = wholeBody(h.gathered)
	h.gathered, h.cut = nil, true
	return true
}

func wholeBody(b []byte) *extprocv3.BodyMutation {
	if len(b) == 0 {
		return &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_ClearBody{ClearBody: true}}
	}
	return &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: b}}
}

// answerChunks answers the body messages that want one answer each.
func (p *process) answerChunks(h *half) (moved bool, err error) {
	whole := p.modes.body[h.Direction] != streamed
	for len(h.chunks) > 0 {
		common := &extprocv3.CommonResponse{}
		if h.replaced() {
			m, done, err := p.gather(h)
			moved = moved || m
			if err != nil {
				return moved, err
			}
			if !done && (whole || h.chunks[0].last || h.msg.In.Len() > 0) {
				return moved, nil
			}
			if first := h.chunks[0].first; first == nil {
				common.BodyMutation = wholeBody(h.gathered)
			} else if !bytes.Equal(first, h.gathered) {
				return moved, fmt.Errorf("changing the %v, whose rest may pass unseen (mode %v): %w", h.place(plugin.BodyPart, false).Phase, p.modes.body[h.Direction], errMode)
			}
			h.gathered = nil
		} else {
			h.msg.In.Discard()
		}
		if h.headers == held {
			if err := p.release(h, common); err != nil {
				return moved, err
			}
		}
		h.chunks = h.chunks[1:]
		resp := h.row(plugin.BodyPart).plain
		if common.BodyMutation != nil || common.HeaderMutation != nil || common.ClearRouteCache {
			resp = h.row(plugin.BodyPart).body(&extprocv3.BodyResponse{Response: common})
		}
		if err := p.send(resp); err != nil {
			return moved, err
		}
	}
	return moved, nil
}

// release puts the mutation of held headers into the answer to their body. A
// buffered body must have the length that the headers say.
func (p *process) release(h *half, common *extprocv3.CommonResponse) error {
	h.pay()
	m, err := p.mutation(new(difference), h, common.BodyMutation != nil)
	if err != nil {
		return err
	}
	if _, ok := h.msg.Original.Get("content-length"); ok && common.BodyMutation != nil {
		m.RemoveHeaders = without(m.RemoveHeaders, "content-length")
		length := strconv.Itoa(len(common.BodyMutation.GetBody()))
		m.SetHeaders = append(m.SetHeaders, option(plugin.Field{Name: "content-length", Value: []byte(length)}, false))
	}
	common.HeaderMutation, common.ClearRouteCache = m, h.reroutes(m)
	return nil
}

func without(names []string, name string) []string {
	kept := names[:0]
	for _, n := range names {
		if n != name {
			kept = append(kept, n)
		}
	}
	return kept
}

// answerTrailers answers the trailers once the body is out. They always want an
// answer, be it after a body that was ended early.
func (p *process) answerTrailers(h *half) error {
	if h.trailers != owed || len(h.chunks) > 0 || p.blocked(h) {
		return nil
	}
	if h.headers == held {
		// No body came to change the headers with.
		m, err := p.mutation(new(difference), h, false)
		if err != nil {
			return err
		}
		p.reject(len(m.GetSetHeaders())+len(m.GetRemoveHeaders()), "changes of headers that had to go on before their body")
		h.pay()
	}
	to := h.msg.In.Trailers
	// Trailers after the end of a full-duplex body are none that a proxy should send,
	// and are answered behind it all the same.
	if h.replaced() && (!h.unseen || flows(p.modes.body[h.Direction])) {
		if !h.msg.Out.Ended {
			return nil
		}
		if h.msg.Out.Len()+len(h.gathered) > 0 {
			return fmt.Errorf("adding to the %v after its last part: %w", h.place(plugin.BodyPart, false).Phase, errMode)
		}
		if !h.unseen {
			to = h.msg.Out.Trailers
		}
	}
	h.trailers = paid
	m, rejected, err := mutation(h.msg.In.Trailers, to, h.place(plugin.TrailersPart, false))
	p.reject(rejected, "trailer mutations")
	if err != nil {
		return err
	}
	row := h.row(plugin.TrailersPart)
	if m == nil {
		return p.send(row.plain)
	}
	return p.send(row.trailers(&extprocv3.TrailersResponse{HeaderMutation: m}))
}
