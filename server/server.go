// Package server is the ext_proc gRPC service: it takes the phases of an HTTP
// exchange from the proxy, lets a plugin act on them and answers with what
// changed. It is the only package that knows the protocol.
package server

import (
	"cmp"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
)

// Options of a Service. The zero value has sensible defaults but no log.
type Options struct {
	Log *slog.Logger
	// Metrics is where the service registers its metrics; nil is nowhere.
	Metrics prometheus.Registerer
	// Tracer makes the spans of exchanges; nil makes none.
	Tracer trace.Tracer
	// Queued is how many bytes of a body may wait for a guest that waits for
	// something else before the proxy is left to wait too. Default 1 MiB.
	Queued int
	// Buffered is how many bytes of one body the server holds at most; an exchange
	// that needs more fails. Default 16 MiB.
	Buffered int
	// Bodies is how many bytes of bodies the server holds for all exchanges together
	// before those that hold some have to wait. Default 1 GiB.
	Bodies int64
	// Streams is how many exchanges may be under way; 0 is any number.
	Streams int
	// MessageTimeout is how long the proxy waits for an answer, if it is known: the
	// policy of the plugin that keeps it waiting is applied a little before.
	MessageTimeout time.Duration
	// MaxMessageTimeout is how long it waits when it is asked to, for a plugin that
	// waits for something else. 0 says that it can't be asked.
	MaxMessageTimeout time.Duration
	// Idle is for how long nothing may happen in an exchange. Default 10 minutes;
	// less than 0 is for ever.
	Idle time.Duration
}

// Service serves exchanges with the current plugins.
type Service struct {
	extprocv3.UnimplementedExternalProcessorServer

	log    *slog.Logger
	limits limits
	// lingering is how long a guest may work on after its exchange.
	lingering time.Duration
	metrics   *metrics
	current   *plugin.Current
	tracer    trace.Tracer
	ids       atomic.Uint64
	roster    roster
	end       ending
	memory    memory
	live      atomic.Int64 // streams
	answers   sync.Pool    // of headersAnswers that are all zero
}

// New makes a service of the plugins that are current at any time.
func New(current *plugin.Current, opts Options) *Service {
	s := &Service{
		log:       opts.Log,
		limits:    newLimits(opts),
		lingering: lingering,
		current:   current,
		tracer:    opts.Tracer,
		end:       ending{over: make(chan struct{})},
		answers:   sync.Pool{New: func() any { return new(headersAnswer) }},
	}
	s.memory.most = cmp.Or(opts.Bodies, 1<<30)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if opts.Metrics == nil {
		opts.Metrics = prometheus.NewRegistry()
	}
	s.metrics = newMetrics(opts.Metrics, current)
	gauge(opts.Metrics, "streams_active", "Streams under way.", s.live.Load)
	gauge(opts.Metrics, "body_bytes", "Bytes of bodies that are held for all exchanges.", s.memory.used.Load)
	return s
}

// Process serves one exchange.
func (s *Service) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	set, err := s.begin(stream)
	if set == nil {
		return err
	}
	p := &process{}
	p.init(s, set, stream)
	return p.run()
}

// begin takes an exchange and says which plugins see it. If none do, the error is the
// stream's end.
func (s *Service) begin(stream extprocv3.ExternalProcessor_ProcessServer) (*plugin.Set, error) {
	set := s.current.Acquire()
	if set == nil {
		return nil, status.Error(codes.Unavailable, plugin.ErrStarting.Error())
	}
	s.metrics.started.Inc()
	if n := s.live.Add(1); s.limits.streams > 0 && n > s.limits.streams {
		s.live.Add(-1)
		return nil, errors.Join(s.tooMany(set, stream), set.Release())
	}
	return set, nil
}

// tooMany refuses a stream beyond the limit, or lets the exchange pass unseen if
// its plugins may be passed over. That costs next to nothing, as it must.
func (s *Service) tooMany(set *plugin.Set, stream extprocv3.ExternalProcessor_ProcessServer) error {
	s.metrics.refused.Inc()
	for _, p := range set.Plugins {
		if p.Spec.FailStrategy != plugin.FailOpen {
			s.metrics.failed.Inc()
			return status.Errorf(codes.ResourceExhausted, "%d exchanges are under way", s.limits.streams)
		}
	}
	if !s.passes(stream) {
		s.metrics.failed.Inc()
		_ = stream.Send(refusing(plugin.ErrRefused)) // the proxy may be gone
		return nil
	}
	s.metrics.allowed.Inc()
	return nil
}

// glance is how long the first message of a stream that is not served may take.
const glance = time.Second

// passes says whether a stream may end unanswered: of a body that flows, the proxy
// has not kept what it has sent.
func (s *Service) passes(stream extprocv3.ExternalProcessor_ProcessServer) bool {
	in := newInbox(stream, nil)
	m, err := in.nextOr(nil, plugin.Now().In(glance))
	if m == nil || err != nil {
		return true
	}
	request := m.IsHeaders() && m.Direction == plugin.Request
	if request && m.End {
		return true
	}
	c := m.Rest.GetProtocolConfig()
	return !flows(c.GetRequestBodyMode()) && (request || !flows(c.GetResponseBodyMode()))
}

func (p *process) init(s *Service, set *plugin.Set, stream extprocv3.ExternalProcessor_ProcessServer) {
	p.Service, p.set, p.ctx, p.in = s, set, stream.Context(), newInbox(stream, s.end.over)
	p.began = time.Now()
	p.ex.ID, p.ex.Attributes = s.ids.Add(1), &p.told
	p.patience.begin(p)
	s.roster.add(p)
	for d := range p.halves {
		p.halves[d].Direction = plugin.Direction(d)
		p.halves[d].msg = p.ex.Message(plugin.Direction(d))
	}
}
