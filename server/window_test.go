package server

import (
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"

	"github.com/extproc/extproc/plugin"
)

// withWindows plays a conversation whose proxy tells its windows: what it may send of
// requests and responses, and what it takes of them.
func withWindows(t *testing.T, script string, mode [2]bodyMode, init *extprocv3.ProcessingRequest_FlowControlInit) {
	t.Helper()
	s, _ := service(t, plugin.FailClose)
	s.limits.Queued = 100
	playWith(t, s, script, codes.OK, func(first *extprocv3.ProcessingRequest) {
		first.ProtocolConfig = &extprocv3.ProtocolConfiguration{RequestBodyMode: mode[0], ResponseBodyMode: mode[1]}
		first.FlowControlInit = init
	})
}

// TestWindows: no more is sent than the proxy takes, and it is told what it may send.
func TestWindows(t *testing.T) {
	init := func(request, takes, response, takesResponse int64) *extprocv3.ProcessingRequest_FlowControlInit {
		return &extprocv3.ProcessingRequest_FlowControlInit{
			InitialWindowDownstreamToSidestream: request, InitialWindowSidestreamToUpstream: takes,
			InitialWindowUpstreamToSidestream: response, InitialWindowSidestreamToDownstream: takesResponse,
		}
	}
	both := [2]bodyMode{duplex, duplex}
	for _, tc := range []struct {
		name, talk string
		mode       [2]bodyMode
		init       *extprocv3.ProcessingRequest_FlowControlInit
	}{
		{"a body waits for room", `
			> qh x-do: stream-request
			< qh window +90/+0
			> qb abcdef
			< qb stream ABC window +6/+0
			> window 2
			< qb stream DE
			> window -5
			> window 4
			> window 3
			< qb stream F
			> qb eos
			< qb stream  eos
			> rh :status: 200 eos
			< rh`, both, init(10, 4, 100, 0)},
		{"pieces that waited for room, and the trailers for them", `
			> qh x-do: stream-request
			< qh window +90/+0
			> qb abc
			< qb stream A window +3/+0
			> qb def
			> qt t: 1
			> window 4
			< qb stream BC window +3/+0
			< qb stream DE
			> window 1
			< qb stream F
			< qt =x-more: 1
			> rh :status: 200 eos
			< rh`, both, init(10, 2, 100, 0)},
		{"a body that no plugin looks at, and its trailers", `
			> qh x-do: pass
			< qh window +0/+0
			> qb abc
			< - drain true/false
			< qb stream a window +1/+0
			> qb def
			> qt t: 1
			> window 3
			< qb stream bc window +2/+0
			< qb stream d window +1/+0
			> window 100
			< qb stream ef window +2/+0
			< qt
			> rh :status: 200 eos
			< rh`, both, init(100, 2, 100, 0)},
		{"a message waits whole, and the trailers for it", `
			> qh x-do: pass
			< qh window +0/+0
			> qb abc
			< qb stream abc window +3/+0
			> qb def
			> qt t: 1
			> window 3
			< qb stream def window +3/+0
			< qt
			> rh :status: 200 eos
			< rh`, [2]bodyMode{messages, messages}, init(100, 1, 100, 0)},
		{"room that the proxy has already is not told again", `
			> qh x-do: pass eos
			< qh window +0/+0
			> rh :status: 200 eos
			< rh`, both, init(1000, 3, 1000, 3)},
		{"the rest of a body that no plugin looks at stays with the proxy", `
			> qh x-do: pass
			< qh window +0/+0
			> qb abc
			< - drain true/false
			< qb stream abc window +3/+0
			> qb def
			< qb stream def window +3/+0
			> qb drained
			< qb stream  drained
			> rh :status: 200
			< rh
			> rb abc eos
			< rb stream abc eos window +0/+3`, both, init(100, 100, 100, 100)},
		{"a drain that came too late", `
			> qh x-do: pass
			< qh window +0/+0
			> qb abc
			< - drain true/false
			< qb stream abc window +3/+0
			> qb eos
			< qb stream  eos
			> rh :status: 200 eos
			< rh`, both, init(100, 100, 100, 100)},
		{"numbers that are none", `
			> qh x-do: stream-request
			< qh window +0/+100
			> window 9223372036854775807 -9223372036854775808
			> qb abc eos
			> window 3
			< qb stream AB
			> window 1
			< qb stream C eos
			> rh :status: 200 eos
			< rh`, both, init(1<<62, -1<<62, 0, 0)},
	} {
		t.Run(tc.name, func(t *testing.T) { withWindows(t, tc.talk, tc.mode, tc.init) })
	}
}

// TestMessages: in mode GRPC the proxy sends and takes messages, and plugins see a
// body as HTTP has it.
func TestMessages(t *testing.T) {
	mode := [2]bodyMode{messages, messages}
	for name, talk := range map[string]string{
		"messages, and one that is empty": `
			> qh x-do: stream-both
			< qh
			> qb abc
			< qb stream abc
			> qb
			< qb stream
			> qb def compressed
			< qb stream def compressed
			> qb noneeos
			< qb stream  eos none
			> rh :status: 200
			< rh
			> rb abc
			< rb stream abc
			> rt grpc-status: 0
			< rt`,
		"passed on": `
			> qh x-do: pass
			< qh
			> qb abc eos
			< qb stream abc
			< qb stream  eos none
			> rh :status: 200 eos
			< rh`,
		"half a message": `
			> qh x-do: cut-request
			< qh
			> qb abc
			< immediate 503`,
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := service(t, plugin.FailClose)
			play(t, s, mode, "", strings.ReplaceAll(talk, "noneeos", "none eos"), codes.OK)
		})
	}
}

// TestShown: what the proxy only shows is seen by plugins to its end, whatever of it
// is shown, and nothing is answered.
func TestShown(t *testing.T) {
	for name, talk := range map[string]string{
		"headers":                      "> qh x-do: headers\n> rh :status: 200",
		"bodies":                       "> qh x-do: stream-both\n> qb abc\n> qb eos\n> rh :status: 200\n> rb abc eos",
		"bodies that are not shown":    "> qh x-do: read-request\n> rh :status: 200",
		"a response that is not shown": "> qh x-do: read-response\n> rh :status: 200",
		"a failure":                    "> qh x-do: trap",
		"a local response":             "> qh x-do: local",
		"a body's end that isn't told": "> qh x-do: stream-response\n> rh :status: 200\n> rb abc",
	} {
		t.Run(name, func(t *testing.T) {
			c, m := current(t, plugin.FailClose)
			s := New(c, Options{})
			done := m.ended.Load()
			playWith(t, s, talk, codes.OK, func(first *extprocv3.ProcessingRequest) { first.ObservabilityMode = true })
			if m.ended.Load() != done+1 {
				t.Error("the guest was closed before it had seen the end")
			}
		})
	}
}
