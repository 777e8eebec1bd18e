package server

import (
	"cmp"
	"errors"
	"fmt"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/extproc/extproc/plugin"
)

var errStatus = errors.New("no valid :status, expected 200 to 999")

// answerLocally sends the guest's response in the upstream's place once it is
// whole. It may be sent at any time before the response of the upstream went out,
// also when no message waits for an answer, and is the last answer.
func (p *process) answerLocally() (moved bool, err error) {
	request, response := &p.halves[plugin.Request], &p.halves[plugin.Response]
	if request.replaced() {
		// Nobody is to have it. The guest may be held up until it is taken.
		moved = request.msg.Out.Len() > 0
		request.msg.Out.Discard()
	} else if request.msg.Released {
		request.msg.In.Discard()
	}
	m, done, err := p.gather(response)
	if err == nil && !done && request.headers == owed && !request.msg.Released {
		err = p.fetch(request) // for a guest that answers while it reads, such as an echo
	}
	if err != nil || !done {
		return moved || m, err
	}
	resp, err := p.localResponse(response)
	if err != nil {
		return false, err
	}
	if err := p.send(resp); err != nil {
		return false, err
	}
	return false, errEnd
}

// localResponse renders a local response as an immediate one.
func (p *process) localResponse(h *half) (*extprocv3.ProcessingResponse, error) {
	value, _ := h.msg.Headers.Get(":status")
	code, ok := statusCode(value)
	if !ok {
		return nil, fmt.Errorf("the plugin's response: %q is %w", value, errStatus)
	}
	body := h.whole
	if len(body) > 0 && plugin.Bodiless(p.ex.Request.Original, h.msg.Headers) {
		body = nil
	}
	p.reject(len(h.msg.Out.Trailers), "trailers of a local response")
	m, rejected, err := localHeaders(h.msg.Headers)
	p.reject(rejected, "header mutations")
	if err != nil {
		return nil, err
	}
	local := &h.msg.Local
	resp := immediate(code, m, body, cmp.Or(valid(local.Details), "extproc_local_response"))
	if local.HasGRPCStatus {
		resp.GetImmediateResponse().GrpcStatus = &extprocv3.GrpcStatus{Status: local.GRPCStatus}
	}
	return resp, nil
}

// localHeaders are the headers of a local response. Envoy puts its own status and
// content-length, and a content-type if there is none.
func localHeaders(h plugin.Headers) (*extprocv3.HeaderMutation, int, error) {
	var fields plugin.Headers
	for _, f := range h {
		if f.Name != "" && f.Name[0] != ':' {
			fields = append(fields, f)
		}
	}
	at := place{Phase: plugin.Phase{Direction: plugin.Response, Part: plugin.HeadersPart}, newBody: true}
	return mutation(nil, fields, at)
}

func immediate(code int, headers *extprocv3.HeaderMutation, body []byte, details string) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: &extprocv3.ImmediateResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(code)},
			Headers: headers,
			Body:    body,
			Details: details,
		},
	}}
}
