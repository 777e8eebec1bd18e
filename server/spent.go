package server

import (
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// A stream ends early when no plugin has anything more to do, and yet the proxy would
// show the response: as it was configured by hand, or for other plugins of the route
// than those that are left. It takes an end without an error for leave to go on. Where
// it stops by itself, as the configuration has been generated, an end of ours would only
// be one frame more: so that has to be learned.

// unasked notes that the proxy shows a response that nobody looks at.
func (p *process) unasked(m *codec.Message) {
	q := &p.ex.Request
	if m.Direction == plugin.Response && m.IsHeaders() && q.Arrived && !q.Unseen && p.chain.Over() {
		p.route.LearnUnasked()
	}
}

// spent says whether the stream is to end before the response is shown. Of a body that
// flows nothing must be on its way then, as the proxy keeps nothing of it: that of a
// response may be, as soon as the request has gone on.
func (p *process) spent() bool {
	q, r := &p.halves[plugin.Request], &p.halves[plugin.Response]
	switch {
	case q.headers != paid || r.headers != nothing || !p.chain.Over():
		return false
	case !p.route.Unasked() || flows(p.modes.body[plugin.Response]) || p.windows.on:
		return false
	case !p.since.IsZero():
		return false // a plugin is to be told of the response
	}
	return q.msg.NoBody || p.modes.body[plugin.Request] == none || q.settled(p.modes.body[plugin.Request])
}

// settled says whether a body that the proxy sends has come and gone on.
func (h *half) settled(mode bodyMode) bool {
	switch {
	case !h.over || len(h.chunks) > 0 || h.trailers == owed:
		return false
	case flows(mode):
		return h.sentEnd || h.trailers == paid
	}
	return true
}
