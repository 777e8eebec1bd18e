package server

import (
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/server/codec"
)

// windows are those of the protocol's own flow control, for bodies in full duplex
// and of gRPC. They are in use when the proxy has told its own in the first message
// of the stream, which is answered with the server's.
type windows struct {
	on bool
	// told is set when the proxy knows that the server has them too.
	told bool
	// takes is how many bytes the proxy takes, by the direction of the body. It may
	// be less than nothing.
	takes [2]int64
	// given is how many bytes the proxy may have sent in all, and came how many it has.
	given, came [2]int64
	// target is how many bytes may be on their way or wait for plugins.
	target int64
}

// learn takes over what a message says of windows. Numbers that no proxy would send
// are taken for the nearest that one might.
func (w *windows) learn(req *extprocv3.ProcessingRequest, target int) {
	if first := req.GetFlowControlInit(); first != nil && !w.on {
		w.on, w.target = true, int64(target)
		w.takes = [2]int64{sane(first.GetInitialWindowSidestreamToUpstream()), sane(first.GetInitialWindowSidestreamToDownstream())}
		w.given = [2]int64{sane(first.GetInitialWindowDownstreamToSidestream()), sane(first.GetInitialWindowUpstreamToSidestream())}
	}
	if more := req.GetClientWindowUpdate(); more != nil && w.on {
		w.takes[plugin.Request] = sane(w.takes[plugin.Request] + sane(more.GetWindowIncrementSidestreamToUpstream()))
		w.takes[plugin.Response] = sane(w.takes[plugin.Response] + sane(more.GetWindowIncrementSidestreamToDownstream()))
	}
}

func sane(n int64) int64 {
	const most = 1 << 40
	return max(min(n, most), -most)
}

// arrived counts the bytes of a body.
func (w *windows) arrived(m *codec.Message) { w.came[m.Direction] += int64(len(m.Body)) }

// open says whether the proxy takes anything.
func (w *windows) open(d plugin.Direction) bool { return !w.on || w.takes[d] > 0 }

// most is how many of n bytes may be sent: less than the window (FlowControlInit).
func (w *windows) most(d plugin.Direction, n int) int {
	if !w.on {
		return n
	}
	return int(max(min(int64(n), w.takes[d]-1), 0))
}

// sent counts bytes that the proxy is sent.
func (w *windows) sent(d plugin.Direction, n int) { w.takes[d] -= int64(n) }

// room is what the proxy may send in addition now that so much waits.
func (w *windows) room(d plugin.Direction, waiting int) int64 {
	return w.came[d] - int64(waiting) + w.target - w.given[d]
}

// update tells the proxy what it may send in addition, if it is worth a message.
func (p *process) update(worth int64) *extprocv3.ProcessingResponse_ServerWindowUpdate {
	w := &p.windows
	if !w.on {
		return nil
	}
	q, r := w.room(plugin.Request, p.ex.Request.In.Len()), w.room(plugin.Response, p.ex.Response.In.Len())
	q, r = max(q, 0), max(r, 0)
	if w.told && max(q, r) < worth {
		return nil
	}
	w.told = true
	w.given[plugin.Request] += q
	w.given[plugin.Response] += r
	return &extprocv3.ProcessingResponse_ServerWindowUpdate{
		WindowIncrementDownstreamToSidestream: q, WindowIncrementUpstreamToSidestream: r,
	}
}

// withWindows adds an update to an answer that goes out anyway.
func (p *process) withWindows(resp *extprocv3.ProcessingResponse) *extprocv3.ProcessingResponse {
	if !p.windows.on || resp.Response == nil {
		return resp
	}
	u := p.update(1)
	if u == nil {
		return resp
	}
	// The answer itself may be a shared one.
	return &extprocv3.ProcessingResponse{
		Response: resp.Response, ModeOverride: resp.ModeOverride, DynamicMetadata: resp.DynamicMetadata, ServerWindowUpdate: u,
	}
}

// credit sends an update of its own when none has gone with an answer.
func (p *process) credit() error {
	if u := p.update(p.windows.target / 4); u != nil {
		return p.send(&extprocv3.ProcessingResponse{ServerWindowUpdate: u})
	}
	return nil
}
