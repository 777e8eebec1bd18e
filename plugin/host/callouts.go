package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/extproc/extproc/plugin"
)

// Why a call isn't begun.
var (
	ErrUnknownCluster = errors.New("no such cluster under the plugin's callouts")
	ErrClosed         = errors.New("closed")
)

// CalloutLimits bounds the calls of one plugin.
type CalloutLimits struct {
	// Calls is how many may be under way at once, streams included.
	Calls int64
	// Bytes is how many the calls under way may hold, in requests and responses
	// together.
	Bytes int64
	// Message is how many bytes one response or gRPC message may have.
	Message int64
	// Timeout is how long a call may take that has no timeout of its own; gRPC
	// streams may take as long as they like.
	Timeout time.Duration
}

// DefaultCalloutLimits are in force unless others are given.
var DefaultCalloutLimits = CalloutLimits{Calls: 1024, Bytes: 128 << 20, Message: 32 << 20, Timeout: time.Minute}

// Callouts are the calls of one plugin to its clusters, and to nothing else.
// Redirects are responses like any other. They are safe for concurrent use.
type Callouts struct {
	client   *Client
	clusters map[string]*plugin.Cluster
	limits   CalloutLimits
	denials  denials
	calls    atomic.Int64
	bytes    atomic.Int64
	ctx      context.Context
	close    context.CancelFunc
}

func newCallouts(client *Client, clusters map[string]*plugin.Cluster, limits CalloutLimits, log *slog.Logger) *Callouts {
	d := DefaultCalloutLimits
	for _, l := range []struct{ to, otherwise *int64 }{
		{&limits.Calls, &d.Calls}, {&limits.Bytes, &d.Bytes}, {&limits.Message, &d.Message},
	} {
		if *l.to == 0 {
			*l.to = *l.otherwise
		}
	}
	if limits.Timeout == 0 {
		limits.Timeout = d.Timeout
	}
	c := &Callouts{client: client, clusters: clusters, limits: limits, denials: denials{log: log}}
	c.ctx, c.close = context.WithCancel(context.Background())
	return c
}

// Close cancels every call, and lets none begin.
func (c *Callouts) Close() { c.close() }

// call is what HTTP and gRPC calls have in common.
type call struct {
	owner   *Callouts
	name    string // of the cluster
	cluster *plugin.Cluster
	ctx     context.Context
	cancel  context.CancelCauseFunc
	held    int64
	state   atomic.Int32
}

// The states of a call. It leaves the first one once.
const (
	running int32 = iota
	completed
	cancelled
)

// errTimeout is the cause of a call's end when its time was up.
var errTimeout = &Error{Code: "connection-read-timeout"}

// begin takes a place for a call that holds so many bytes. The error is as HTTP
// and GRPC say it. The call is to be ended.
func (c *Callouts) begin(cluster string, held int) (*call, error) {
	started, err := c.place(cluster, held)
	if err != nil {
		c.denials.report(cluster, err)
		return nil, err
	}
	started.ctx, started.cancel = context.WithCancelCause(c.ctx)
	return started, nil
}

func (c *Callouts) place(cluster string, held int) (*call, error) {
	found := c.clusters[cluster]
	switch {
	case found == nil:
		return nil, fmt.Errorf("%.100q: %w", cluster, ErrUnknownCluster)
	case c.ctx.Err() != nil:
		return nil, ErrClosed
	}
	if c.calls.Add(1) > c.limits.Calls {
		c.calls.Add(-1)
		return nil, fmt.Errorf("%d callouts are under way, as many as limits.callouts allows: %w", c.limits.Calls, ErrFull)
	}
	started := &call{owner: c, name: cluster, cluster: found}
	if !started.hold(held) {
		c.calls.Add(-1)
		return nil, fmt.Errorf("callouts hold as many bytes as limits.calloutBytes allows, %d: %w", c.limits.Bytes, ErrFull)
	}
	return started, nil
}

// full reports whether the calls hold as much as they may.
func (c *Callouts) full() bool { return c.bytes.Load() >= c.limits.Bytes }

// end gives the call's place back.
func (c *call) end() {
	c.cancel(nil)
	c.owner.bytes.Add(-c.held)
	c.owner.calls.Add(-1)
}

// hold counts n bytes more, or less. It returns false if they are too many. Only
// the goroutine that ends the call holds.
func (c *call) hold(n int) bool {
	if c.owner.bytes.Add(int64(n)) > c.owner.limits.Bytes && n > 0 {
		c.owner.bytes.Add(-int64(n))
		return false
	}
	c.held += int64(n)
	return true
}

// expire ends the call after the shortest of the timeouts that are not 0. The
// timer is to be stopped.
func (c *call) expire(timeouts ...time.Duration) *time.Timer {
	least := shortest(timeouts...)
	if least == 0 {
		return nil
	}
	return time.AfterFunc(least, func() { c.cancel(errTimeout) })
}

// drop cancels the call: what is complete stays so, what isn't never will be.
func (c *call) drop() {
	c.state.CompareAndSwap(running, cancelled)
	c.cancel(context.Canceled)
}

// failure is why the call was cancelled, or else what err means.
func (c *call) failure(err error) *Error {
	var known *Error
	if !errors.As(context.Cause(c.ctx), &known) {
		known = classify(err)
	}
	if known.Code == prohibited {
		c.owner.denials.report(c.name, known)
	}
	return known
}
