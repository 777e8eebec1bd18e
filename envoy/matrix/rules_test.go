// Package matrix plays every action in every phase and mode on a real Envoy.
package matrix

import "strings"

// mode is how the proxy sends messages of both directions.
type mode struct{ body, trailers string }

func (m mode) name() string { return strings.ToLower(m.body + "-" + m.trailers) }

// modes are those that are played. Full duplex demands trailers.
var modes = []mode{
	{"NONE", "SEND"}, {"NONE", "SKIP"},
	{"STREAMED", "SEND"}, {"STREAMED", "SKIP"},
	{"BUFFERED", "SEND"}, {"BUFFERED", "SKIP"},
	{"BUFFERED_PARTIAL", "SEND"}, {"BUFFERED_PARTIAL", "SKIP"},
	{"FULL_DUPLEX_STREAMED", "SEND"},
}

// overrides are the settings of allow_mode_override. In NONE a guest that wants a body
// depends on it, and the generated configuration has it.
func (m mode) overrides() []bool {
	if m.body == "NONE" {
		return []bool{true}
	}
	return []bool{true, false}
}

// sets are the plugins: a kind of guest and what its failure means.
var sets = []string{"component-close", "component-open", "module-close", "module-open"}

// cell is one exchange.
type cell struct {
	mode     mode
	override bool   // allow_mode_override
	set      string // of plugins
	http2    bool   // of the client
	action   string // pass, change, answer or trap
	phase    string // request-headers to response-trailers
}

func (c cell) do() string {
	if c.phase == "" {
		return c.action
	}
	return c.action + ":" + c.phase
}

func (c cell) component() bool { return strings.HasPrefix(c.set, "component") }
func (c cell) open() bool      { return strings.HasSuffix(c.set, "open") }

func (c cell) direction() string { d, _, _ := strings.Cut(c.phase, "-"); return d }
func (c cell) part() string      { _, p, _ := strings.Cut(c.phase, "-"); return p }

// outcome is what becomes of an exchange, at both of its ends.
type outcome string

const (
	passes   outcome = "passes"   // as it came
	changed  outcome = "changed"  // as it came, but for the part that the guest has changed
	answered outcome = "answered" // the client has the guest's own response
	refused  outcome = "refused"  // the client has 503 and x-extproc-failure
	cut      outcome = "cut"      // the client has the beginning of a response
)

// cells are the exchanges of a mode.
func cells(m mode, override bool) []cell {
	var all []cell
	for _, set := range sets {
		for _, http2 := range []bool{false, true} {
			base := cell{mode: m, override: override, set: set, http2: http2, action: "pass"}
			all = append(all, base)
			for _, action := range []string{"change", "answer", "trap"} {
				for _, phase := range phases(m) {
					c := base
					c.action, c.phase = action, phase
					all = append(all, c)
				}
			}
		}
	}
	return all
}

// phases are those that a message has in a mode. Where trailers are skipped none are sent.
func phases(m mode) []string {
	all := []string{"request-headers", "request-body", "response-headers", "response-body"}
	if m.trailers == "SEND" {
		all = append(all, "request-trailers", "response-trailers")
	}
	return all
}

// expected are the outcomes that the rules allow. There are two where a response may
// have begun or not: "refused" is "cut" for a client that has its headers.
func expected(c cell) []outcome {
	failed := []outcome{refused}
	if c.direction() == "response" && c.part() != "headers" && !c.buffers() {
		failed = []outcome{refused, cut}
	}
	switch c.action {
	case "pass":
		return []outcome{passes}
	case "change":
		return c.changes()
	case "answer":
		return c.answers(failed)
	default:
		return c.fails(failed)
	}
}

// buffers tells that a body is one message.
func (c cell) buffers() bool { return strings.HasPrefix(c.mode.body, "BUFFERED") }

// partial tells of a body that can't be known to be whole: trailers may follow it, or a
// rest that isn't sent. Nothing can be put in its place.
func (c cell) partial() bool { return c.mode.body == "BUFFERED_PARTIAL" && c.mode.trailers == "SEND" }

// unseen tells of trailers that come after a body that was whole already.
func (c cell) unseen() bool { return c.part() == "trailers" && c.buffers() }

func (c cell) changes() []outcome {
	switch {
	case c.part() == "body" && c.partial():
		return []outcome{refused}
	case c.unseen():
		return []outcome{passes}
	}
	return []outcome{changed}
}

// answers: a component reads before it lets the headers go on, which STREAMED can't wait
// for. The headers of a module have gone on by then, and with a response's headers the
// chance to send another.
func (c cell) answers(failed []outcome) []outcome {
	switch {
	case !c.component() && c.unseen():
		return []outcome{passes}
	case c.part() == "headers" && c.direction() == "request":
		return []outcome{answered}
	case c.component() && c.part() != "headers" && c.mode.body == "STREAMED":
		return c.policy(failed[:1])
	case c.direction() == "response" && c.partial():
		return []outcome{refused}
	case c.component() || c.part() == "headers":
		return []outcome{answered}
	case c.direction() == "request":
		return []outcome{answered}
	}
	return failed
}

// fails: nothing can go on of a body that the guest has taken over, which a module has
// of every body that it was shown, and a component only of one that it reads.
func (c cell) fails(failed []outcome) []outcome {
	switch {
	case !c.component() && c.unseen():
		return []outcome{passes}
	case c.part() == "body", c.part() == "trailers" && !c.component():
		return failed
	}
	return c.policy(failed)
}

// policy is what becomes of an exchange of which the guest has taken nothing.
func (c cell) policy(failed []outcome) []outcome {
	if c.open() {
		return []outcome{passes}
	}
	return failed
}
