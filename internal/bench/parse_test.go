package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 2 0 -1 4194560 900 0 3 0 123 45 6 7 20 0 9 0 8000 1000 200"
	for name, c := range map[string]struct {
		stat  string
		want  time.Duration
		wrong string
	}{
		"plain":           {"77 (envoy)" + rest, 1680 * time.Millisecond, ""},
		"spaces in names": {"77 (a) S (b c)" + rest, 1680 * time.Millisecond, ""},
		"empty":           {"", 0, "13 fields"},
		"no name":         {"77 envoy" + rest, 0, "13 fields"},
		"cut":             {"77 (envoy) S 1 2 2", 0, "13 fields"},
		"no number":       {"77 (envoy) S 1 2 2 0 -1 4194560 900 0 3 0 123 x", 0, "clock ticks"},
	} {
		got, err := parseStat([]byte(c.stat))
		expect(t, name, err, c.wrong)
		if err == nil && got != c.want {
			t.Errorf("%s: %v, expected %v", name, got, c.want)
		}
	}
}

// TestCPUTime compares with a process whose use is known: this one.
func TestCPUTime(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for range 2_000 { // a limit in CPU time, however slow the machine
		for began := time.Now(); time.Since(began) < 10*time.Millisecond; {
		}
		now, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now > before {
			return
		}
	}
	t.Errorf("still %v after some seconds of work", before)
}

// summary is what h2load prints in the end.
const summary = `starting benchmark...
progress: 100% done

finished in 1.50s, 3333.33 req/s, 1.19MB/s
requests: 5000 total, 5000 started, 5000 done, 4990 succeeded, 10 failed, 0 errored, 0 timeout
status codes: 4990 2xx, 0 3xx, 0 4xx, 10 5xx
`

func TestParseSummary(t *testing.T) {
	good := strings.NewReplacer("4990", "5000", "10 ", "0 ").Replace(summary)
	for name, c := range map[string]struct {
		said, wrong string
	}{
		"good":         {good, ""},
		"some refused": {summary, "4990 of 5000"},
		"no Envoy":     {"unable to connect to the server\n", "expected a rate"},
	} {
		got, err := parseSummary([]byte(c.said), 5000)
		expect(t, name, err, c.wrong)
		if err == nil && got != 3333.33 {
			t.Errorf("%s: %v requests/s, expected 3333.33", name, got)
		}
	}
}

func TestParseLog(t *testing.T) {
	for name, c := range map[string]struct {
		log, wrong string
		want       []time.Duration
	}{
		"good":       {"1764354001000000\t200\t310\n1764354001000400\t200\t2\n", "", []time.Duration{310_000, 2_000}},
		"empty":      {"", "", nil},
		"refused":    {"1764354001000000\t503\t310\n", "status 503", nil},
		"cut":        {"1764354001000000\t200\n", "expected start, status and time", nil},
		"not a time": {"1764354001000000\t200\tx\n", "time in µs", nil},
	} {
		got, err := parseLog([]byte(c.log))
		expect(t, name, err, c.wrong)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, expected %v", name, got, c.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	took := make([]time.Duration, 101)
	for i := range took {
		took[i] = time.Duration(100 - i)
	}
	for percent, want := range map[int]time.Duration{50: 50, 99: 99} {
		if got := quantile(took, percent); got != want {
			t.Errorf("%d%%: %d, expected %d", percent, got, want)
		}
	}
}

// TestSummarize: the ratio is of the same round, so that a slow round of all changes
// nothing.
func TestSummarize(t *testing.T) {
	one, two := headerLoads()[0], headerLoads()[1]
	rounds := func(rates ...float64) (list []figures) {
		for _, r := range rates {
			list = append(list, figures{PerSecond: r})
		}
		return list
	}
	results := []*result{
		{Load: one, Contestant: yardstick, Rounds: rounds(100, 10, 1000)},
		{Load: one, Contestant: "twice", Rounds: rounds(200, 20, 2000)},
		{Load: two, Contestant: yardstick, Rounds: rounds(1, 1, 1)},
		{Load: two, Contestant: "twice", Rounds: rounds(3, 5, 4)},
	}
	summarize(results)
	for i, want := range [][2]float64{{100, 1}, {200, 2}, {1, 1}, {4, 4}} {
		got := [2]float64{results[i].Median.PerSecond, results[i].Ratio.PerSecond}
		if got != want {
			t.Errorf("%v, %s: median and ratio %v, expected %v", results[i].Load, results[i].Contestant, got, want)
		}
	}
	if r := results[1].Ratio.ServerCPU; r != 0 {
		t.Errorf("a ratio of %v to a yardstick that took nothing", r)
	}
}

func TestChosen(t *testing.T) {
	var names []string
	for _, c := range chosen(headerContestants, regexp.MustCompile("frames")) {
		names = append(names, c.name)
	}
	if want := []string{yardstick, "extproc frames, module", "extproc frames, component"}; !slices.Equal(names, want) {
		t.Errorf("%q, expected %q", names, want)
	}
}

func TestUnder(t *testing.T) {
	all := append(headerLoads(), bodyLoads()...)
	for _, c := range []struct {
		under string
		want  []string
	}{
		{"1.1, concurrency 64$", []string{"HTTP/1.1, concurrency 64"}},
		{"MB", []string{"HTTP/2, concurrency 8, 1 MB"}},
		{"HTTP/3", nil},
	} {
		var names []string
		for _, l := range loadsOf(slices.Clone(all), regexp.MustCompile(c.under)) {
			names = append(names, l.String())
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("%s: %q, expected %q", c.under, names, c.want)
		}
	}
	err := (&options{rounds: 1, requests: 1}).run("", "HTTP/3")
	expect(t, "no load", err, `"HTTP/1.1, concurrency 64"`)
}

// expect compares an error with a part of its text, "" for none.
func expect(t *testing.T, name string, err error, part string) {
	t.Helper()
	switch {
	case part == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case part != "" && (err == nil || !strings.Contains(err.Error(), part)):
		t.Errorf("%s: error %v, expected one with %q", name, err, part)
	}
}
