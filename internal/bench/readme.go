package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// headlines are the loads that are plotted, and shown first.
var headlines = []load{
	{Concurrency: saturating},
	{Concurrency: paced, Half: true},
	{HTTP2: true, Concurrency: 8, Body: 64 << 10},
}

// Between these lines README has what readme writes.
const (
	begins = "<!-- written by make bench-readme -->"
	ends   = "<!-- until here -->"
)

// picture is the plot's place, from README's.
const picture = "docs/bench.svg"

// readReport is what an earlier run has written.
func readReport(path string) (*report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("figures of a run: %w", err)
	}
	r := &report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// publish writes tables and plot into README's folder.
func (r *report) publish(readme string) error {
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(text, []byte(begins+"\n"))
	_, after, closed := bytes.Cut(rest, []byte(ends+"\n"))
	if !found || !closed {
		return fmt.Errorf("%s: expected lines %s and %s", readme, begins, ends)
	}
	plot := filepath.Join(filepath.Dir(readme), filepath.FromSlash(picture))
	if err := os.MkdirAll(filepath.Dir(plot), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(plot, r.plot(), 0o644); err != nil {
		return err
	}
	text = fmt.Appendf(nil, "%s%s\n%s%s\n%s", before, begins, r.markdown(), ends, after)
	return os.WriteFile(readme, text, 0o644)
}

// markdown is the plot and the tables, those of less interest folded.
func (r *report) markdown() string {
	var first, more strings.Builder
	for _, t := range r.tables() {
		for len(t.results) > 0 {
			l := t.results[0].Load
			rows := of(t.results, l)
			t.results = t.results[len(rows):]
			to := &more
			for _, h := range headlines {
				if h.same(l) {
					to = &first
				}
			}
			markdownTable(to, t.title, l, rows)
		}
	}
	return fmt.Sprintf("![CPU time, throughput and latency of the contestants](%s)\n\n%s%s\n"+
		"<details><summary>Under other loads</summary>\n%s\n</details>\n", picture, r.how(), first.String(), more.String())
}

func markdownTable(w *strings.Builder, title string, l load, rows []*result) {
	fmt.Fprintf(w, "\n%s, %v:\n\n| | %s |\n|---%s|\n", title, l, strings.Join(titles, " | "), strings.Repeat("|--:", len(titles)))
	for _, r := range rows {
		name := r.Contestant
		if name == yardstick {
			name = "**" + name + "**"
		}
		fmt.Fprintf(w, "| %s | %s |\n", name, strings.Join(r.cells(), " | "))
	}
}

// of are the results under a load.
func of(results []*result, l load) (rows []*result) {
	for _, r := range results {
		if l.same(r.Load) {
			rows = append(rows, r)
		}
	}
	return rows
}
