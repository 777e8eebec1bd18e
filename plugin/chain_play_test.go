package plugin

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// heard is an Observer that keeps what it heard.
type heard struct {
	lines  []string
	errors []error
}

func (h *heard) Started(i int)          { h.lines = append(h.lines, fmt.Sprint("start ", i)) }
func (h *heard) Ran(int, time.Duration) {}

func (h *heard) Renewed(i int, how Renewal) {
	h.lines = append(h.lines, fmt.Sprintf("renewed %d %d", i, how))
}

func (h *heard) Failed(i int, err error, then Remedy) {
	h.errors = append(h.errors, err)
	h.lines = append(h.lines, fmt.Sprint("fail ", i, " ", []string{"finished", "passed", "refused"}[then]))
}

// played is what became of an exchange.
type played struct {
	request, response message
	local, refused    bool
	untouched         [2]bool
	heard             []string
}

// String says what matters: nobody has the request of a local response.
func (p played) String() string {
	switch {
	case p.refused:
		return "refused"
	case p.local:
		return fmt.Sprintf("local %v", p.response)
	}
	return fmt.Sprintf("%v %v untouched %v", p.request, p.response, p.untouched)
}

// play plays the proxy's part: it sends bodies in the chunks given, when they are
// asked for, and the response once the request is out.
func play(t *testing.T, guests []behaviour, request, response message, bounds Bounds) played {
	t.Helper()
	live := 0
	var plugins []*Plugin
	for i, b := range guests {
		b.letter = string(rune('a' + i))
		spec := &Spec{Name: b.letter, FailStrategy: b.strategy, Log: slog.New(slog.DiscardHandler)}
		plugins = append(plugins, NewPlugin(spec, simpleModule{b, &live}))
	}
	var ex Exchange
	var chain Chain
	ears := &heard{}
	chain.Init(&ex, plugins, bounds, ears)
	defer func() {
		chain.Close()
		if live != 0 {
			t.Errorf("%d guests are left", live)
		}
	}()
	p := &proxy{t: t, ex: &ex, chain: &chain}
	p.message = [2]message{request, response}
	p.input = [2][]string{request.chunks, response.chunks}
	p.run()
	p.out.heard = ears.lines
	return p.out
}

type proxy struct {
	t       *testing.T
	ex      *Exchange
	chain   *Chain
	message [2]message
	input   [2][]string // chunks to come
	out     played
	ended   [2]bool
}

func (p *proxy) run() {
	p.arrive(Request)
	for range 100_000 {
		if err := p.chain.Step(p.t.Context()); err != nil {
			p.out.refused = errors.Is(err, ErrRefused)
			return
		}
		if p.take() {
			continue
		}
		if p.ended[Response] && (p.ended[Request] || p.chain.Local()) {
			p.out.local = p.chain.Local()
			return
		}
		if p.feed() {
			continue
		}
		if p.chain.Wake() == nil {
			p.t.Fatalf("stuck: %+v", p.out)
		}
		<-p.chain.Wake().Rung()
	}
	p.t.Fatal("no end")
}

func (p *proxy) arrive(d Direction) {
	m := p.ex.Message(d)
	name, value, _ := strings.Cut(p.message[d].headers, "=")
	m.Arrived, m.Original = true, Headers{{name, []byte(value)}}
	if p.message[d].noBody {
		m.NoBody, m.In.Ended = true, true
	}
}

// take takes what goes out, and says whether there was a body in it.
func (p *proxy) take() bool {
	took := false
	for d := range Direction(2) {
		m := p.ex.Message(d)
		out := &p.out.request
		if d == Response {
			out = &p.out.response
		}
		if !m.Released || p.ended[d] {
			continue
		}
		m.Taken = true
		out.headers = render(m.Headers)
		src := &m.Out
		if p.out.untouched[d] = m.Plan == Untouched; p.out.untouched[d] {
			src = &m.In
		}
		for chunk := src.Pop(); chunk != nil; chunk = src.Pop() {
			took = true
			out.chunks = append(out.chunks, string(chunk))
		}
		if m.Plan == Untouched && !m.In.Ended { // never comes this way
			out.chunks = append(out.chunks, p.input[d]...)
			p.end(d)
		}
		if src.Ended && src.Len() == 0 {
			out.trailers = render(src.Trailers)
			p.ended[d] = true
		}
	}
	return took
}

func (p *proxy) feed() bool {
	for d := range Direction(2) {
		m := p.ex.Message(d)
		switch {
		case !m.Arrived, m.In.Ended, !m.WantBody, m.In.Len() > p.chain.bounds.Queued && p.chain.Wake() != nil:
			continue
		case len(p.input[d]) == 0:
			p.end(d)
		default:
			m.In.Push([]byte(p.input[d][0]))
			p.input[d] = p.input[d][1:]
		}
		return true
	}
	if p.ended[Request] && !p.ex.Response.Arrived {
		p.arrive(Response)
		return true
	}
	return false
}

func (p *proxy) end(d Direction) {
	m := p.ex.Message(d)
	m.In.Ended = true
	if name, value, ok := strings.Cut(p.message[d].trailers, "="); ok {
		m.In.Trailers = Headers{{name, []byte(value)}}
	}
}
