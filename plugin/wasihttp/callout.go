package wasihttp

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// options is the resource request-options: durations, by kind.
type options [3]option64

type option64 struct {
	n  uint64
	ok bool
}

// timeout is one of the options.
type timeout int

const (
	connectTimeout timeout = iota
	firstByteTimeout
	betweenBytesTimeout
)

func (t timeout) get(_ *guest, c *abi.Call) error {
	o := c.Args[0].Obj.(*options)[t]
	c.ReturnNone()
	if o.ok {
		c.Result = c.Some(abi.U64(o.n))
	}
	return nil
}

func (t timeout) set(_ *guest, c *abi.Call) error {
	c.Args[0].Obj.(*options)[t] = option64{c.Args[1].Payload().Num, c.Args[1].Num == 1}
	c.ReturnOk()
	return nil
}

// duration is the option, 0 when it is not set.
func (o *options) duration(t timeout) time.Duration {
	if o == nil || !o[t].ok {
		return 0
	}
	return max(1, time.Duration(min(o[t].n, math.MaxInt64)))
}

func (o *options) timeouts() host.Timeouts {
	return host.Timeouts{
		Connect: o.duration(connectTimeout), FirstByte: o.duration(firstByteTimeout), BetweenBytes: o.duration(betweenBytesTimeout),
	}
}

func newRequestOptions(_ *guest, c *abi.Call) error {
	c.ReturnOwn(&options{})
	return nil
}

// outgoingHandle sends a request: to a service that is declared for its
// authority, or else on down the chain, which can be done once.
func outgoingHandle(g *guest, c *abi.Call) error {
	o := c.Args[0].Obj.(*outgoing)
	var opts *options
	if c.Args[1].Num == 1 {
		opts = c.Args[1].Payload().Obj.(*options)
	}
	if o.path.string == "" {
		o.path = option{"/", o.method != "CONNECT"}
	}
	if o.authority.ok && g.mod.spec.Callouts[o.authority.string] != nil {
		future, err := g.callOut(o, o.authority.string, o.authority.string, opts)
		if err != nil {
			c.Result = c.Err(codeOf(err).value(c, c.ResultType().Cases[1].Type))
			return nil
		}
		c.ReturnOkOwn(future)
		return nil
	}
	if code, ok := g.chainClosed(); ok {
		dropOutgoing(g, o)
		c.Result = c.Err(code.value(c, c.ResultType().Cases[1].Type))
		return nil
	}
	g.chain.limit = opts.duration(firstByteTimeout)
	o.send(g, &g.ex.Request)
	c.ReturnOkOwn(&g.chain)
	return nil
}

// calloutSend sends a request to a cluster by its name.
func calloutSend(g *guest, c *abi.Call) error {
	o := c.Args[1].Obj.(*outgoing)
	var opts *options
	if c.Args[2].Num == 1 {
		opts = c.Args[2].Payload().Obj.(*options)
	}
	cluster := g.mod.spec.Callouts[c.Args[0].Str]
	if cluster == nil {
		dropOutgoing(g, o)
		c.Result = c.ErrCase("no-such-cluster")
		return nil
	}
	if o.path.string == "" {
		o.path = option{"/", o.method != "CONNECT"}
	}
	authority := cluster.URL.Host
	if o.authority.ok {
		authority = o.authority.string
	}
	future, err := g.callOut(o, c.Args[0].Str, authority, opts)
	switch {
	case errors.Is(err, host.ErrFull):
		c.Result = c.ErrCase("too-many")
	case err != nil:
		c.Result = c.ErrCase("request", requestError(c, err))
	default:
		c.ReturnOkOwn(future)
	}
	return nil
}

// requestError is the payload of the case request of the interface's error.
func requestError(c *abi.Call, err error) abi.Value {
	for _, one := range c.ResultType().Cases[1].Type.Cases {
		if one.Name == "request" && one.Type != nil {
			return codeOf(err).value(c, one.Type)
		}
	}
	return abi.Value{} // and ErrCase traps
}

// callOut begins a call of a service. A request of gRPC says that trailers may
// come, which guests can't, and needs HTTP/2.
func (g *guest) callOut(o *outgoing, cluster, authority string, opts *options) (*futureResponse, error) {
	headers, grpc := o.fields.list, false
	if kind, _ := headers.Get("content-type"); strings.HasPrefix(view(kind), "application/grpc") {
		grpc = true
		headers = append(headers[:len(headers):len(headers)], plugin.Field{Name: "te", Value: []byte("trailers")})
	}
	call, err := g.mod.services.Callouts.Start(g.lifetime(), &host.Request{
		Method: o.method, Cluster: cluster, HTTP2: grpc, Authority: string(raw(authority)), Path: string(raw(o.path.string)),
		Headers: headers, NoBody: !o.body.made, ContentLength: contentLength(o.fields.list),
		Timeouts: opts.timeouts(), Notify: g.wake.Ring,
	})
	dropOutgoing(g, o)
	if err != nil {
		return nil, err
	}
	if len(g.calls) == cap(g.calls) {
		g.calls = slices.DeleteFunc(g.calls, (*host.Call).Done) // or a guest that calls for ever would fill the memory
	}
	g.calls = append(g.calls, call)
	o.sendTo(g, call)
	return &futureResponse{call: call}, nil
}

// chainClosed tells why no request can be sent down the chain.
func (g *guest) chainClosed() (errorCode, bool) {
	switch {
	case g.ex == nil:
		return internalError(errNoExchange.Error()), true
	case g.bound[plugin.Request] != nil:
		return internalError("the request was sent on already, which can be done once; " +
			"to call another service, declare its authority under the plugin's callouts"), true
	case g.answered:
		return internalError("the exchange was answered already"), true
	}
	return errorCode{}, false
}

// lifetime is a context that ends with the guest's work on the exchange.
func (g *guest) lifetime() context.Context {
	if g.ctx == nil {
		g.ctx, g.cancel = context.WithCancel(context.Background())
	}
	return g.ctx
}
