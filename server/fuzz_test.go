package server

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// model is a proxy that keeps account of what it may be sent.
type model struct {
	// mute is set when nothing may be answered, windows when the proxy has told its
	// own: takes is then what it takes.
	mute, windows bool
	takes         [2]int64

	body                      [2]bodyMode
	fixed                     bool
	came                      [2][3]int // messages by direction and part
	answered                  [2][3]int
	ended, replaced, trailing [2]bool
	noBody                    [2]bool
	asked, over, local        bool
}

// sent takes account of a message that went to the service.
func (m *model) sent(req *extprocv3.ProcessingRequest) {
	m.takes[plugin.Request] += req.GetClientWindowUpdate().GetWindowIncrementSidestreamToUpstream()
	m.takes[plugin.Response] += req.GetClientWindowUpdate().GetWindowIncrementSidestreamToDownstream()
	c := codec.From(req)
	if !c.Shows {
		return
	}
	m.came[c.Direction][c.Part]++
	if c.IsHeaders() && c.End {
		m.noBody[c.Direction] = true
	}
	if c.IsBody() && m.body[c.Direction] == none {
		m.body[c.Direction] = streamed
	}
}

// got says what is wrong with an answer.
func (m *model) got(resp *extprocv3.ProcessingResponse) error {
	if m.over {
		return fmt.Errorf("an answer after the last one")
	}
	if m.mute {
		return fmt.Errorf("an answer to what is only shown")
	}
	more := resp.ServerWindowUpdate != nil || resp.RequestDrainRequests || resp.RequestDrainResponses
	if more && !m.windows {
		return fmt.Errorf("flow control that the proxy doesn't have")
	}
	if piece := resp.GetStreamedImmediateResponse(); piece != nil {
		return m.streamed(piece)
	}
	if m.local {
		return fmt.Errorf("an answer in the middle of a local response")
	}
	if resp.GetImmediateResponse() != nil {
		m.over = true
		return nil
	}
	if resp.Response == nil {
		if more {
			return nil
		}
		if resp.ModeOverride == nil {
			return fmt.Errorf("an empty answer")
		}
		if m.asked || m.came[plugin.Request][plugin.HeadersPart] == 0 || m.answered[plugin.Request][plugin.HeadersPart] > 0 {
			return fmt.Errorf("an override of its own that is not before the request headers' answer")
		}
		m.asked = true
		return m.override(resp)
	}
	d, part, common := contentOf(resp)
	m.answered[d][part]++
	if err := m.one(d, part, common); err != nil {
		return err
	}
	if resp.ModeOverride != nil {
		if part != plugin.HeadersPart {
			return fmt.Errorf("an override that is ignored")
		}
		return m.override(resp)
	}
	return nil
}

// streamed takes account of a piece of a local response.
func (m *model) streamed(piece *extprocv3.StreamedImmediateResponse) error {
	switch r := piece.Response.(type) {
	case *extprocv3.StreamedImmediateResponse_HeadersResponse:
		if m.local || m.came[plugin.Request][plugin.HeadersPart] == 0 || m.answered[plugin.Request][plugin.HeadersPart] > 0 {
			return fmt.Errorf("a local response that does not answer the request headers")
		}
		for _, mode := range m.body {
			if mode != none && mode != duplex {
				return fmt.Errorf("a streamed local response in mode %v", mode)
			}
		}
		m.local, m.over = true, r.HeadersResponse.GetEndOfStream()
		return nil
	case *extprocv3.StreamedImmediateResponse_BodyResponse:
		m.over = r.BodyResponse.GetEndOfStream()
	default:
		m.over = true
	}
	if !m.local {
		return fmt.Errorf("a piece of a local response that has not begun")
	}
	return nil
}

func (m *model) override(resp *extprocv3.ProcessingResponse) error {
	if m.fixed {
		return fmt.Errorf("an override that is ignored")
	}
	m.body = [2]bodyMode{resp.ModeOverride.GetRequestBodyMode(), resp.ModeOverride.GetResponseBodyMode()}
	return nil
}

func (m *model) one(d plugin.Direction, part plugin.Part, common *extprocv3.CommonResponse) error {
	piece := common.GetBodyMutation().GetStreamedResponse()
	if part != plugin.BodyPart || !flows(m.body[d]) {
		if m.answered[d][part] > m.came[d][part] {
			return fmt.Errorf("more answers than messages")
		}
		if piece != nil {
			return fmt.Errorf("a streamed piece where none is taken")
		}
	}
	if m.replaced[d] {
		return fmt.Errorf("an answer after the body was replaced")
	}
	switch part {
	case plugin.HeadersPart:
		if common.GetStatus() == extprocv3.CommonResponse_CONTINUE_AND_REPLACE {
			m.replaced[d] = true
			if m.body[d] == duplex && !m.noBody[d] {
				return fmt.Errorf("a replaced body in full duplex")
			}
		} else if common.GetBodyMutation() != nil {
			return fmt.Errorf("a body that is ignored")
		}
	case plugin.BodyPart:
		if m.came[d][plugin.HeadersPart] > m.answered[d][plugin.HeadersPart] || m.trailing[d] {
			return fmt.Errorf("a body out of order")
		}
		if !flows(m.body[d]) {
			return nil
		}
		if piece == nil {
			return fmt.Errorf("an answer that full duplex does not take")
		}
		if m.ended[d] || m.noBody[d] {
			return fmt.Errorf("a piece after the end")
		}
		m.ended[d] = piece.GetEndOfStream()
		if m.takes[d] -= int64(len(piece.GetBody())); m.windows && len(piece.GetBody()) > 0 && m.takes[d] < 1 && m.body[d] == duplex {
			return fmt.Errorf("more than the proxy takes")
		}
	case plugin.TrailersPart:
		m.trailing[d] = true
		if m.came[d][plugin.HeadersPart] > m.answered[d][plugin.HeadersPart] {
			return fmt.Errorf("trailers out of order")
		}
		if !flows(m.body[d]) && m.answered[d][plugin.BodyPart] < m.came[d][plugin.BodyPart] {
			return fmt.Errorf("trailers before the body")
		}
	}
	return nil
}

func contentOf(resp *extprocv3.ProcessingResponse) (plugin.Direction, plugin.Part, *extprocv3.CommonResponse) {
	switch r := resp.Response.(type) {
	case *extprocv3.ProcessingResponse_RequestHeaders:
		return plugin.Request, plugin.HeadersPart, r.RequestHeaders.GetResponse()
	case *extprocv3.ProcessingResponse_RequestBody:
		return plugin.Request, plugin.BodyPart, r.RequestBody.GetResponse()
	case *extprocv3.ProcessingResponse_RequestTrailers:
		return plugin.Request, plugin.TrailersPart, nil
	case *extprocv3.ProcessingResponse_ResponseHeaders:
		return plugin.Response, plugin.HeadersPart, r.ResponseHeaders.GetResponse()
	case *extprocv3.ProcessingResponse_ResponseBody:
		return plugin.Response, plugin.BodyPart, r.ResponseBody.GetResponse()
	default:
		return plugin.Response, plugin.TrailersPart, nil
	}
}

// lines are the messages that a fuzzed conversation is made of.
var lines = []string{
	"qh :method: GET, content-length: 3", "qh :method: HEAD eos", "qb abc", "qb abc eos", "qb eos", "qt t: 1",
	"rh :status: 200, content-length: 3", "rh :status: 204 eos", "rh :status: 101", "rb abc", "rb abc eos", "rb eos", "rt t: 1",
	"unknown", "qh", "rh", "window 1 1", "window 3 -1", "qb drained",
}

// FuzzProcess: whatever comes in whatever order, to whatever guest, nothing is
// answered that the proxy may not be sent, and nothing panics or is left behind.
func FuzzProcess(f *testing.F) {
	names := slices.Sorted(maps.Keys(scripts))
	for i := range names {
		for _, mode := range []byte{0, 4, 16 + 4} {
			f.Add(byte(i), mode, []byte{0, 2, 4, 6, 9, 11})
			f.Add(byte(i), mode, []byte{0, 6, 2, 9, 5, 12})
			f.Add(byte(i), mode, []byte{1, 7})
		}
	}
	f.Fuzz(func(t *testing.T, script, mode byte, conversation []byte) {
		name := names[int(script)%len(names)]
		s, p := service(t, strategyOf(mode))
		p.ReadsResponseFirst.Store(mode&0x40 != 0)
		m, err := converse(t, s, mode, conversation, "x-do: "+name)
		if name == "pass" && err == nil && !m.mute && !m.windows {
			m.settled(t)
		}
	})
}

// FuzzChain is FuzzProcess for a chain of three: with one that lets all pass in
// the middle.
func FuzzChain(f *testing.F) {
	names := slices.Sorted(maps.Keys(scripts))
	for i := range names {
		for j, mode := range []byte{0, 4, 16 + 4, 0x80 + 0x40} {
			f.Add(byte(i), byte(i*7+j*3), mode, []byte{0, 2, 4, 6, 9, 11})
			f.Add(byte(i), byte(i*5+j), mode, []byte{0, 6, 2, 9, 5, 12})
			f.Add(byte(i*3+j), byte(i), mode, []byte{1, 7})
		}
	}
	f.Fuzz(func(t *testing.T, first, last, mode byte, conversation []byte) {
		one, other := names[int(first)%len(names)], names[int(last)%len(names)]
		c := currentOf(t, strategyOf(mode), &scripted{}, &scripted{header: "x-nothing"}, &scripted{header: "x-then"})
		s := New(c, Options{})
		set := c.Acquire()
		set.Plugins[2].ReadsResponseFirst.Store(mode&0x40 != 0)
		_ = set.Release()
		m, err := converse(t, s, mode, conversation, "x-do: "+one+", x-then: "+other)
		if one == "pass" && other == "pass" && err == nil && !m.mute && !m.windows {
			m.settled(t)
		}
	})
}

func strategyOf(mode byte) plugin.FailStrategy {
	if mode&0x80 != 0 {
		return plugin.FailOpen
	}
	return plugin.FailClose
}

// converse sends the lines of a conversation, with fields added to the request,
// and checks the answers.
func converse(t *testing.T, s *Service, mode byte, conversation []byte, fields string) (*model, error) {
	t.Helper()
	m := &model{body: [2]bodyMode{bodyMode(mode & 7 % 6), bodyMode(mode >> 3 & 7 % 6)}}
	m.fixed = m.body[0] == duplex || m.body[1] == duplex
	config := &extprocv3.ProtocolConfiguration{RequestBodyMode: m.body[0], ResponseBodyMode: m.body[1]}
	var msgs []*extprocv3.ProcessingRequest
	for _, c := range conversation[:min(len(conversation), 40)] {
		req := msg(lines[int(c)%len(lines)])
		if h := req.GetRequestHeaders(); h != nil {
			h.Headers.Headers = append(h.Headers.Headers, msg("qh "+fields).GetRequestHeaders().Headers.Headers...)
		}
		req.ProtocolConfig = config
		msgs = append(msgs, req)
	}
	if len(msgs) > 0 {
		m.first(msgs[0], conversation[0])
	}
	s.lingering = 10 * time.Millisecond // some guests never end
	inTurns(s, len(conversation)%2 == 0)
	defer turning.Delete(s)
	answers, err := talk(t, s, msgs...)
	if code := status.Code(err); code != codes.OK && code != codes.InvalidArgument && code != codes.Aborted {
		t.Fatalf("%s: the stream ended with %v", fields, err)
	}
	for i, a := range answers {
		if i < len(msgs) {
			m.sent(msgs[i])
		}
		for _, resp := range a {
			if err := m.got(resp); err != nil {
				t.Fatalf("%s, %v: %v: %s", fields, conversation, err, show(resp))
			}
		}
	}
	return m, err
}

// first has the first message say more, by what its byte has beyond its line.
func (m *model) first(req *extprocv3.ProcessingRequest, b byte) {
	switch b >> 6 {
	case 2:
		m.windows, m.takes = true, [2]int64{2, 2}
		req.FlowControlInit = &extprocv3.ProcessingRequest_FlowControlInit{
			InitialWindowDownstreamToSidestream: 2, InitialWindowSidestreamToUpstream: 2,
			InitialWindowUpstreamToSidestream: 2, InitialWindowSidestreamToDownstream: 2,
		}
	case 3:
		m.mute = true
		req.ObservabilityMode, req.ProtocolConfig = true, nil
	}
}

// settled checks that a proxy whose plugin lets everything pass waits for nothing.
func (m *model) settled(t *testing.T) {
	for d := range m.came {
		// A response before its request has no guest; what passes is the same.
		for part := range m.came[d] {
			if plugin.Part(part) == plugin.BodyPart && flows(m.body[d]) {
				continue
			}
			if m.answered[d][part] != m.came[d][part] {
				t.Errorf("direction %d, part %d: %d answers to %d messages", d, part, m.answered[d][part], m.came[d][part])
			}
		}
	}
}
