package server

import (
	"context"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// In observability mode the proxy shows the exchange and waits for nothing. It says
// neither which bodies it will send nor, for those that it doesn't, that they are
// over: what comes later tells.

// shown ends the body of a request whose response is shown.
func (p *process) shown(m *codec.Message) {
	if p.mute && m.Direction == plugin.Response {
		p.halves[plugin.Request].isOver()
	}
}

// shownAll ends what is open when the proxy shows no more, and lets the plugins take
// it in.
func (p *process) shownAll() {
	if !p.mute || p.chain.Over() {
		return
	}
	for i := range p.halves {
		p.halves[i].isOver()
	}
	_ = p.advanceShown() // nobody is answered
}

func (p *process) advanceShown() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), p.lingering)
	defer cancel()
	for {
		if err := p.chain.Step(ctx); err != nil {
			return err
		}
		if moved, err := p.answer(); err != nil || !moved {
			return err
		}
	}
}

// isOver notes that nothing more of a message will come.
func (h *half) isOver() {
	if h.msg.Arrived && !h.over {
		h.over, h.begun, h.msg.In.Ended = true, true, true
	}
}
