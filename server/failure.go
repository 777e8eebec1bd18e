package server

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
)

// fail ends an exchange that a plugin's policy refuses. An error that isn't a
// plugin's own is of what plugins want and the proxy can't be sent: the policy is
// still to be asked, and fail returns nil if the exchange goes on without them.
//
// The answer is 503, or what the failure asks for, as long as no response has gone out; after that the same
// answer makes the proxy cut the response, which is better than one that looks
// whole.
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
	if p.halves[plugin.Response].headers == paid {
		p.metrics.cut.Inc()
	}
	if err := p.send(refusing(err)); err != nil {
		return err
	}
	return errEnd
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

// Started implements plugin.Observer.
func (p *process) Started(i int) { p.meter(i).exchanges.Inc() }

// Ran implements plugin.Observer.
func (p *process) Ran(i int, took time.Duration) { p.meter(i).seconds.Add(took.Seconds()) }

// Failed implements plugin.Observer.
func (p *process) Failed(i int, err error, then plugin.Remedy) {
	log := p.log.With("plugin", p.name(i), "exchange", p.ex.ID, "error", err)
	if f := (*plugin.Failure)(nil); errors.As(err, &f) && len(f.Stack) > 0 {
		log = log.With("stack", f.Stack)
	}
	if i >= 0 {
		p.meter(i).failed(err)
	} else {
		for i := range p.plugins {
			p.meter(i).failed(err)
		}
	}
	p.remedied(log, then)
}

// Renewed implements plugin.Observer.
func (p *process) Renewed(i int, how plugin.Renewal) {
	log := p.log.With("plugin", p.name(i), "exchange", p.ex.ID)
	if how == plugin.RenewedSoon {
		p.meter(i).backoffs.Inc()
		log.Debug("the plugin's instances are not replaced yet again")
		return
	}
	p.meter(i).reloads.Inc()
	log.Warn("the plugin's instances are replaced")
}

func (p *process) remedied(log *slog.Logger, then plugin.Remedy) {
	switch then {
	case plugin.Finished:
		log.Warn("plugin failed after its work was done")
	case plugin.Passed:
		log.Error("plugin failed, the exchange goes on without it")
		p.metrics.allowed.Inc()
	default:
		log.Error("plugin failed, the exchange is refused")
		p.metrics.failed.Inc()
	}
}

// meter is the metrics of a plugin of the chain.
func (p *process) meter(i int) *meter {
	if p.meters[i] == nil {
		p.meters[i] = p.metrics.plugin(p.plugins[i].Spec.Name)
	}
	return p.meters[i]
}

// name is the name of a plugin of the chain, or of all if the place is -1.
func (p *process) name(i int) string {
	if i >= 0 {
		return p.plugins[i].Spec.Name
	}
	all := ""
	for i, one := range p.plugins {
		if i > 0 {
			all += ", "
		}
		all += one.Spec.Name
	}
	return all
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
