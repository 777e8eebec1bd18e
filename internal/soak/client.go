package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/extproc/extproc/internal/upstream"
)

// tally counts answers. Those that met an outage may be lost.
type tally struct {
	outages *outages

	mu       sync.Mutex
	counts   map[string]int
	excused  int
	problems []string // answers that were lost or wrong
}

func newTally(o *outages) *tally { return &tally{outages: o, counts: map[string]int{}} }

func (t *tally) note(what string, began time.Time, err error) {
	met := err != nil && t.outages.met(began)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what]++
	switch {
	case err == nil:
	case met:
		t.excused++
	default:
		t.problems = append(t.problems, fmt.Sprintf("%s at %s: %v", what, began.Format(time.TimeOnly), err))
	}
}

func (t *tally) total() (n int) {
	for _, count := range t.counts {
		n += count
	}
	return n
}

// kinds are what was asked for, with the counts.
func (t *tally) kinds() string {
	var list []string
	for _, what := range slices.Sorted(maps.Keys(t.counts)) {
		list = append(list, fmt.Sprintf("%s %d", what, t.counts[what]))
	}
	return strings.Join(list, ", ")
}

// client sends requests of all kinds and looks at every answer.
type client struct {
	stack *stack
	tally *tally
	http  *http.Client
	rand  *rand.Rand
	id    string
	n     int
	team  int // the last one seen
}

func newClient(s *stack, t *tally, i int, http2 bool) *client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	return &client{
		stack: s, tally: t, http: &http.Client{Transport: transport, Timeout: time.Minute},
		rand: rand.New(rand.NewPCG(uint64(i), 0)), id: fmt.Sprintf("%d-%v", i, http2),
	}
}

// requests are what a client asks for, each as often as its weight says.
var requests = []struct {
	name   string
	weight int
	ask    func(*client, context.Context) error
}{
	{"echo", 60, (*client).echo},
	{"upload", 20, (*client).upload},
	{"download", 19, (*client).download},
	{"trap", 1, (*client).trap},
}

func (c *client) run(ctx context.Context) error {
	defer c.http.CloseIdleConnections()
	for ctx.Err() == nil {
		if !c.stack.outages.wait(ctx) {
			return nil
		}
		at := c.rand.IntN(100)
		for _, r := range requests {
			if at -= r.weight; at >= 0 {
				continue
			}
			c.n++
			began := time.Now()
			// What is under way when time is up may end.
			c.tally.note(r.name, began, r.ask(c, context.WithoutCancel(ctx)))
			break
		}
	}
	return nil
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   []byte
	began  time.Time
}

// answer sends a request and reads the whole answer.
func (c *client) answer(ctx context.Context, method, path string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.stack.listen+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("X-Id", fmt.Sprint(c.id, "-", c.n))
	req.Header.Set("X-Secret", "s")
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, text, began}, err
}

// passed checks what all plugins do with the headers of a response.
func (c *client) passed(got answer) error {
	if got.status != http.StatusOK {
		return fmt.Errorf("status %d", got.status)
	}
	if name := got.header.Get("X-Plugin"); name != "header-rules" {
		return fmt.Errorf("x-plugin %q", name)
	}
	if values := got.header.Values("X-Multi"); len(values) != 2 {
		return fmt.Errorf("x-multi %q", values)
	}
	// What was stored with the request is there, unless the store was gone.
	if stored := got.header.Get("X-Store"); stored == "" || stored != "a" && !c.stack.store.outages.met(got.began) {
		return fmt.Errorf("x-store %q", stored)
	}
	// A later configuration takes over from an earlier one, never the other way.
	team, err := strconv.Atoi(got.header.Get("X-Team"))
	if err != nil || team < c.team || team > int(c.stack.teams.Load()) {
		return fmt.Errorf("x-team %q after %d", got.header.Get("X-Team"), c.team)
	}
	c.team = team
	return nil
}

// echo looks at what reached the upstream.
func (c *client) echo(ctx context.Context) error {
	got, err := c.answer(ctx, http.MethodGet, "/echo", nil)
	if err != nil {
		return err
	}
	if err := c.passed(got); err != nil {
		return err
	}
	var seen upstream.Seen
	if err := json.Unmarshal(lower(got.body), &seen); err != nil {
		return fmt.Errorf("%w: %q", err, got.body)
	}
	h := http.Header{}
	for name, values := range seen.Headers {
		h[http.CanonicalHeaderKey(name)] = values
	}
	if id, want := h.Get("X-Id"), strings.ToLower(fmt.Sprint(c.id, "-", c.n)); id != want {
		return fmt.Errorf("the answer of %s to %s", id, want)
	}
	if h.Get("X-Secret") != "" || h.Get("X-Plugin") != "headers" || len(h.Values("X-Multi")) != 2 {
		return fmt.Errorf("the upstream saw %v", h)
	}
	return nil
}

// lower takes back what body-transform makes of text.
func lower(b []byte) []byte { return bytes.ToLower(b) }

// upload has the upstream send a body back as it comes.
func (c *client) upload(ctx context.Context) error {
	body := bytes.Repeat([]byte{byte('a' + c.rand.IntN(26))}, c.rand.IntN(200_000))
	got, err := c.answer(ctx, http.MethodPost, "/raw", body)
	if err != nil {
		return err
	}
	if err := c.passed(got); err != nil {
		return err
	}
	if !bytes.Equal(lower(got.body), body) {
		return fmt.Errorf("%d bytes came back of %d", len(got.body), len(body))
	}
	return nil
}

// download compares a body with what it has to be.
func (c *client) download(ctx context.Context) error {
	want := make([]byte, c.rand.IntN(200_000))
	upstream.Fill(want, 0)
	got, err := c.answer(ctx, http.MethodGet, fmt.Sprint("/bytes/", len(want)), nil)
	if err != nil {
		return err
	}
	if err := c.passed(got); err != nil {
		return err
	}
	for i, b := range want {
		if 'a' <= b && b <= 'z' {
			want[i] = b - 'a' + 'A'
		}
	}
	if !bytes.Equal(got.body, want) {
		return fmt.Errorf("%d bytes came of %d", len(got.body), len(want))
	}
	return nil
}

// trap asks for what ends a plugin.
func (c *client) trap(ctx context.Context) error {
	got, err := c.answer(ctx, http.MethodGet, "/trap", nil)
	switch {
	case err != nil:
		return err
	case got.status != http.StatusServiceUnavailable:
		return fmt.Errorf("status %d after a trap: %q", got.status, got.body)
	}
	return nil
}
