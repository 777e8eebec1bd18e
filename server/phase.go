package server

import (
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
)

// row is what one phase looks like on the wire.
type row struct {
	// body and trailers wrap the phase's kind of answer.
	body     func(*extprocv3.BodyResponse) *extprocv3.ProcessingResponse
	trailers func(*extprocv3.TrailersResponse) *extprocv3.ProcessingResponse
	// plain is the answer that changes nothing. It is shared.
	plain *extprocv3.ProcessingResponse
}

// rows are the six phases, by direction and part.
var rows = [2][3]row{
	plugin.Request: {
		plugin.HeadersPart: headersRow(plugin.Request),
		plugin.BodyPart: bodyRow(func(b *extprocv3.BodyResponse) *extprocv3.ProcessingResponse {
			return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestBody{RequestBody: b}}
		}),
		plugin.TrailersPart: trailersRow(func(t *extprocv3.TrailersResponse) *extprocv3.ProcessingResponse {
			return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestTrailers{RequestTrailers: t}}
		}),
	},
	plugin.Response: {
		plugin.HeadersPart: headersRow(plugin.Response),
		plugin.BodyPart: bodyRow(func(b *extprocv3.BodyResponse) *extprocv3.ProcessingResponse {
			return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: b}}
		}),
		plugin.TrailersPart: trailersRow(func(t *extprocv3.TrailersResponse) *extprocv3.ProcessingResponse {
			return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: t}}
		}),
	},
}

func headersRow(d plugin.Direction) row {
	a := new(headersAnswer).to(d)
	a.headers.Response = nil
	return row{plain: &a.resp}
}

// headersAnswer is an answer to headers, in one piece of memory.
type headersAnswer struct {
	resp     extprocv3.ProcessingResponse
	request  extprocv3.ProcessingResponse_RequestHeaders
	response extprocv3.ProcessingResponse_ResponseHeaders
	headers  extprocv3.HeadersResponse
	common   extprocv3.CommonResponse
	changes  difference
}

// to makes an answer of memory that is all zero.
func (a *headersAnswer) to(d plugin.Direction) *headersAnswer {
	a.headers.Response = &a.common
	if d == plugin.Request {
		a.request.RequestHeaders, a.resp.Response = &a.headers, &a.request
	} else {
		a.response.ResponseHeaders, a.resp.Response = &a.headers, &a.response
	}
	return a
}

// encoder is a stream that has encoded an answer when Send returns: its memory may be
// used again.
type encoder interface{ encodes() }

// newAnswer is an answer to headers that doneWith is called with once it is sent.
func (p *process) newAnswer(d plugin.Direction) *headersAnswer {
	return p.answers.Get().(*headersAnswer).to(d)
}

func (p *process) doneWith(a *headersAnswer) {
	if _, ok := p.in.stream.(encoder); ok {
		*a = headersAnswer{}
		p.answers.Put(a)
	}
}

func bodyRow(wrap func(*extprocv3.BodyResponse) *extprocv3.ProcessingResponse) row {
	return row{body: wrap, plain: wrap(&extprocv3.BodyResponse{})}
}

func trailersRow(wrap func(*extprocv3.TrailersResponse) *extprocv3.ProcessingResponse) row {
	return row{trailers: wrap, plain: wrap(&extprocv3.TrailersResponse{})}
}
