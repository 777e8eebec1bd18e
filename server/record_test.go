package server

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/extproc/extproc/plugin"
)

// logger is a scripted module that keeps what it is told of exchanges.
type logger struct {
	scripted
	mu   sync.Mutex
	told []string
}

func (l *logger) Logs() bool { return true }

func (l *logger) Log(r *plugin.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Exchange.Request.In.Len()+r.Exchange.Response.In.Len() > 0 || r.Took < 0 || r.Began.IsZero() {
		l.told = append(l.told, "it holds bodies or has no time")
	}
	said := [...]string{"completed", "answered", "rejected", "aborted"}[r.Outcome]
	for _, m := range r.Messages {
		if m == nil {
			said += " | none"
			continue
		}
		said += " |"
		for _, f := range append(m.Headers, m.Trailers...) {
			if f.Name != "x-do" {
				said += " " + strings.TrimPrefix(f.Name, ":") + "=" + string(f.Value)
			}
		}
		if m.BytesSeen {
			said += fmt.Sprint(" ", m.Bytes)
		}
	}
	l.told = append(l.told, said)
}

// TestRecords: what is told of exchanges when they have ended.
func TestRecords(t *testing.T) {
	for _, tc := range []struct {
		name, talk, want string
		mode             [2]bodyMode
		code             codes.Code
	}{
		{name: "bodies that nobody looks at", talk: `
			> qh x-do: pass, a: 1
			< qh
			> rh :status: 200
			< rh`, want: "completed | a=1 | status=200"},
		{name: "no bodies", talk: `
			> qh x-do: pass eos
			< qh
			> rh :status: 204 eos
			< rh`, want: "completed | 0 | status=204 0"},
		{name: "bodies that are replaced", mode: [2]bodyMode{duplex, duplex}, talk: `
			> qh x-do: stream-request
			< qh
			> qb abc
			< qb stream ABC
			> qt t: 1
			< qt =x-more: 1
			> rh :status: 200
			< rh
			> rb abcd eos
			< rb stream abcd eos`, want: "completed | t=1 x-more=1 3 | status=200 4"},
		{name: "an answer in place of the upstream's", talk: `
			> qh x-do: teapot eos
			< immediate 418`, want: "answered | 0 | status=418 0"},
		{name: "a refusal", talk: `
			> qh x-do: trap, a: 1 eos
			< immediate 503`, want: "rejected | a=1 0 | none"},
		{name: "no response", talk: `
			> qh x-do: pass, a: 1 eos
			< qh`, want: "aborted | a=1 0 | none"},
		{name: "a response that breaks off", mode: [2]bodyMode{none, duplex}, talk: `
			> qh x-do: pass eos
			< qh
			> rh :status: 200
			< rh
			> rb abc
			< rb stream abc`, want: "aborted | 0 | status=200 3"},
		{name: "a stream that begins with a response", talk: `
			> rh :status: 404
			< rh`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := &logger{}
			c := &plugin.Current{}
			if err := c.Swap(plugin.NewSet(plugin.NewPlugin(&plugin.Spec{Name: "logger"}, l))); err != nil {
				t.Fatal(err)
			}
			play(t, New(c, Options{}), tc.mode, "", tc.talk, tc.code)
			if got := strings.Join(l.told, "\n"); got != tc.want {
				t.Errorf("told %q, expected %q", got, tc.want)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			l.left(t)
		})
	}
}
