package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

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
	// What half of is offered has to be measured before.
	half := loadsOf(headerLoads(), regexp.MustCompile("1.1, half"))
	if len(half) != 2 || !half[0].saturates(half[1]) {
		t.Errorf("%v, expected HTTP/1.1 at concurrency 64 and at half of that", half)
	}
	err := (&options{rounds: 1, requests: 1}).run("", "HTTP/3")
	expect(t, "no load", err, `"HTTP/1.1, concurrency 64"`)
}

// TestPacedBy: all are offered half of what the yardstick can take.
func TestPacedBy(t *testing.T) {
	loads := headerLoads()
	var results []*result
	for i, l := range loads {
		results = append(results,
			&result{Load: l, Contestant: "other", Median: figures{PerSecond: 7}},
			&result{Load: l, Contestant: yardstick, Median: figures{PerSecond: float64(1000 * i)}})
	}
	halves := slices.DeleteFunc(slices.Clone(loads), func(l load) bool { return !l.Half })
	for i, l := range pacedBy(results, halves) {
		if want := []float64{500, 2000}[i]; l.Rate != want {
			t.Errorf("%v, expected %v", l, want)
		}
	}
	args := strings.Join(connections(load{Concurrency: 128, Half: true, Rate: 320}), " ")
	if want := "--h1 -r 1 --rate-period 1ms --rps 2.5 -c 128"; args != want {
		t.Errorf("%s, expected %s", args, want)
	}
}

func TestAlso(t *testing.T) {
	var v variants
	for _, text := range []string{"GOGC=200 GODEBUG=madvdontneed=1", "bin/old", "bin/old GOGC=50"} {
		if err := v.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "two programs", v.Set("bin/a bin/b"), "bin/a and bin/b")
	var got []string
	for _, c := range v.also([]contestant{{name: yardstick}, {name: "extproc", transport: "frames"}}) {
		got = append(got, fmt.Sprintf("%s|%s|%s", c.name, c.variant.program, c.variant.env))
	}
	want := []string{
		yardstick + "||[]", "extproc||[]", "extproc, GOGC=200 GODEBUG=madvdontneed=1||[GOGC=200 GODEBUG=madvdontneed=1]",
		"extproc, bin/old|bin/old|[]", "extproc, bin/old GOGC=50|bin/old|[GOGC=50]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, expected %q", got, want)
	}
}

// TestResident compares with a process that has just taken memory: this one.
func TestResident(t *testing.T) {
	before, err := resident(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	taken := bytes.Repeat([]byte{1}, 64<<20)
	after, err := resident(os.Getpid())
	if err != nil || after < before+len(taken)/2 {
		t.Errorf("%d bytes before taking %d, then %d: %v", before, len(taken), after, err)
	}
	runtime.KeepAlive(taken)
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
