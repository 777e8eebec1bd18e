package server

import (
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/extproc/extproc/plugin"
)

const fds = "FULL_DUPLEX_STREAMED"

// told are attributes of a request for a guest.
func told(do string) string {
	return "request.method=POST, request.path=/, request.host=a.test, request.headers['x-do']=" + do
}

// TestProcess plays conversations: "> message" is sent, "< answer" is what must
// come before the next message is taken. The first line names the guest.
func TestProcess(t *testing.T) {
	for _, tc := range []struct {
		name string
		mode [2]bodyMode
		open bool   // FAIL_OPEN
		told string // attributes of the first message: "name=value, ..."
		talk string
		code codes.Code
	}{
		{name: "pass", talk: `
			> qh x-do: pass, a: 1 eos
			< qh
			> rh :status: 200 eos
			< rh`},
		{name: "unknown messages are ignored", talk: `
			> unknown
			> qh x-do: pass
			< qh
			> unknown
			> rh :status: 200
			< rh`},
		{name: "headers answer asks for the body", talk: `
			> qh x-do: stream-request, content-length: 3
			< qh -content-length override ` + fds + `/NONE trailers SEND/DEFAULT
			> qb abc
			< qb stream ABC
			> qb eos
			< qb stream  eos
			> rh :status: 200 eos
			< rh`},
		{name: "an override of its own asks for a body that may be trailers only", talk: `
			> qh x-do: stream-request
			< - override ` + fds + `/NONE trailers SEND/DEFAULT
			< qh
			> qt t: 1
			< qt =x-more: 1
			> rh :status: 200 eos
			< rh`},
		{name: "a response that may be trailers only is streamed, then asked for ahead", talk: `
			> qh x-do: stream-response, content-type: application/grpc eos
			< qh
			> rh :status: 200, content-type: application/grpc
			< rh override NONE/STREAMED trailers DEFAULT/SEND
			> rb abc
			< rb body ABC
			> rt t: 1
			< rt =x-more: 1
			---
			> qh x-do: stream-response, te: trailers eos
			< qh override NONE/` + fds + ` trailers DEFAULT/SEND
			> rh :status: 200, content-type: application/grpc
			< rh
			> rt t: 1
			< rt =x-more: 1
			---
			> qh x-do: stream-response eos
			< qh
			> rh :status: 200
			< rh override NONE/` + fds + ` trailers DEFAULT/SEND
			> rb abc eos
			< rb stream ABC eos`},
		{name: "an end with the last piece", mode: [2]bodyMode{duplex, duplex}, talk: `
			> qh x-do: stream-request
			< qh
			> qb abc eos
			< qb stream ABC eos
			> qb more eos
			> rh :status: 200 eos
			< rh`},
		{name: "trailers end a body", mode: [2]bodyMode{duplex, duplex}, talk: `
			> qh x-do: stream-request
			< qh
			> qb abc
			< qb stream ABC
			> qt t: 1
			< qt =x-more: 1
			> rh :status: 200
			< rh
			> rb abc
			< rb stream abc
			> rt t: 1
			< rt`},
		{name: "echo in full duplex", mode: [2]bodyMode{duplex, duplex}, talk: `
			> qh x-do: pass
			< qh
			> qb abc
			< qb stream abc
			> qb eos
			< qb stream  eos
			> rh :status: 200
			< rh
			> rb abc eos
			< rb stream abc eos`},
		{name: "an override of its own", talk: `
			> qh x-do: read-request
			< - override ` + fds + `/NONE trailers SEND/DEFAULT
			> qb ab
			> qb c eos
			< qh =x-length: iii
			< qb stream ABC eos
			> rh :status: 200
			< rh`},
		{name: "held response headers, then learned", talk: `
			> qh x-do: read-response
			< qh
			> rh :status: 200, content-length: 3
			< rh override NONE/BUFFERED trailers DEFAULT/SEND
			> rb abc eos
			< rb =:status: 202 =x-read: 1 =content-length: 4 body ABC!
			---
			> qh x-do: read-response
			< qh override NONE/` + fds + ` trailers DEFAULT/SEND
			> rh :status: 200, content-length: 3
			> rb abc
			> rb eos
			< rh -content-length =:status: 202 =x-read: 1
			< rb stream ABC! eos`},
		{name: "nothing is asked ahead for HEAD", talk: `
			> qh x-do: read-response
			< qh
			> rh :status: 200
			< rh override NONE/BUFFERED trailers DEFAULT/SEND
			> rb abc eos
			< rb =:status: 202 =x-read: 1 body ABC!
			---
			> qh x-do: read-response, :method: HEAD eos
			< qh
			> rh :status: 200, content-length: 3 eos
			< rh =:status: 202 =x-read: 1`},
		{name: "held headers without a body", talk: `
			> qh x-do: read-response
			< qh
			> rh :status: 200
			< rh override NONE/BUFFERED trailers DEFAULT/SEND
			> rt t: 1
			< immediate 503`},
		{name: "a response that upgrades is not held", talk: `
			> qh x-do: read-response
			< qh
			> rh :status: 101
			< immediate 503`},
		{name: "new bodies need no body", talk: `
			> qh x-do: new-bodies, content-length: 3
			< qh replace -content-length body from the guest
			> rh :status: 200
			< rh replace body from the guest too`},
		{name: "no bodies", talk: `
			> qh x-do: no-bodies
			< qh replace clear
			> rh :status: 200 eos
			< rh`},
		{name: "a body for HEAD is dropped", talk: `
			> qh x-do: new-bodies, :method: HEAD eos
			< qh replace body from the guest
			> rh :status: 200, content-length: 5 eos
			< rh`},
		{name: "trailers after an early end want an answer", mode: [2]bodyMode{duplex, none}, talk: `
			> qh x-do: cut-request
			< qh
			> qb abc
			< qb stream a eos
			> qb def
			> qt t: 1
			< qt -t
			> rh :status: 200
			< rh`},
		{name: "local", talk: `
			> qh x-do: local eos
			< immediate 403 =content-type: text/x =set-cookie: a=1 +set-cookie: b=2 body forbidden`},
		{name: "local with the body asked for", talk: `
			> qh x-do: local-late
			< - override ` + fds + `/NONE trailers SEND/DEFAULT
			> qb abc
			> qb eos
			< immediate 403 body abc`},
		{name: "local that begins before it reads the body", talk: `
			> qh x-do: local-echo
			< - override ` + fds + `/NONE trailers SEND/DEFAULT
			< local :status: 200
			> qb abc
			< local stream abc
			> qb def eos
			< local stream def eos`},
		{name: "local as it is written", talk: `
			> qh x-do: local-events eos
			< local :status: 200 content-type: text/event-stream
			< local stream data: 0
			< local stream data: 1
			< local stream data: 2
			< local stream  eos`},
		{name: "local as it is written, full duplex", mode: [2]bodyMode{duplex, duplex}, talk: `
			> qh x-do: local-echo
			< local :status: 200
			> qb abc
			< local stream abc
			> qb eos
			< local stream  eos`},
		{name: "local, STREAMED, is sent whole", mode: [2]bodyMode{none, streamed}, talk: `
			> qh x-do: local-events eos
			< immediate 200 =content-type: text/event-stream body data: 0data: 1data: 2`},
		{name: "local on HEAD as it is written", talk: `
			> qh x-do: local-events, :method: HEAD eos
			< local :status: 200 content-type: text/event-stream eos`},
		{name: "local with trailers", talk: `
			> qh x-do: local-trailers eos
			< local :status: 200 trailer: x-sum
			< local stream abc
			< local trailers x-sum: 1`},
		{name: "local with trailers, BUFFERED, has none", mode: [2]bodyMode{buffered, buffered}, talk: `
			> qh x-do: local-trailers eos
			< immediate 200 =trailer: x-sum body abc`},
		{name: "local that breaks off", code: codes.Aborted, talk: `
			> qh x-do: local-breaks eos
			< local :status: 200
			< local stream abc`},
		{name: "local that asks for a body too late", code: codes.Aborted, talk: `
			> qh x-do: local-reads-late
			< local :status: 200
			< local stream abc`},
		{name: "local that begins before it reads the body, BUFFERED", mode: [2]bodyMode{buffered, buffered}, talk: `
			> qh x-do: local-echo
			< qh
			> qb abc eos
			< immediate 200 body abc`},
		{name: "local on HEAD", talk: `
			> qh x-do: local, :method: HEAD eos
			< immediate 403 =content-type: text/x =set-cookie: a=1 +set-cookie: b=2`},
		{name: "STREAMED passes", mode: [2]bodyMode{streamed, streamed}, talk: `
			> qh x-do: pass
			< qh
			> qb abc
			< qb
			> qb eos
			< qb
			> rh :status: 200
			< rh
			> rb x
			< rb
			> rt a: b
			< rt`},
		{name: "STREAMED is transformed", mode: [2]bodyMode{streamed, streamed}, talk: `
			> qh x-do: stream-request, content-length: 6
			< qh -content-length
			> qb abc
			< qb body ABC
			> qb def eos
			< qb body DEF
			> rh :status: 200
			< rh`},
		{name: "STREAMED cannot change headers after the body", mode: [2]bodyMode{streamed, streamed}, talk: `
			> qh x-do: read-request
			< immediate 503`},
		{name: "BUFFERED changes headers after the body", mode: [2]bodyMode{buffered, buffered}, talk: `
			> qh x-do: read-request, content-length: 3
			< qh
			> qb abc eos
			< qb =x-length: iii =content-length: 3 body ABC
			> rh :status: 200
			< rh
			> rb abc eos
			< rb`},
		{name: "BUFFERED is transformed", mode: [2]bodyMode{buffered, none}, talk: `
			> qh x-do: stream-request
			< qh
			> qb abc
			< qb body ABC
			> qt t: 1
			< qt`},
		{name: "a body in no mode at all", talk: `
			> qh x-do: pass
			< qh
			> qb abc
			< qb`},
		{name: "a stream that begins with a response", talk: `
			> rh :status: 404
			< rh`},
		{name: "a stream that begins with a body", mode: [2]bodyMode{buffered, duplex}, talk: `
			> qb abc eos
			< qb
			> rh :status: 200
			< rh
			> rb abc eos
			< rb stream abc eos`},
		{name: "a response whose request attributes tell", told: told("headers"), talk: `
			> rh :status: 200
			< rh =:status: 201 =set-cookie: a=1 +set-cookie: b=2`},
		{name: "a response whose request is known is answered locally", told: told("local"), talk: `
			> rh :status: 200 eos
			< rh replace =:status: 403 =content-type: text/x =set-cookie: a=1 +set-cookie: b=2 body forbidden`},
		{name: "a body whose request attributes tell", mode: [2]bodyMode{buffered, none}, told: told("read-request"), talk: `
			> qb abc eos
			< qb body ABC
			> rh :status: 200 eos
			< rh`},
		{name: "trailers whose request attributes tell", told: told("stream-request"), talk: `
			> qt t: 1
			< qt =x-more: 1
			> rh :status: 200 eos
			< rh`},
		{name: "a new body for what has gone on", told: told("new-bodies"), talk: `
			> rh :status: 200
			< rh replace body from the guest too`},
		{name: "a local response to a body whose headers have gone on", mode: [2]bodyMode{streamed, none}, told: told("local"), talk: `
			> qb abc
			< immediate 403 =content-type: text/x =set-cookie: a=1 +set-cookie: b=2 body forbidden`},
		{name: "a response body without its headers", mode: [2]bodyMode{none, streamed}, talk: `
			> qh x-do: stream-response eos
			< qh
			> rb abc
			< rb body ABC
			> rb def eos
			< rb body DEF`},
		{name: "headers after their body", mode: [2]bodyMode{streamed, none}, told: told("pass"), code: codes.InvalidArgument, talk: `
			> qb abc
			< qb
			> qh :method: GET`},
		{name: "BUFFERED_PARTIAL that is whole", mode: [2]bodyMode{partial, partial}, talk: `
			> qh x-do: stream-request, content-length: 3
			< qh -content-length
			> qb abc
			< qb body ABC
			> qt t: 1
			< qt
			> rh :status: 200 eos
			< rh`},
		{name: "BUFFERED_PARTIAL whose rest is not sent", mode: [2]bodyMode{partial, partial}, talk: `
			> qh x-do: stream-request
			< qh
			> qb abc
			< immediate 503`},
		{name: "BUFFERED_PARTIAL is read, not changed", mode: [2]bodyMode{partial, partial}, talk: `
			> qh x-do: stream-both
			< qh
			> qb abc
			< qb
			> rh :status: 200
			< rh
			> rb abc eos
			< rb body abc`},
		{name: "headers twice", code: codes.InvalidArgument, talk: `
			> qh x-do: pass
			< qh
			> qh x-do: pass`},
		{name: "trailers twice", code: codes.InvalidArgument, talk: `
			> qh x-do: pass
			< qh
			> qt a: b
			< qt
			> qt a: b`},
		{name: "an early response", mode: [2]bodyMode{duplex, duplex}, talk: `
			> qh x-do: stream-both
			< qh
			> qb a
			< qb stream a
			> rh :status: 200
			< rh
			> rb x
			< rb stream x
			> qb b eos
			< qb stream b eos
			> rb y eos
			< rb stream y eos`},
		{name: "trap", talk: `
			> qh x-do: trap
			< immediate 503`},
		{name: "trap, open", open: true, mode: [2]bodyMode{none, duplex}, talk: `
			> qh x-do: trap
			< qh
			> rh :status: 200
			< rh
			> rb abc eos
			< rb stream abc eos`},
		{name: "trap in a body cuts it", mode: [2]bodyMode{duplex, duplex}, talk: `
			> qh x-do: trap-in-body eos
			< qh
			> rh :status: 200
			< rh
			> rb abc
			< rb stream abc
			< immediate 503`},
		{name: "trap after all is said", mode: [2]bodyMode{duplex, duplex}, talk: `
			> qh x-do: trap-after-all eos
			< qh
			> rh :status: 200
			< rh
			> rb abc eos
			< rb stream abc eos`},
		{name: "too many fields, open", open: true, talk: `
			> qh x-do: too-many
			< qh
			> rh :status: 200
			< rh`},
		{name: "a response that nobody looks at is shown once", open: true, talk: `
			> qh x-do: too-many
			< qh
			> rh :status: 200
			< rh
			---
			> qh x-do: too-many
			< qh
			> rh :status: 200
			---
			> qh x-do: pass
			< qh
			> rh :status: 200
			< rh`},
		{name: "one whose body flows is shown", open: true, mode: [2]bodyMode{none, duplex}, talk: `
			> qh x-do: too-many
			< qh
			> rh :status: 200
			< rh
			> rb abc eos
			< rb stream abc eos
			---
			> qh x-do: too-many
			< qh
			> rh :status: 200
			< rh
			> rb abc eos
			< rb stream abc eos`},
		{name: "a body that flows goes on before the end", open: true, mode: [2]bodyMode{duplex, none}, talk: `
			> qh x-do: too-many
			< qh
			> qb abc
			< qb stream abc
			> qb eos
			< qb stream  eos
			> rh :status: 200
			< rh
			---
			> qh x-do: too-many
			< qh
			> qb abc
			< qb stream abc
			> qb eos
			< qb stream  eos
			> rh :status: 200`},
		{name: "so does one in pieces, with trailers", open: true, mode: [2]bodyMode{streamed, streamed}, talk: `
			> qh x-do: too-many eos
			< qh
			> rh :status: 200 eos
			< rh
			---
			> qh x-do: too-many
			< qh
			> qb abc
			< qb
			> qt t: 1
			< qt
			> rh :status: 200`},
	} {
		both(t, tc.name, func(t *testing.T, turns bool) {
			strategy := plugin.FailClose
			if tc.open {
				strategy = plugin.FailOpen
			}
			s, _ := service(t, strategy)
			inTurns(s, turns)
			for part := range strings.SplitSeq(tc.talk, "---") {
				play(t, s, tc.mode, tc.told, part, tc.code)
			}
		})
	}
}

func toldAttributes(told string) map[string]*structpb.Struct {
	if told == "" {
		return nil
	}
	list := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for pair := range strings.SplitSeq(told, ", ") {
		name, value, _ := strings.Cut(pair, "=")
		list.Fields[name] = structpb.NewStringValue(value)
	}
	return map[string]*structpb.Struct{"envoy.filters.http.ext_proc": list}
}

func play(t *testing.T, s *Service, mode [2]bodyMode, told, script string, code codes.Code) {
	t.Helper()
	playWith(t, s, script, code, func(first *extprocv3.ProcessingRequest) {
		first.ProtocolConfig = &extprocv3.ProtocolConfiguration{RequestBodyMode: mode[0], ResponseBodyMode: mode[1]}
		first.Attributes = toldAttributes(told)
	})
}

// playWith is play with a first message that is edited.
func playWith(t *testing.T, s *Service, script string, code codes.Code, edit func(first *extprocv3.ProcessingRequest)) {
	t.Helper()
	var msgs []*extprocv3.ProcessingRequest
	var lines, got []string
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		lines = append(lines, line)
		if sent, ok := strings.CutPrefix(line, "> "); ok {
			msgs = append(msgs, msg(sent))
		}
	}
	for _, m := range msgs {
		if m.Request != nil {
			edit(m)
			break
		}
	}
	answers, err := talk(t, s, msgs...)
	n := 0
	for _, line := range lines {
		if !strings.HasPrefix(line, "> ") {
			continue
		}
		got = append(got, line)
		if n < len(answers) {
			for _, a := range answers[n] {
				got = append(got, strings.TrimSpace("< "+show(a)))
			}
		}
		n++
	}
	if g, w := strings.Join(got, "\n"), strings.Join(lines, "\n"); g != w {
		t.Errorf("got\n%s\nexpected\n%s", g, w)
	}
	if status.Code(err) != code {
		t.Errorf("the stream ended with %v, expected %v", err, code)
	}
}
