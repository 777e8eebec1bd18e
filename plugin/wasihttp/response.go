package wasihttp

import (
	"errors"
	"time"

	"github.com/extproc/extproc/abi"
	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

var errNoExchange = errors.New("there is no exchange at hand to answer")

func incomingResponseStatus(_ *guest, c *abi.Call) error {
	c.ReturnNum(c.Args[0].Obj.(*incoming).status())
	return nil
}

func newOutgoingResponse(g *guest, c *abi.Call) error {
	o := g.make(plugin.Response, c.Args[0].Obj.(*fields))
	o.status = 200
	c.ReturnOwn(o)
	return nil
}

func outgoingResponseStatus(_ *guest, c *abi.Call) error {
	c.Result = abi.U64(c.Args[0].Obj.(*outgoing).status)
	return nil
}

func outgoingResponseSetStatus(_ *guest, c *abi.Call) error {
	status := c.Args[1].Num
	if status < 100 || status > 999 {
		c.ReturnErr()
		return nil
	}
	c.Args[0].Obj.(*outgoing).status = status
	c.ReturnOk()
	return nil
}

// outparam is the resource response-outparam.
type outparam struct{}

// sendInformational takes 1xx responses and drops them: proxies' filters have
// no way to send them.
func sendInformational(g *guest, c *abi.Call) error {
	dropFields(g, c.Args[1].Obj.(*fields))
	c.ReturnOk()
	return nil
}

func responseOutparamSet(g *guest, c *abi.Call) error {
	if g.ex == nil {
		return errNoExchange
	}
	g.answered = true
	result := c.Args[1]
	if result.Num == 0 {
		result.Payload().Obj.(*outgoing).send(g, &g.ex.Response)
		return nil
	}
	code := guestCode(result.Payload(), c.ParamType(1).Cases[1].Type)
	g.code = &code
	failed := g.make(plugin.Response, &fields{changed: true})
	failed.status = code.status()
	failed.send(g, &g.ex.Response)
	return nil
}

// futureResponse is the resource future-incoming-response: of the chain, or of
// a callout.
type futureResponse struct {
	call     *host.Call
	got      bool
	children int

	// Of the chain: how long its first byte may take, 0 for any time, and until
	// when it is waited for, once the request has gone on.
	limit time.Duration
	due   int64
}

// begin takes note that the request has gone on.
func (f *futureResponse) begin() {
	if f.limit > 0 {
		now := monotonic()
		f.due = now + min(int64(f.limit), never-now)
	}
}

func (f *futureResponse) ready(g *guest) bool {
	if f.call != nil {
		_, err := f.call.Response()
		return !errors.Is(err, host.ErrPending)
	}
	request := g.bound[plugin.Request]
	switch {
	case g.ex.Response.Arrived, request != nil && request.aborted:
		return true
	case f.due == 0:
		return false
	case f.due <= monotonic():
		return true
	}
	g.wakeAt = min(g.wakeAt, f.due)
	return false
}

func futureResponseSubscribe(g *guest, c *abi.Call) error {
	f := c.Args[0].Obj.(*futureResponse)
	c.ReturnOwn(g.pollableFor(f, &f.children))
	return g.full()
}

func futureResponseGet(g *guest, c *abi.Call) error {
	f := c.Args[0].Obj.(*futureResponse)
	c.ReturnNone()
	if !f.ready(g) {
		return g.idle()
	}
	if f.got {
		c.ReturnErr()
		c.WrapSome()
		return nil
	}
	f.got = true
	response, err := f.take(g)
	if err != nil {
		returnTakenError(c, err)
		return nil
	}
	c.ReturnOkOwn(response)
	c.WrapOk()
	c.WrapSome()
	return nil
}

// returnTakenError returns the error that has come in place of what a future of
// messages or trailers was for.
func returnTakenError(c *abi.Call, err error) {
	c.Result = c.Err(codeOf(err).value(c, c.ResultType().Cases[1].Type.Cases[0].Type.Cases[1].Type))
	c.WrapOk()
	c.WrapSome()
}

// take is the response, which has arrived.
func (f *futureResponse) take(g *guest) (*incoming, error) {
	if f.call == nil {
		switch {
		case g.ex.Response.Arrived:
		case g.bound[plugin.Request].aborted:
			return nil, errorCode{name: "HTTP-protocol-error"}
		default:
			return nil, errorCode{name: "connection-read-timeout"}
		}
		g.in[plugin.Response].arrive(&g.ex.Response)
		return &g.in[plugin.Response], nil
	}
	headers, err := f.call.Response()
	if err != nil {
		return nil, err
	}
	m := &incoming{headers: headers}
	m.body.call, m.body.src, m.body.length = f.call, &m.body.own, contentLength(headers)
	return m, nil
}

// arrive makes m the message of an exchange.
func (m *incoming) arrive(msg *plugin.Message) {
	m.headers = msg.Original
	m.body.msg, m.body.src, m.body.length = msg, &msg.In, contentLength(msg.Original)
}

func dropFutureResponse(g *guest, f *futureResponse) {
	g.orphan(f.children)
	if f.call != nil && !f.got {
		f.call.Close()
	}
}
