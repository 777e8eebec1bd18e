package plugin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// deed is what a simple guest does with a message.
type deed struct {
	add  string // a field to add to headers and trailers
	body string // "" leaves it, "stream" appends the guest's letter to each chunk,
	// "whole" reads it before the headers go on, "drop" and "new" don't read it
}

// behaviour is what a simple guest does.
type behaviour struct {
	letter   string
	request  deed
	response deed
	local    string // "headers", "body": answers itself, having read that much
	fails    string // "start", "request", "response", "chunk": when it fails
	strategy FailStrategy
	early    bool // is done once the request has gone on
	waits    bool // waits for something else before it acts on a headers
}

// simple is a guest of a few lines. It is the reference for nothing: what it does
// to each message is also written as a function, see apply.
type simple struct {
	behaviour
	ex     *Exchange
	count  *int
	waited [2]bool
	timer  *Bell
	over   time.Time
	read   [2]strings.Builder
}

func (b behaviour) Needs() Needs                { return Needs{} }
func (b behaviour) Close(context.Context) error { return nil }

type simpleModule struct {
	behaviour
	live *int
}

func (m simpleModule) Start(ex *Exchange) (Guest, error) {
	if m.fails == "start" {
		return nil, errSimple
	}
	*m.live++
	return &simple{behaviour: m.behaviour, ex: ex, count: m.live}, nil
}

var errSimple = errors.New("failed as told")

func (g *simple) Close() { *g.count-- }

func (g *simple) Step(context.Context) (Status, error) {
	for d := range Direction(2) {
		m := g.ex.Message(d)
		if !m.Arrived {
			continue
		}
		if g.waits && !g.waited[d] {
			g.waited[d], g.timer, g.over = true, NewBell(), time.Now().Add(time.Millisecond)
			time.AfterFunc(time.Millisecond, g.timer.Ring)
		}
		if g.timer != nil && time.Now().Before(g.over) {
			return Status{Wake: g.timer}, nil
		}
		g.timer = nil
		if err := g.act(d, m); err != nil {
			return Status{}, err
		}
	}
	q, r := &g.ex.Request, &g.ex.Response
	done := r.Complete() && (q.Complete() || g.local != "") || g.early && q.Complete()
	return Status{Done: done}, nil
}

func (g *simple) act(d Direction, m *Message) error {
	deed := g.request
	if d == Response {
		deed = g.response
	}
	if g.fails == "request" && d == Request || g.fails == "response" && d == Response {
		return errSimple
	}
	if d == Request && g.local != "" {
		return g.answer(m)
	}
	headers := m.Original
	if deed.add != "" {
		headers = append(slices.Clone(m.Original), Field{deed.add, []byte(g.letter)})
	}
	release := func(plan BodyPlan) { m.Headers, m.Plan, m.Released = headers, plan, true }
	switch deed.body {
	case "":
		release(Untouched)
	case "drop":
		release(Replaced)
		m.Out.Ended = true
	case "new":
		if !m.Released {
			m.Out.Push([]byte("new" + g.letter))
		}
		release(Replaced)
		m.Out.Ended = true
	case "stream":
		m.WantBody = true
		release(Replaced)
		for m.Out.Len() < 64 {
			chunk := m.In.Pop()
			if chunk == nil {
				break
			}
			if g.fails == "chunk" {
				return errSimple
			}
			m.Out.Push(append(slices.Clone(chunk), g.letter...))
		}
		g.end(m, deed)
	case "whole":
		m.WantBody = true
		for chunk := m.In.Pop(); chunk != nil; chunk = m.In.Pop() {
			g.read[d].Write(chunk)
		}
		if m.In.Ended && !m.Released {
			release(Replaced)
			m.Out.Push([]byte(g.read[d].String() + g.letter))
			g.end(m, deed)
		}
	case "peek":
		m.WantBody = true
		if m.In.Ended {
			release(Untouched)
		}
	}
	return nil
}

func (g *simple) end(m *Message, deed deed) {
	if m.In.Ended && m.In.Len() == 0 && !m.Out.Ended {
		m.Out.Ended, m.Out.Trailers = true, m.In.Trailers
		if deed.add != "" && m.In.Trailers != nil {
			m.Out.Trailers = append(slices.Clone(m.In.Trailers), Field{deed.add, []byte(g.letter)})
		}
	}
}

// answer is a local response; it says what of the request it has seen.
func (g *simple) answer(q *Message) error {
	m := &g.ex.Response
	if m.Released {
		return nil
	}
	if g.local == "body" {
		q.WantBody = true
		for chunk := q.In.Pop(); chunk != nil; chunk = q.In.Pop() {
			g.read[Request].Write(chunk)
		}
		if !q.In.Ended {
			return nil
		}
	}
	m.Headers = Headers{{":status", []byte("403")}, {"by", []byte(g.letter)}}
	m.Plan, m.Released = Replaced, true
	m.Out.Push([]byte("local" + g.letter + g.read[Request].String()))
	m.Out.Ended = true
	return nil
}

// message is a message as a whole.
type message struct {
	headers  string
	chunks   []string
	noBody   bool
	trailers string
}

func (m message) String() string {
	return fmt.Sprintf("[%s] %q [%s]", m.headers, strings.Join(m.chunks, "|"), m.trailers)
}

// apply is what a guest makes of a message, as a function.
func (b behaviour) apply(d Direction, m message) message {
	deed := b.request
	if d == Response {
		deed = b.response
	}
	if deed.add != "" {
		m.headers += " " + deed.add + "=" + b.letter
	}
	switch deed.body {
	case "drop":
		m.chunks, m.trailers, m.noBody = nil, "", true
	case "new":
		m.chunks, m.trailers, m.noBody = []string{"new" + b.letter}, "", false
	case "stream":
		var chunks []string
		for _, c := range m.chunks {
			chunks = append(chunks, c+b.letter)
		}
		m.chunks = chunks
	case "whole":
		m.chunks, m.noBody = []string{strings.Join(m.chunks, "") + b.letter}, false
	}
	if deed.add != "" && m.trailers != "" && (deed.body == "stream" || deed.body == "whole") {
		m.trailers += " " + deed.add + "=" + b.letter
	}
	return m
}

// compose is what becomes of an exchange, guest by guest.
func compose(guests []behaviour, request, response message) played {
	var out played
	out.untouched = [2]bool{true, true}
	touches := func(d Direction, m deed) { out.untouched[d] = out.untouched[d] && (m.body == "" || m.body == "peek") }
	passed := make([]bool, len(guests))
	last := len(guests) - 1
	for i, b := range guests {
		b.letter = string(rune('a' + i))
		if b.fails == "start" || b.fails == "request" {
			if passed[i] = b.strategy == FailOpen; passed[i] {
				continue
			}
			if i == 0 {
				return played{refused: true}
			}
			out.local, response, last = true, message{headers: ":status=503 x-extproc-failure=1", noBody: true}, i-1
			break
		}
		if b.local != "" {
			body := "local" + b.letter
			if b.local == "body" {
				body += strings.Join(request.chunks, "")
			}
			out.local, response, last = true, message{headers: ":status=403 by=" + b.letter, chunks: []string{body}}, i-1
			break
		}
		touches(Request, b.request)
		request = b.apply(Request, request)
	}
	for i := last; i >= 0; i-- {
		b := guests[i]
		b.letter = string(rune('a' + i))
		switch {
		case passed[i], b.early:
		case b.fails == "response" && b.strategy == FailOpen:
		case b.fails == "response" && i == 0:
			return played{refused: true}
		case b.fails == "response":
			response, out.untouched[Response] = message{headers: ":status=503 x-extproc-failure=1", noBody: true}, false
		default:
			touches(Response, b.response)
			response = b.apply(Response, response)
		}
	}
	out.request, out.response = request, response
	return out
}

func render(h Headers) string {
	var list []string
	for _, f := range h {
		list = append(list, f.Name+"="+string(f.Value))
	}
	return strings.Join(list, " ")
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func randomBehaviour(r *rand.Rand) behaviour {
	deeds := func() deed {
		return deed{add: pick(r, "", "x", "y"), body: pick(r, "", "", "stream", "stream", "whole", "drop", "new", "peek")}
	}
	return behaviour{
		request: deeds(), response: deeds(),
		local:    pick(r, "", "", "", "", "", "", "", "headers", "body"),
		fails:    pick(r, "", "", "", "", "", "", "", "start", "request", "response"),
		strategy: pick(r, FailClose, FailOpen), early: r.IntN(6) == 0, waits: r.IntN(40) == 0,
	}
}

// TestChainComposes: a chain does what its plugins do one after the other.
func TestChainComposes(t *testing.T) {
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var guests []behaviour
		for range 1 + r.IntN(4) {
			guests = append(guests, randomBehaviour(r))
		}
		if slices.ContainsFunc(guests, func(b behaviour) bool { return b.local != "" || b.fails != "" }) {
			// The response may be there before the request has gone on.
			for i := range guests {
				guests[i].early = false
			}
		}
		request, response := randomMessage(r, ":q=0"), randomMessage(r, ":r=0")
		got := play(t, guests, request, response, Bounds{Queued: pick(r, 1, 20, 1000), Buffered: 100_000})
		want := compose(guests, request, response)
		if g, w := got.String(), want.String(); g != w {
			t.Fatalf("seed %d: %+v\n%v\n%v:\n got %s\nwant %s", seed, guests, request, response, g, w)
		}
	}
}

func randomMessage(r *rand.Rand, headers string) message {
	m := message{headers: headers}
	for range r.IntN(5) {
		m.chunks = append(m.chunks, strings.Repeat(pick(r, "k", "l", "m"), 1+r.IntN(30)))
	}
	if m.trailers = pick(r, "", "t=0"); m.trailers == "" && len(m.chunks) == 0 {
		m.noBody = r.IntN(2) == 0
	}
	return m
}
