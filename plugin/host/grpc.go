package host

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/extproc/extproc/plugin"
)

// GRPCRequest begins a gRPC call to a cluster. The call owns what it refers to.
type GRPCRequest struct {
	Cluster   string
	Authority string // "" is the URL's
	Service   string // with its package: "grpc.health.v1.Health"
	Method    string
	// Metadata is sent as it is, names that belong to HTTP or gRPC left out: values
	// of "-bin" names are in base64 already, unless they have bytes that no header
	// may have.
	Metadata plugin.Headers
	// Unary says that Message is the only one there will be.
	Unary   bool
	Message []byte
	// Timeout is for all of a unary call, 0 leaves it to the cluster's
	// configuration; for a stream 0 is none.
	Timeout time.Duration
}

// GRPCStatus is how a call ended.
type GRPCStatus struct {
	Code    uint32
	Message string // as grpc-message has it, percent-encoded
}

// The codes that the host gives itself, as gRPC numbers them.
const (
	grpcOK                = 0
	grpcUnknown           = 2
	grpcDeadlineExceeded  = 4
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

// GRPCEvents hears what comes of a call, on a goroutine of the call and in this
// order: the initial metadata once, each message, the trailing metadata once,
// the end once. It is so for calls that fail, too, with metadata that is nil.
// After Cancel no event begins.
type GRPCEvents interface {
	OnInitialMetadata(plugin.Headers)
	// OnMessage owns the message. To block holds the peer back.
	OnMessage([]byte)
	OnTrailingMetadata(plugin.Headers)
	OnClose(GRPCStatus)
}

// GRPCStream is a call under way. Its methods don't block.
type GRPCStream struct{ call *grpcCall }

// Send sends a message, and with end closes the guest's half. ErrFull says that
// too much waits for the peer to take it, ErrClosed that the half is closed
// already or the call over.
func (s GRPCStream) Send(message []byte, end bool) error {
	c := s.call
	if int64(len(message)) > c.owner.limits.Message {
		return ErrFull
	}
	return c.out.push(frameOf(message), end)
}

// Close closes the guest's half.
func (s GRPCStream) Close() { _ = s.call.out.push(nil, true) } // it may be closed already

// Cancel ends the call.
func (s GRPCStream) Cancel() { s.call.drop() }

type grpcCall struct {
	*call
	events  GRPCEvents
	unary   bool
	due     time.Time // zero: never
	out     outgoing
	began   bool // OnInitialMetadata was called
	arrived int  // messages
}

// GRPC begins a call. The errors are ErrUnknownCluster, ErrBadArgument for names
// that make no path, ErrFull and ErrClosed.
func (c *Callouts) GRPC(r GRPCRequest, events GRPCEvents) (GRPCStream, error) {
	started, err := c.begin(r.Cluster, 0)
	if err != nil {
		return GRPCStream{}, err
	}
	g := &grpcCall{call: started, events: events, unary: r.Unary}
	g.out.init(started.owner)
	timeout := g.timeout(r)
	if timeout > 0 {
		g.due = time.Now().Add(timeout)
	}
	transport, err := c.client.transport(started.cluster, true)
	var req *http.Request
	if err == nil {
		req, err = g.open(r, timeout)
	}
	if err == nil && r.Unary {
		err = GRPCStream{g}.Send(r.Message, true)
	}
	if err != nil {
		_ = g.out.Close()
		started.end()
		return GRPCStream{}, err
	}
	timer := started.expire(timeout)
	stop := context.AfterFunc(started.ctx, func() { _ = g.out.Close() }) // it never fails
	go func() {
		g.run(transport, req)
		stop()
		if timer != nil {
			timer.Stop()
		}
		_ = g.out.Close()
		started.end()
	}()
	return GRPCStream{g}, nil
}

func (g *grpcCall) timeout(r GRPCRequest) time.Duration {
	if !r.Unary {
		return r.Timeout
	}
	return shortest(r.Timeout, g.cluster.Timeout, g.owner.limits.Timeout)
}

// open makes the request, as gRPC's protocol over HTTP/2 says.
func (g *grpcCall) open(r GRPCRequest, timeout time.Duration) (*http.Request, error) {
	if r.Service == "" || r.Method == "" {
		return nil, fmt.Errorf("the service is %q, the method %q: %w", r.Service, r.Method, ErrBadArgument)
	}
	metadata := make(plugin.Headers, 0, len(r.Metadata))
	for _, f := range r.Metadata {
		if !strings.HasPrefix(f.Name, ":") && !strings.HasPrefix(f.Name, "grpc-") && f.Name != "content-type" {
			metadata = append(metadata, plugin.Field{Name: f.Name, Value: metadataValue(f)})
		}
	}
	req, err := g.build(http.MethodPost, r.Authority, "/"+r.Service+"/"+r.Method, metadata)
	if err != nil {
		return nil, err
	}
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/2.0", 2, 0
	req.Body, req.ContentLength = &g.out, -1
	req.Header["Content-Type"] = []string{"application/grpc"}
	req.Header["Te"] = []string{"trailers"}
	if timeout > 0 {
		req.Header["Grpc-Timeout"] = []string{grpcTimeout(timeout)}
	}
	return req, nil
}

// grpcTimeout is a duration as grpc-timeout has it, at most 8 digits. It is
// rounded up, so that the server doesn't give up first.
func grpcTimeout(d time.Duration) string {
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{time.Millisecond, "m"}, {time.Second, "S"}, {time.Minute, "M"}} {
		if n := (d + unit.d - 1) / unit.d; n < 1e8 {
			return strconv.FormatInt(int64(n), 10) + unit.name
		}
	}
	return "99999999H"
}

func metadataValue(f plugin.Field) []byte {
	if strings.HasSuffix(f.Name, "-bin") && slices.ContainsFunc(f.Value, func(b byte) bool { return b < ' ' || b > '~' }) {
		return base64.RawStdEncoding.AppendEncode(nil, f.Value)
	}
	return f.Value
}

// fire lets the guest hear of an event, unless it has cancelled the call.
func (g *grpcCall) fire(event func()) bool {
	if g.state.Load() != running {
		return false
	}
	event()
	return true
}

// finish tells of the call's end.
func (g *grpcCall) finish(trailing plugin.Headers, status GRPCStatus) {
	if !g.began {
		g.began = true
		g.fire(func() { g.events.OnInitialMetadata(nil) })
	}
	if g.unary && status.Code == grpcOK && g.arrived == 0 {
		status = GRPCStatus{grpcInternal, "the response has no message"}
	}
	g.fire(func() { g.events.OnTrailingMetadata(trailing) })
	if g.state.CompareAndSwap(running, completed) {
		g.events.OnClose(status)
	}
}
