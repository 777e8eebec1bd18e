package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// measured is a report of all loads, as if each contestant had been worse than the one before.
func measured() *report {
	r := &report{Date: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), Envoy: "1.40.0", Go: "go1.26.8", Rounds: 3}
	fill := func(list []contestant, loads []load) (results []*result) {
		for _, l := range loads {
			if l.Half {
				l.Rate = 2000
			}
			for i, c := range list {
				f := figures{PerSecond: float64(1000 - i), P50: 1, P99: 2, EnvoyCPU: 50, ServerCPU: float64(i)}
				results = append(results, &result{Load: l, Contestant: c.name, Rounds: []figures{f}})
			}
		}
		summarize(results)
		return results
	}
	r.Headers, r.Bodies = fill(headerContestants, headerLoads()), fill(bodyContestants, bodyLoads())
	return r
}

// TestPublish: README gets all tables and the plot, twice the same, and keeps the rest.
func TestPublish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(path, []byte("before\n"+begins+"\nold\n"+ends+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// What is published has been in a file before.
	out := filepath.Join(t.TempDir(), "bench.json")
	if err := measured().write(out); err != nil {
		t.Fatal(err)
	}
	o := &options{out: out}
	var texts []string
	for range 2 {
		if err := o.show(path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	text := texts[0]
	if texts[1] != text {
		t.Errorf("another text the second time:\n%s\n%s", text, texts[1])
	}
	if !strings.HasPrefix(text, "before\n"+begins+"\n") || !strings.HasSuffix(text, ends+"\nafter\n") || strings.Contains(text, "old") {
		t.Errorf("expected what lies between the lines to be another:\n%s", text)
	}
	head, folded, _ := strings.Cut(text, "<details>")
	for _, l := range append(headerLoads(), bodyLoads()...) {
		title := ", " + l.String() + ":"
		if l.Half {
			title += " 2000 requests/s:"
		}
		first := l.Half && !l.HTTP2 || l.String() == "HTTP/1.1, concurrency 64" || l.Body == 64<<10
		if strings.Contains(head, title) != first || strings.Contains(folded, title) == first {
			t.Errorf("expected %q once, folded unless it is a headline:\n%s", title, text)
		}
	}
	if row := "| extproc frames, module | 996 (1.00) | 1.00 (1.00) | 2.00 (1.00) | 50.0 (1.00) | 4.00 (2.00) | - |\n"; !strings.Contains(head, row) {
		t.Errorf("no row %s in\n%s", row, head)
	}
	plot, err := os.ReadFile(filepath.Join(filepath.Dir(path), filepath.FromSlash(picture)))
	if err != nil {
		t.Fatal(err)
	}
	if texts := drawn(t, string(plot)); texts["50.0 + 2.00"] != 2 || texts["p99 in ms at 2000 requests/s"] != 1 || texts[yardstick] != 2 {
		t.Errorf("expected the yardstick's figures for headers and for bodies: %v", texts)
	}
}

// drawn counts the texts of a picture.
func drawn(t *testing.T, svg string) map[string]int {
	texts := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if text, ok := token.(xml.CharData); ok {
			texts[string(text)]++
		}
	}
}

// TestPlotOfLess: a run of some loads has less to plot.
func TestPlotOfLess(t *testing.T) {
	r := measured()
	r.Headers = nil
	if texts := drawn(t, string(r.plot())); texts["Headers, both ways, over HTTP/1.1, 64 at once"] != 0 || texts["Bodies of 64 KB, both ways, over HTTP/2, 8 at once"] != 1 {
		t.Errorf("expected bodies only: %v", texts)
	}
}

func TestPublishWrong(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ readme, figures, wrong string }{
		"no lines":   {"text\n", "{}", begins},
		"no end":     {begins + "\n", "{}", ends},
		"no figures": {begins + "\n" + ends + "\n", "]", "bench.json: invalid character"},
	} {
		readme, out := filepath.Join(dir, "README.md"), filepath.Join(dir, "bench.json")
		for path, text := range map[string]string{readme: c.readme, out: c.figures} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, name, (&options{out: out}).show(readme), c.wrong)
	}
	expect(t, "no run", (&options{out: filepath.Join(dir, "none")}).show(filepath.Join(dir, "README.md")), "figures of a run")
}
