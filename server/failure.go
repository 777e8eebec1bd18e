package server

import (
	"errors"
	"net/http"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
)

// fail ends an exchange that a plugin's policy refuses. An error that isn't a
// plugin's own is of what plugins want and the proxy can't be sent: the policy is
// still to be asked, and fail returns nil if the exchange goes on without them.
//
// The answer is 503, or what the failure asks for, as long as no response has gone
// out; after that the same answer makes the proxy cut the response, which is better
// than one that looks whole.
func (p *process) fail(err error) error {
	if p.ctx.Err() != nil {
		return errGone // the exchange is over, and nobody has failed
	}
	if !errors.Is(err, plugin.ErrRefused) {
		err = p.chain.Fail(err)
		for i := range p.halves {
			if h := &p.halves[i]; h.headers != paid {
				h.gathered, h.cut = nil, false
			}
		}
	}
	switch {
	case err == nil:
		return nil
	case p.flowing:
		return errBroken
	}
	p.refused = true
	if p.responding() {
		p.metrics.cut.Inc()
	}
	if err := p.send(refusing(err)); err != nil {
		return err
	}
	return errEnd
}

// responding says whether the client is being sent the response. Of one that the
// proxy buffers it has nothing before the body is answered.
func (p *process) responding() bool {
	h := &p.halves[plugin.Response]
	if mode := p.modes.body[plugin.Response]; !h.msg.NoBody && (mode == buffered || mode == partial) {
		return h.headers == paid && h.over && len(h.chunks) == 0
	}
	return h.headers == paid
}

// refusing is the answer to an exchange that is refused: a status and a mark, and
// nothing of what went wrong inside.
func refusing(err error) *extprocv3.ProcessingResponse {
	no := &plugin.Refusal{Status: http.StatusServiceUnavailable}
	errors.As(err, &no)
	marked := &extprocv3.HeaderMutation{}
	for _, f := range no.Headers() {
		if f.Name[0] != ':' {
			marked.SetHeaders = append(marked.SetHeaders, option(f, false))
		}
	}
	return immediate(no.Status, marked, nil, plugin.FailureDetails)
}
