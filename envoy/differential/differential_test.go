// Package differential_test runs the same proxy-wasm modules in Envoy's own wasm filter (V8) and in extproc behind an Envoy with the generated
// configuration, sends both the same, and compares what the client and the upstream saw and what the plugins logged.
//
// PROXYWASM_CORPUS=folder has the modules of a folder compared too, see description.
package differential_test

import (
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/checkout"
)

// plugin is a module with its configuration.
type plugin struct {
	wasm         string // absolute path
	name         string // "" is the root id
	root, config string
}

func (p plugin) label() string {
	if p.name == "" {
		return p.root
	}
	return p.name
}

// setup is a chain of plugins and what is sent through it.
type setup struct {
	name      string
	plugins   []plugin
	callouts  []string // names of services, see services
	exchanges []exchange
	// started are lines that the plugins log by themselves in the end, in any order and, as there are several VMs, any number.
	started []string
	// metrics are samples of what the plugins define, as they are in the end.
	metrics map[string]float64
}

// side is one way to run a setup.
type side interface {
	url(s setup) string
	log() string
	exposition() string // URL of the metrics
	guestLines(s setup, log string) outcome
}

// TestModules runs every module of the tree. In each setup, Envoy's filter is held to the expectations of the table and extproc to
// Envoy's filter.
func TestModules(t *testing.T) {
	for _, group := range modules(t) {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			group.run(t)
		})
	}
}

// group is setups that share one Envoy inside.
type group struct {
	name   string
	setups []setup
	ignore []string // beginnings of lines not to be compared
	// foreign is a group that Envoy may refuse to load; then extproc has to refuse it too.
	foreign bool
}

func (g group) run(t *testing.T) {
	u := newUpstream(t)
	in, err := startInside(t, u.address(), g.setups)
	if err != nil {
		if !g.foreign {
			t.Fatal(err)
		}
		t.Logf("Envoy: %.2000s", err)
		if err := startExtproc(t, g.setups[0]); err == nil {
			t.Error("extproc loads a module that Envoy does not load")
		}
		return
	}
	for _, s := range g.setups {
		t.Run(s.name, func(t *testing.T) {
			oracle := map[string]outcome{}
			t.Run("inside", func(t *testing.T) {
				s.run(t, in, u, func(x exchange) outcome { return x.want }, func(t *testing.T, x exchange, got outcome) {
					oracle[x.name] = got
					x.check(t, got)
				})
				s.startup(t, in)
				s.measured(t, in)
			})
			t.Run("outside", func(t *testing.T) {
				out := startOutside(t, u.address(), s)
				s.run(t, out, u, func(x exchange) outcome { return oracle[x.name] }, func(t *testing.T, x exchange, got outcome) {
					inside, outside := oracle[x.name].without(g.ignore), got.without(g.ignore)
					if x.cut {
						inside, outside = inside.failed(), outside.failed()
					}
					compare(t, inside, outside)
				})
				s.startup(t, out)
				s.measured(t, out)
			})
		})
	}
}

// run sends every exchange through a side. wanted are lines to wait for, as far as they are of the log.
func (s setup) run(t *testing.T, on side, u *upstream, wanted func(exchange) outcome, judge func(*testing.T, exchange, outcome)) {
	for _, x := range s.exchanges {
		t.Run(strings.ReplaceAll(x.name, " ", "-"), func(t *testing.T) {
			mark := len(on.log())
			u.expect(x.reply)
			answer := x.send.do(t, client(x.http2), on.url(s))
			judge(t, x, slices.Concat(u.seen(), answer, s.logged(on, mark, wanted(x))))
		})
	}
}

func client(http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true, Protocols: protocols},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       20 * time.Second,
	}
}

// How long to wait for lines of a log: until those that are wanted are there, and for a while after, for those that are not.
const (
	logLimit = time.Minute
	logQuiet = 60 * time.Millisecond
)

func (s setup) logged(on side, mark int, wanted outcome) outcome {
	count := 0
	for _, line := range wanted {
		if strings.HasPrefix(line, "log ") {
			count++
		}
	}
	var lines outcome
	last, changed := -1, time.Now()
	for start := time.Now(); time.Since(start) < logLimit; time.Sleep(5 * time.Millisecond) {
		text := on.log()
		if len(text) != last {
			last, changed = len(text), time.Now()
			lines = s.ofExchange(on.guestLines(s, text[mark:]))
		}
		if len(lines) >= count && time.Since(changed) > logQuiet {
			break
		}
	}
	return lines
}

// ofExchange leaves out what the plugins log by themselves.
func (s setup) ofExchange(lines outcome) outcome {
	return slices.DeleteFunc(lines, func(line string) bool { return slices.Contains(s.started, line) })
}

// startup waits for what the plugins log by themselves.
func (s setup) startup(t *testing.T, on side) {
	t.Helper()
	for _, want := range s.started {
		deadline := time.Now().Add(logLimit)
		for !slices.Contains(on.guestLines(s, on.log()), want) {
			if time.Now().After(deadline) {
				t.Errorf("there is no line %q among\n%s", want, on.guestLines(s, on.log()))
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// sample is a line of metrics: Envoy names a guest's as the guest does, extproc puts wasmcustom_ before it.
var sample = regexp.MustCompile(`(?m)^(?:wasmcustom_)?(\w+)(?:\{[^}]*\})? (\S+)$`)

// measured waits for the metrics that there have to be.
func (s setup) measured(t *testing.T, on side) {
	t.Helper()
	if s.metrics == nil {
		return
	}
	got := map[string]float64{}
	for start := time.Now(); time.Since(start) < logLimit && !maps.Equal(got, s.metrics); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(on.exposition())
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		clear(got)
		for _, m := range sample.FindAllStringSubmatch(string(text), -1) {
			if _, found := s.metrics[m[1]]; !found {
				continue
			}
			value, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				t.Fatal(err)
			}
			got[m[1]] += value
		}
	}
	if !maps.Equal(got, s.metrics) {
		t.Errorf("the metrics are %v, want %v", got, s.metrics)
	}
}

func example(t *testing.T, elem ...string) string {
	t.Helper()
	path, err := checkout.Path(append([]string{"envoy", "examples"}, elem...)...)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
