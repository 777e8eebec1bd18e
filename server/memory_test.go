package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
)

// waits says that the service does not take a message, given time.
func (p *patient) waits() {
	p.t.Helper()
	select {
	case p.in <- msg("qb not to be taken"):
		p.t.Error("a message was taken")
	case <-time.After(100 * time.Millisecond):
	}
}

// TestBodyMemory: exchanges that hold bodies wait for room, those that hold none go
// on, and nothing is held in the end.
func TestBodyMemory(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprint(open), func(t *testing.T) {
			strategy := plugin.FailClose
			if open {
				strategy = plugin.FailOpen
			}
			s, _ := service(t, strategy)
			s.memory.most, s.limits.starvation = 1000, time.Second
			kilobyte := strings.Repeat("x", 1000)
			both := [2]bodyMode{duplex, duplex}
			first := meet(t.Context(), t, s)
			first.play(both, "> qh x-do: hoard\n> qb "+kilobyte)
			await(t, "the body to be held", func() bool { return s.memory.used.Load() == 1000 })
			first.waits()
			meet(t.Context(), t, s).play(both, "> qh x-do: pass\n< qh\n> qb abc eos\n< qb stream abc eos\n> rh :status: 200 eos\n< rh")
			if open {
				first.play(both, "< qh\n< qb stream "+kilobyte+"\n> qb def eos\n< qb stream def eos")
			} else {
				first.play(both, "< immediate 503")
			}
			first.stop()
			await(t, "nothing to be held", func() bool { return s.memory.used.Load() == 0 })
		})
	}
}

// TestRoom: an exchange that waits goes on as soon as another has let go.
func TestRoom(t *testing.T) {
	s, _ := service(t, plugin.FailClose)
	s.memory.most, s.limits.starvation = 1000, time.Hour
	first, second := meet(t.Context(), t, s), meet(t.Context(), t, s)
	for i, p := range []*patient{first, second} {
		p.play([2]bodyMode{duplex, none}, "> qh x-do: hoard\n> qb "+strings.Repeat("x", 600))
		await(t, "the body to be held", func() bool { return s.memory.used.Load() == int64(600*(i+1)) })
	}
	second.waits() // the first may be reading since there was room
	first.stop()
	second.play([2]bodyMode{}, "> qb more")
	await(t, "more to be held", func() bool { return s.memory.used.Load() == 604 })
}

// TestStreams: of too many streams the next is refused, or passes unseen if nothing
// of it is lost by that.
func TestStreams(t *testing.T) {
	for _, open := range []bool{false, true} {
		strategy, code := plugin.FailClose, codes.ResourceExhausted
		if open {
			strategy, code = plugin.FailOpen, codes.OK
		}
		cur, _ := current(t, strategy)
		s := New(cur, Options{Streams: 2})
		ones := []*patient{meet(t.Context(), t, s), meet(t.Context(), t, s)}
		for _, p := range ones {
			p.play([2]bodyMode{}, "> qh x-do: pass eos\n< qh\n")
		}
		if _, err := talk(t, s, msg("qh x-do: pass eos")); status.Code(err) != code {
			t.Errorf("open %v: ended with %v", open, err)
		}
		for _, mode := range [][2]bodyMode{{duplex}, {messages}} {
			p := meet(t.Context(), t, s)
			if open {
				p.play(mode, "> qh x-do: pass\n< immediate 503\nend")
				p = meet(t.Context(), t, s)
				p.play(mode, "> qh x-do: pass eos\nend")
			}
			p.stop()
		}
		ones[0].stop()
		await(t, "a stream to end", func() bool { return s.live.Load() == 1 })
		if answers, err := talk(t, s, msg("qh x-do: pass eos")); err != nil || len(answers[0]) != 1 {
			t.Errorf("open %v: after one has ended: %v, %v", open, answers, err)
		}
	}
}

// stop ends the stream as a proxy does.
func (p *patient) stop() {
	p.cancel()
	<-p.over
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
