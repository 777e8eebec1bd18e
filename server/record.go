package server

import (
	"time"

	"github.com/extproc/extproc/plugin"
)

// logs says whether a plugin wants to hear of exchanges that have ended.
func (p *process) logs() bool {
	for _, one := range p.plugins {
		if one.Logger != nil {
			return true
		}
	}
	return false
}

// tell tells the plugins that want to hear of it what has become of the exchange.
// All plugins are done with it.
func (p *process) tell() {
	if p.since.IsZero() || !p.ex.Request.Arrived {
		return
	}
	r := &plugin.Record{Exchange: p.ex, Began: p.since, Took: time.Since(p.since), Outcome: p.outcome()}
	for d := range p.halves {
		h := &p.halves[d]
		refused := r.Outcome == plugin.Rejected && h.Direction == plugin.Response
		if m := h.msg; (m.Arrived || m.Released) && !refused {
			r.Messages[d] = m.Sent(p.modes.body[d] != none)
		}
	}
	for d := range p.halves { // what is left of the bodies is not to be kept
		m := r.Exchange.Message(plugin.Direction(d))
		m.In = plugin.Body{Ended: m.In.Ended, Trailers: m.In.Trailers}
		m.Out = plugin.Body{}
	}
	for _, one := range p.plugins {
		if one.Logger != nil {
			one.Logger.Log(r)
		}
	}
}

// outcome is how the exchange has ended, as far as that is to be known here: a
// proxy that isn't asked for the body of a response doesn't tell how it ended.
func (p *process) outcome() plugin.Outcome {
	response := &p.halves[plugin.Response]
	switch {
	case p.refused:
		return plugin.Rejected
	case p.chain.Local() && response.msg.Complete():
		return plugin.Answered
	case response.headers == paid && (!response.begun || response.over || response.sentEnd):
		return plugin.Completed
	}
	return plugin.Aborted
}
