package server

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// observed is what is kept of an exchange for those who operate the server.
type observed struct {
	began time.Time
	step  int    // what the plugins are stepped for, see stepNames
	spans *spans // nil if the exchange is not traced
}

// came takes note of a message, or that a plugin woke up, before it is acted on.
func (p *process) came(m *codec.Message) {
	p.step = step(m.Phase)
	if m.IsBody() {
		p.metrics.bodies[m.Direction][0].Add(float64(len(m.Body)))
	}
	if p.tracer != nil && p.spans == nil && m.IsHeaders() && m.Direction == plugin.Request {
		p.trace()
	}
}

// went takes note of an answer.
func (p *process) went(resp *extprocv3.ProcessingResponse) {
	var d plugin.Direction
	var body *extprocv3.CommonResponse
	switch r := resp.Response.(type) {
	case *extprocv3.ProcessingResponse_RequestHeaders:
		body = r.RequestHeaders.GetResponse()
	case *extprocv3.ProcessingResponse_RequestBody:
		body = r.RequestBody.GetResponse()
	case *extprocv3.ProcessingResponse_ResponseHeaders:
		d, body = plugin.Response, r.ResponseHeaders.GetResponse()
	case *extprocv3.ProcessingResponse_ResponseBody:
		d, body = plugin.Response, r.ResponseBody.GetResponse()
	case *extprocv3.ProcessingResponse_ImmediateResponse:
		p.metrics.bodies[plugin.Response][1].Add(float64(len(r.ImmediateResponse.GetBody())))
	case *extprocv3.ProcessingResponse_StreamedImmediateResponse:
		p.metrics.bodies[plugin.Response][1].Add(float64(len(r.StreamedImmediateResponse.GetBodyResponse().GetBody())))
	}
	if m := body.GetBodyMutation(); m != nil {
		p.metrics.bodies[d][1].Add(float64(len(m.GetBody()) + len(m.GetStreamedResponse().GetBody())))
	}
}

// ended takes note of the exchange's end.
func (p *process) ended(err error) {
	if p.route == nil {
		return // nothing has come
	}
	how := outcomePassed
	switch {
	case err != nil:
		how = outcomeBroken
	case p.refused:
		how = outcomeRefused
	case p.chain.Local():
		how = outcomeLocal
	}
	p.metrics.ended(p.route.Name, how, codeNames[status.Code(err)], time.Since(p.began))
	p.spans.end(outcomeNames[how], err)
}

// codeNames are the codes of gRPC as OpenTelemetry has them.
var codeNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// logger is the log with what tells the exchange from others.
func (p *process) logger() *slog.Logger {
	log := p.log.With("exchange", p.ex.ID)
	if id, ok := p.ex.Request.Original.Get("x-request-id"); ok {
		log = log.With("x-request-id", string(id[:min(len(id), maxLogged)]))
	}
	if p.route != nil && p.route.Name != "" {
		log = log.With("route", p.route.Name)
	}
	return log
}

// maxLogged is how much of a header gets into the log.
const maxLogged = 128

// Started implements plugin.Observer.
func (p *process) Started(i int) {
	p.meter(i).exchanges.Inc()
	p.spans.started(p, i)
}

// Ran implements plugin.Observer.
func (p *process) Ran(i int, took time.Duration) {
	p.meter(i).ran(p.step, took)
	p.spans.ran(i, stepNames[p.step], took)
}

// Failed implements plugin.Observer.
func (p *process) Failed(i int, err error, then plugin.Remedy) {
	log := p.logger().With("plugin", p.name(i), "error", err)
	if f := (*plugin.Failure)(nil); errors.As(err, &f) && len(f.Stack) > 0 {
		log = log.With("stack", f.Stack)
	}
	if i >= 0 {
		p.meter(i).failed(err, then)
	} else {
		for i := range p.plugins {
			p.meter(i).failed(err, then)
		}
	}
	p.spans.failed(i, err, then)
	p.remedied(log, then)
}

// Renewed implements plugin.Observer.
func (p *process) Renewed(i int, how plugin.Renewal) {
	log := p.logger().With("plugin", p.name(i))
	if how == plugin.RenewedSoon {
		p.meter(i).spare.Inc()
		log.Debug("the plugin's instances are not replaced yet again")
		return
	}
	p.meter(i).reloaded.Inc()
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
	all := make([]string, len(p.plugins))
	for i, one := range p.plugins {
		all[i] = one.Spec.Name
	}
	return strings.Join(all, ", ")
}
