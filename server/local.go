package server

import (
	"cmp"
	"errors"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
)

var errStatus = errors.New("no valid :status, expected 200 to 999")

// answerLocally sends the guest's response in the upstream's place: whole, as one
// answer that may be sent at any time before the response of the upstream went
// out, also when no message waits for an answer; or else as it is written, where
// the proxy takes that. It is the last answer.
func (p *process) answerLocally() (moved bool, err error) {
	request, response := &p.halves[plugin.Request], &p.halves[plugin.Response]
	if request.replaced() {
		// Nobody is to have it. The guest may be held up until it is taken.
		moved = request.msg.Out.Len() > 0
		request.msg.Out.Discard()
	} else if request.msg.Released {
		request.msg.In.Discard()
	}
	if !request.msg.Released && (request.headers == owed || p.flowing) && !response.msg.Out.Ended {
		// The guest answers while it reads, as an echo does.
		if err := p.fetch(request); err != nil {
			return moved, err
		}
	}
	out := &response.msg.Out
	if p.flowing || p.mayStream() && (!out.Ended || len(out.Trailers) > 0) {
		m, err := p.streamLocally(response)
		return moved || m, err
	}
	m, done, err := p.gather(response)
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

// mayStream says whether the proxy takes a local response piece by piece: only in
// the place of the answer to the request headers, and with bodies that it does not
// send one by one.
func (p *process) mayStream() bool {
	for _, mode := range p.modes.body {
		if mode != none && mode != duplex {
			return false
		}
	}
	return p.halves[plugin.Request].headers == owed && !p.ex.Response.Local.HasGRPCStatus
}

// streamLocally sends what there is of a local response.
func (p *process) streamLocally(h *half) (moved bool, err error) {
	out := &h.msg.Out
	if !p.flowing {
		if err := p.beginLocally(h); err != nil {
			return false, err
		}
	}
	for out.Len() > 0 {
		piece := out.Take(maxPiece)
		moved = true
		end := out.Len() == 0 && out.Ended && len(out.Trailers) == 0
		if err := p.sendLocally(&extprocv3.StreamedImmediateResponse{Response: &extprocv3.StreamedImmediateResponse_BodyResponse{
			BodyResponse: &extprocv3.StreamedBodyResponse{Body: piece, EndOfStream: end},
		}}); err != nil {
			return false, err
		}
		if end {
			return false, errEnd
		}
	}
	if !out.Ended {
		return moved, nil
	}
	last := &extprocv3.StreamedImmediateResponse{Response: &extprocv3.StreamedImmediateResponse_BodyResponse{
		BodyResponse: &extprocv3.StreamedBodyResponse{EndOfStream: true},
	}}
	at := plugin.Phase{Direction: plugin.Response, Part: plugin.TrailersPart}
	switch trailers, err := p.localFields(out.Trailers, at); {
	case err != nil:
		return false, err
	case len(trailers) > 0:
		last.Response = &extprocv3.StreamedImmediateResponse_TrailersResponse{TrailersResponse: &corev3.HeaderMap{Headers: trailers}}
	}
	if err := p.sendLocally(last); err != nil {
		return false, err
	}
	return false, errEnd
}

// beginLocally sends the headers of a local response, which may be all of it.
func (p *process) beginLocally(h *half) error {
	value, _ := h.msg.Headers.Get(":status")
	if _, ok := statusCode(value); !ok {
		return fmt.Errorf("the plugin's response: %q is %w", value, errStatus)
	}
	fields, err := p.localFields(h.msg.Headers, plugin.Phase{Direction: plugin.Response, Part: plugin.HeadersPart})
	if err != nil {
		return err
	}
	over := plugin.Bodiless(p.ex.Request.Original, h.msg.Headers)
	p.flowing = true
	p.halves[plugin.Request].pay()
	h.pay()
	if err := p.sendLocally(&extprocv3.StreamedImmediateResponse{Response: &extprocv3.StreamedImmediateResponse_HeadersResponse{
		HeadersResponse: &extprocv3.HttpHeaders{
			Headers:     &corev3.HeaderMap{Headers: append([]*corev3.HeaderValue{{Key: ":status", RawValue: value}}, fields...)},
			EndOfStream: over,
		},
	}}); err != nil || !over {
		return err
	}
	return errEnd
}

func (p *process) sendLocally(part *extprocv3.StreamedImmediateResponse) error {
	return p.send(&extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_StreamedImmediateResponse{StreamedImmediateResponse: part}})
}

// localResponse renders a local response as an immediate one.
func (p *process) localResponse(h *half) (*extprocv3.ProcessingResponse, error) {
	value, _ := h.msg.Headers.Get(":status")
	code, ok := statusCode(value)
	if !ok {
		return nil, fmt.Errorf("the plugin's response: %q is %w", value, errStatus)
	}
	body := h.gathered
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

// localFields are the fields of a local response as a streamed one has them.
func (p *process) localFields(h plugin.Headers, at plugin.Phase) ([]*corev3.HeaderValue, error) {
	m, rejected, err := localMutation(h, at)
	p.reject(rejected, "fields of a local response")
	if err != nil {
		return nil, err
	}
	fields := make([]*corev3.HeaderValue, 0, len(m.GetSetHeaders())+1)
	for _, o := range m.GetSetHeaders() {
		fields = append(fields, o.Header)
	}
	return fields, nil
}

// localHeaders are the headers of a local response. Envoy puts its own status and
// content-length, and a content-type if there is none.
func localHeaders(h plugin.Headers) (*extprocv3.HeaderMutation, int, error) {
	return localMutation(h, plugin.Phase{Direction: plugin.Response, Part: plugin.HeadersPart})
}

func localMutation(h plugin.Headers, at plugin.Phase) (*extprocv3.HeaderMutation, int, error) {
	var fields plugin.Headers
	for _, f := range h {
		if f.Name != "" && f.Name[0] != ':' {
			fields = append(fields, f)
		}
	}
	return mutation(nil, fields, place{Phase: at, newBody: true})
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

// errBroken ends a local response of which a part has gone out: the proxy takes no
// other answer then, and cuts it when the stream fails.
var errBroken = status.Error(codes.Aborted, "the local response broke off")
