package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/extproc/extproc/plugin"
)

// tables reads FAILURES.md: the cells of each table's rows, by its first column's
// title.
func tables(t *testing.T) map[string][][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "FAILURES.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][][]string{}
	title := ""
	for line := range strings.Lines(string(text)) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "| ")
		switch {
		case !ok && !strings.HasPrefix(line, "|-"):
			title = ""
		case ok:
			cells := strings.Split(strings.TrimSuffix(line, " |"), " | ")
			if title == "" {
				title = cells[0]
			}
			found[title] = append(found[title], cells)
		}
	}
	return found
}

// mishaps are the ways to fail of the table of failures, by name.
var mishaps = map[string]plugin.FailureKind{
	"trapped": plugin.Trapped, "timed out": plugin.TimedOut, "out of memory": plugin.OutOfMemory,
	"exited": plugin.Exited, "unanswered": plugin.Unanswered, "late": plugin.Late,
}

// failing is a row of the table of phases: a guest that fails there, and how far
// the exchange gets.
type failing struct {
	d     plugin.Direction // whose mode and body it is about
	guest func(s *script, fail error) error
	// limit is limits.body. There is then one way to fail, and it is no guest's.
	limit    uint64
	body     bool // the guest asks for it in NONE
	first    bool // before the headers go on
	trailers bool
}

var failings = map[string]failing{
	"before the request headers go on": {guest: func(_ *script, fail error) error { return fail }},
	"when it has read of the request body, before the headers go on": {body: true, first: true, guest: func(s *script, fail error) error {
		for range s.chunks(&s.ex.Request) {
			break
		}
		return fail
	}},
	"at a request body that is too large, before the headers go on": {limit: 2, body: true, first: true, guest: func(s *script, fail error) error {
		s.whole(&s.ex.Request)
		return fail
	}},
	"while it replaces the request body":                 {body: true, guest: replacesAndFails(plugin.Request)},
	"while it replaces a request body that is too large": {limit: 2, body: true, guest: replacesAndFails(plugin.Request)},
	"at the request trailers, having replaced the body":  {body: true, trailers: true, guest: replacesAllAndFails(plugin.Request)},
	"before the response headers go on":                  {d: plugin.Response, guest: responds(func(_ *script, fail error) error { return fail })},
	"when it has read of the response body, before the headers go on": {d: plugin.Response, body: true, first: true, guest: responds(func(s *script, fail error) error {
		for range s.chunks(&s.ex.Response) {
			break
		}
		return fail
	})},
	"at a response body that is too large, before the headers go on": {d: plugin.Response, limit: 2, body: true, first: true, guest: responds(func(s *script, fail error) error {
		s.whole(&s.ex.Response)
		return fail
	})},
	"while it replaces the response body":                {d: plugin.Response, body: true, guest: responds(replacesAndFails(plugin.Response))},
	"at the response trailers, having replaced the body": {d: plugin.Response, body: true, trailers: true, guest: responds(replacesAllAndFails(plugin.Response))},
	"when both messages have gone on": {d: plugin.Response, guest: responds(func(s *script, fail error) error {
		release(&s.ex.Response, s.ex.Response.Original, plugin.Untouched)
		return fail
	})},
	"in the middle of a response of its own": {guest: func(s *script, fail error) error {
		release(&s.ex.Response, with(nil, ":status", "200"), plugin.Replaced)
		return fail
	}},
}

// responds is a guest that lets the request go on and waits for the response.
func responds(then func(*script, error) error) func(*script, error) error {
	return func(s *script, fail error) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		s.upstream()
		return then(s, fail)
	}
}

func replacesAndFails(d plugin.Direction) func(*script, error) error {
	return func(s *script, fail error) error {
		m := s.ex.Message(d)
		release(m, m.Original, plugin.Replaced)
		for chunk := range s.chunks(m) {
			s.write(m, chunk)
			break
		}
		return fail
	}
}

func replacesAllAndFails(d plugin.Direction) func(*script, error) error {
	return func(s *script, fail error) error {
		m := s.ex.Message(d)
		release(m, m.Original, plugin.Replaced)
		for chunk := range s.chunks(m) {
			s.write(m, chunk)
		}
		return fail
	}
}

// messages are what a proxy in a mode sends, until the exchange ends.
func (f *failing) messages(mode bodyMode) []*extprocv3.ProcessingRequest {
	var lines []string
	for d, letter := range []string{"q", "r"} {
		about := plugin.Direction(d) == f.d
		head := letter + "h x-do: failing"
		if d == 1 {
			head = letter + "h :status: 200"
		}
		switch {
		case !about || mode == none && !f.body:
			lines = append(lines, head)
		default:
			lines = append(append(lines, head), f.bodyLines(letter, mode)...)
		}
	}
	var msgs []*extprocv3.ProcessingRequest
	for _, line := range lines {
		msgs = append(msgs, msg(line))
	}
	c := &extprocv3.ProtocolConfiguration{RequestBodyMode: mode}
	if f.d == plugin.Response {
		c = &extprocv3.ProtocolConfiguration{ResponseBodyMode: mode}
	}
	msgs[0].ProtocolConfig = c
	return msgs
}

func (f *failing) bodyLines(letter string, mode bodyMode) []string {
	end := " eos"
	if f.trailers {
		end = ""
	}
	lines := []string{letter + "b abc", letter + "b def" + end}
	if mode == buffered || mode == partial || mode == none && f.d == plugin.Response && f.first {
		lines = []string{letter + "b abcdef" + end}
	}
	if f.trailers {
		lines = append(lines, letter+"t t: 1")
	}
	return lines
}

// became is what became of an exchange, in the words of the table.
func became(answers [][]*extprocv3.ProcessingResponse, err error, reg *prometheus.Registry) string {
	if err != nil {
		return err.Error()
	}
	for _, some := range answers {
		for _, a := range some {
			r := a.GetImmediateResponse()
			switch code := r.GetStatus().GetCode(); {
			case r == nil:
			case r.GetDetails() != plugin.FailureDetails:
				return "answered " + show(a)
			case code != 503:
				return fmt.Sprint(int(code))
			case total(reg, "streams_cut") > 0:
				return "cut"
			default:
				return "refused"
			}
		}
	}
	if total(reg, "failure_mode_allowed") > 0 {
		return "passes" + touched(answers)
	}
	return "finished"
}

// touched says what was changed of messages that should have passed.
func touched(answers [][]*extprocv3.ProcessingResponse) string {
	var pieces, changes string
	for _, some := range answers {
		for _, a := range some {
			for _, word := range strings.Fields(show(a)) {
				if word[0] == '=' || word[0] == '+' || word == "body" || word == "clear" || word == "replace" {
					changes += " " + word
				}
			}
			for _, body := range []*extprocv3.BodyResponse{a.GetRequestBody(), a.GetResponseBody()} {
				pieces += string(body.GetResponse().GetBodyMutation().GetStreamedResponse().GetBody())
			}
		}
	}
	if pieces != "" && pieces != "abcdef" {
		changes += " " + pieces
	}
	return changes
}

// fails plays a cell of the table and returns the outcome.
func (f *failing) fails(t *testing.T, mode bodyMode, strategy plugin.FailStrategy, kind plugin.FailureKind) (string, *prometheus.Registry, *renewed) {
	t.Helper()
	failure := &plugin.Failure{Plugin: "scripted-0", Kind: kind, Message: "as told"}
	m := &renewed{scripted: scripted{does: func(s *script) error { return f.guest(s, failure) }}}
	cur := currentOf(t, strategy, &m.scripted)
	set := cur.Acquire()
	set.Plugins[0].Module, set.Plugins[0].Spec.Limits.Body = m, f.limit
	_ = set.Release()
	reg := prometheus.NewRegistry()
	answers, err := talk(t, inTurns(New(cur, Options{Metrics: reg}), (int(mode)+int(kind))%2 == 0), f.messages(mode)...)
	return became(answers, err, reg), reg, m
}

// total is the sum of a metric over all plugins.
func total(reg *prometheus.Registry, name string) (sum float64) {
	families, _ := reg.Gather()
	for _, family := range families {
		if strings.TrimPrefix(strings.TrimPrefix(family.GetName(), "extproc_"), "plugin_") == name {
			for _, one := range family.GetMetric() {
				sum += one.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// renewed is a scripted module that counts how often it was renewed.
type renewed struct {
	scripted
	n int
}

func (m *renewed) Renew() { m.n++ }

// TestFailureTable plays every cell of FAILURES.md: each phase in each mode with each
// strategy and each way to fail.
func TestFailureTable(t *testing.T) {
	all := tables(t)
	phases, kinds := all["the guest fails"], all["failure"]
	if len(phases) != len(failings)+1 || len(kinds) != len(mishaps)+1 {
		t.Fatalf("FAILURES.md has %d phases and %d failures, the test %d and %d", len(phases)-1, len(kinds)-1, len(failings), len(mishaps))
	}
	cells := 0
	for _, row := range phases[1:] {
		f, ok := failings[row[0]]
		if !ok {
			t.Errorf("nothing plays %q", row[0])
			continue
		}
		for i, cell := range row[1:] {
			mode := bodyMode(slices.IndexFunc(bodyModes, func(m bodyMode) bool { return m.String() == phases[0][i+1] }))
			closed, open, _ := strings.Cut(cell, ", ")
			for _, kind := range kinds[1:] {
				for strategy, want := range map[plugin.FailStrategy]string{plugin.FailClose: closed, plugin.FailOpen: open, plugin.FailReload: closed} {
					cells++
					got, reg, m := f.fails(t, bodyModes[mode], strategy, mishaps[kind[0]])
					if got != want {
						t.Errorf("%s, %s, %s, strategy %d: got %s, expected %s", row[0], bodyModes[mode], kind[0], strategy, got, want)
					}
					if f.limit == 0 && !(f.first && bodyModes[mode] == streamed) {
						tallied(t, reg, m, kind, strategy)
					}
				}
			}
		}
	}
	t.Logf("%d cells", cells)
}

// bodyModes are those of the table.
var bodyModes = []bodyMode{none, streamed, buffered, partial, duplex}

// tallied compares the metrics and replacements with the table of failures.
func tallied(t *testing.T, reg *prometheus.Registry, m *renewed, kind []string, strategy plugin.FailStrategy) {
	t.Helper()
	for _, name := range []string{"traps_total", "timeouts_total"} {
		want := 0.0
		if kind[3] == "`"+name+"`" {
			want = 1
		}
		if n := total(reg, name); n != want {
			t.Errorf("%s: %s is %v, expected %v", kind[0], name, n, want)
		}
	}
	want := 0
	if kind[4] == "yes" && strategy == plugin.FailReload {
		want = 1
	}
	if m.n != want {
		t.Errorf("%s, strategy %d: replaced %d times, expected %d", kind[0], strategy, m.n, want)
	}
}
