package server

import (
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
)

// row is what one phase looks like on the wire.
type row struct {
	// answer wraps the phase's kind of answer.
	headers  func(*extprocv3.HeadersResponse) *extprocv3.ProcessingResponse
	body     func(*extprocv3.BodyResponse) *extprocv3.ProcessingResponse
	trailers func(*extprocv3.TrailersResponse) *extprocv3.ProcessingResponse
	// plain is the answer that changes nothing. It is shared.
	plain *extprocv3.ProcessingResponse
}

// rows are the six phases, by direction and part.
var rows = [2][3]row{
	plugin.Request: {
		plugin.HeadersPart: headersRow(func(h *extprocv3.HeadersResponse) *extprocv3.ProcessingResponse {
			return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: h}}
		}),
		plugin.BodyPart: bodyRow(func(b *extprocv3.BodyResponse) *extprocv3.ProcessingResponse {
			return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestBody{RequestBody: b}}
		}),
		plugin.TrailersPart: trailersRow(func(t *extprocv3.TrailersResponse) *extprocv3.ProcessingResponse {
			return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestTrailers{RequestTrailers: t}}
		}),
	},
	plugin.Response: {
		plugin.HeadersPart: headersRow(func(h *extprocv3.HeadersResponse) *extprocv3.ProcessingResponse {
			return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: h}}
		}),
		plugin.BodyPart: bodyRow(func(b *extprocv3.BodyResponse) *extprocv3.ProcessingResponse {
			return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: b}}
		}),
		plugin.TrailersPart: trailersRow(func(t *extprocv3.TrailersResponse) *extprocv3.ProcessingResponse {
			return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: t}}
		}),
	},
}

func headersRow(wrap func(*extprocv3.HeadersResponse) *extprocv3.ProcessingResponse) row {
	return row{headers: wrap, plain: wrap(&extprocv3.HeadersResponse{})}
}

func bodyRow(wrap func(*extprocv3.BodyResponse) *extprocv3.ProcessingResponse) row {
	return row{body: wrap, plain: wrap(&extprocv3.BodyResponse{})}
}

func trailersRow(wrap func(*extprocv3.TrailersResponse) *extprocv3.ProcessingResponse) row {
	return row{trailers: wrap, plain: wrap(&extprocv3.TrailersResponse{})}
}

// content is what a wire message says, whichever of the six it is: one of the
// three is set.
type content struct {
	plugin.Phase
	headers  *extprocv3.HttpHeaders
	body     *extprocv3.HttpBody
	trailers *extprocv3.HttpTrailers
}

// read takes a message for one of the six phases. Whatever else a proxy may send
// is none of them.
func read(req *extprocv3.ProcessingRequest) (content, bool) {
	c := content{}
	switch r := req.Request.(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		c.Phase, c.headers = plugin.Phase{Direction: plugin.Request, Part: plugin.HeadersPart}, r.RequestHeaders
	case *extprocv3.ProcessingRequest_RequestBody:
		c.Phase, c.body = plugin.Phase{Direction: plugin.Request, Part: plugin.BodyPart}, r.RequestBody
	case *extprocv3.ProcessingRequest_RequestTrailers:
		c.Phase, c.trailers = plugin.Phase{Direction: plugin.Request, Part: plugin.TrailersPart}, r.RequestTrailers
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		c.Phase, c.headers = plugin.Phase{Direction: plugin.Response, Part: plugin.HeadersPart}, r.ResponseHeaders
	case *extprocv3.ProcessingRequest_ResponseBody:
		c.Phase, c.body = plugin.Phase{Direction: plugin.Response, Part: plugin.BodyPart}, r.ResponseBody
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		c.Phase, c.trailers = plugin.Phase{Direction: plugin.Response, Part: plugin.TrailersPart}, r.ResponseTrailers
	default:
		return c, false
	}
	return c, true
}
