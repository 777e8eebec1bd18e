package server

import (
	_ "embed"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	modev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/extproc/extproc/plugin"
)

// recordedText is what a real Envoy sent, see its README.
//
//go:embed testdata/recorded/exchanges.txt
var recordedText string

// recordedFloor is how many exchanges there are at least.
const recordedFloor = 130

type recording struct {
	name     string
	config   *extprocv3.ProtocolConfiguration // nil if there was none
	observed bool
	lines    []string
}

func recordings(t *testing.T) []recording {
	t.Helper()
	var all []recording
	for line := range strings.Lines(recordedText) {
		line = strings.TrimSpace(line)
		head, ok := strings.CutPrefix(line, "# ")
		switch {
		case line == "":
		case !ok:
			last := &all[len(all)-1]
			last.lines = append(last.lines, line)
		default:
			words := strings.Fields(head)
			modes := strings.Split(words[1], "/")
			r := recording{name: words[0], observed: slices.Contains(words, "observed")}
			if len(modes) > 1 {
				r.config = &extprocv3.ProtocolConfiguration{
					RequestBodyMode:                         bodyMode(modev3.ProcessingMode_BodySendMode_value[modes[0]]),
					ResponseBodyMode:                        bodyMode(modev3.ProcessingMode_BodySendMode_value[modes[1]]),
					SendBodyWithoutWaitingForHeaderResponse: len(modes) > 2,
				}
			}
			all = append(all, r)
		}
	}
	if len(all) < recordedFloor {
		t.Fatalf("%d exchanges, expected %d at least", len(all), recordedFloor)
	}
	return all
}

// messages are those of a recording, for a guest.
func (r *recording) messages(guest string) []*extprocv3.ProcessingRequest {
	var msgs []*extprocv3.ProcessingRequest
	for i, line := range r.lines {
		if before, size, ok := strings.Cut(line, "b *"); ok {
			size, eos := strings.CutSuffix(size, " eos")
			n, err := strconv.Atoi(size)
			if err != nil {
				panic(line)
			}
			line = before + "b " + strings.Repeat("a", n)
			if eos {
				line += " eos"
			}
			msgs = append(msgs, msg(line))
		} else {
			msgs = append(msgs, msg(line))
		}
		req := msgs[i]
		if h := req.GetRequestHeaders(); h != nil {
			h.Headers.Headers = append(h.Headers.Headers, msg("qh x-do: "+guest).GetRequestHeaders().Headers.Headers...)
		}
		if i == 0 {
			req.ProtocolConfig = r.config
			req.Attributes = toldAttributes(told(guest))
		}
		req.ObservabilityMode = r.observed
	}
	return msgs
}

// TestRecorded plays what a real Envoy sent against guests of every kind: nothing is
// answered that it may not be sent, and nobody waits for anything in the end.
func TestRecorded(t *testing.T) {
	all := recordings(t)
	played := map[string]int{}
	for _, guest := range slices.Sorted(maps.Keys(scripts)) {
		switch guest {
		case "hold", "hoard", "local-ticks", "callout-long", "callout-slow", "callout-reading": // these wait for more than a message
			continue
		}
		s, _ := service(t, plugin.FailClose)
		s.lingering = 10 * time.Millisecond
		inTurns(s, len(guest)%2 == 0)
		for _, r := range all {
			r.play(t, s, guest)
			played[guest]++
		}
	}
	t.Logf("%d exchanges, played with %d guests", len(all), len(played))
}

func (r *recording) play(t *testing.T, s *Service, guest string) {
	t.Helper()
	m := &model{}
	if c := r.config; c != nil {
		m.body = [2]bodyMode{c.RequestBodyMode, c.ResponseBodyMode}
		m.fixed = m.body[0] == duplex || m.body[1] == duplex || c.SendBodyWithoutWaitingForHeaderResponse
	}
	msgs := r.messages(guest)
	answers, err := talk(t, s, msgs...)
	overridden := false
	for i, a := range answers {
		if i < len(msgs) {
			m.sent(msgs[i])
		}
		for _, resp := range a {
			overridden = overridden || resp.ModeOverride != nil
			if r.observed {
				t.Errorf("%s, %s: an answer to what is only shown: %s", r.name, guest, show(resp))
			}
			if err := m.got(resp); err != nil {
				t.Errorf("%s, %s: after %s: %v: %s", r.name, guest, r.lines[min(i, len(r.lines)-1)], err, show(resp))
				return
			}
		}
	}
	// A proxy whose mode was changed, or that had a local response, would have sent other
	// messages from there on.
	if code := status.Code(err); code != codes.OK && !overridden && !m.local && !r.observed {
		t.Errorf("%s, %s: the stream ended with %v", r.name, guest, err)
	}
	if guest == "pass" && !r.observed {
		m.settled(t)
	}
}
