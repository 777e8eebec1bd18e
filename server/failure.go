package server

import (
	"errors"
	"net/http"

	"github.com/extproc/extproc/plugin"
)

// fail turns an error of the guest, or of what the guest wanted, into the
// plugin's policy. It returns nil if the exchange goes on without the guest.
//
//   - The guest had done all it had to: the exchange goes on.
//   - FAIL_OPEN, and nothing that the guest took or gave is missing: the exchange
//     goes on, and what was not released passes as it came.
//   - Else the answer is 503, as long as no response has gone out; after that the
//     same answer makes the proxy cut the response, which is better than one that
//     looks whole.
func (p *process) fail(err error) error {
	p.end()
	if p.ctx.Err() != nil {
		return errGone // the client went away, and the guest's wait ended with it
	}
	spec := p.plugin.Spec
	p.meter.failed(err)
	intact := !p.local
	// What the guest has released and the proxy must not be sent is not done.
	complete := !p.local && !errors.Is(err, errTooLarge) && !errors.Is(err, errMode)
	for i := range p.halves {
		intact = intact && p.halves[i].intact()
		complete = complete && p.halves[i].complete()
	}
	again := p.pass
	p.pass = true
	log := p.log.With("plugin", spec.Name, "exchange", p.ex.ID, "error", err)
	if f := (*plugin.Failure)(nil); errors.As(err, &f) && len(f.Stack) > 0 {
		log = log.With("stack", f.Stack)
	}
	switch {
	case complete && !again:
		log.Warn("plugin failed after its work was done")
		return nil
	case spec.FailStrategy == plugin.FailOpen && intact && !again:
		for i := range p.halves {
			p.halves[i].revert()
		}
		log.Error("plugin failed, the exchange goes on without it")
		p.metrics.allowed.Inc()
		return nil
	}
	log.Error("plugin failed, the exchange is refused")
	p.metrics.failed.Inc()
	if err := p.send(immediate(http.StatusServiceUnavailable, nil, nil, "extproc_plugin_failed")); err != nil {
		return err
	}
	return errEnd
}

// failed counts a failure by its kind.
func (m *meter) failed(err error) {
	m.failures.Inc()
	switch {
	case errors.Is(err, plugin.ErrTimeout):
		m.timeouts.Inc()
	case errors.Is(err, plugin.ErrTrap):
		m.traps.Inc()
	}
}
