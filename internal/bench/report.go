package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what bench.json holds.
type report struct {
	Date time.Time `json:"date"`
	// Revision is the commit, "" outside of a checkout, Go the compiler's version.
	Revision string `json:"revision"`
	Go       string `json:"go"`
	Envoy    string `json:"envoy"`
	System   string `json:"system"`
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	Rounds   int    `json:"rounds"`
	Requests int    `json:"requests"`
	// LoadBefore and LoadAfter are of /proc/loadavg: figures of a busy machine are worth
	// little.
	LoadBefore string    `json:"loadavg_before"`
	LoadAfter  string    `json:"loadavg_after"`
	Headers    []*result `json:"headers"`
	Bodies     []*result `json:"bodies"`
}

func (o *options) newReport(ctx context.Context) (*report, error) {
	r := &report{
		Date: time.Now().UTC(), System: runtime.GOOS + "/" + runtime.GOARCH, CPU: processor(), CPUs: runtime.NumCPU(),
		Rounds: o.rounds, Requests: o.requests, LoadBefore: loadAverage(),
	}
	built, err := buildinfo.ReadFile(o.extproc)
	if err != nil {
		return nil, err
	}
	r.Go = built.GoVersion
	// Programs may be built without it. What make has built is what is checked out.
	if revision, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output(); err == nil {
		r.Revision = strings.TrimSpace(string(revision))
	}
	said, err := exec.CommandContext(ctx, o.envoy, "--version").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w\n%s", o.envoy, err, said)
	}
	r.Envoy = string(bytes.Trim(regexp.MustCompile(`/\d+\.\d+\.\d+[^/]*/`).Find(said), "/"))
	return r, nil
}

// loadAverage is of the last 1, 5 and 15 minutes.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(len(fields), 3)], " ")
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err.Error()
	}
	name := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(text)
	if name == nil {
		return runtime.GOARCH
	}
	return string(name[1])
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

// how says by what the figures are to be judged.
func (r *report) how() string {
	return fmt.Sprintf("%s, commit %s, %s, Envoy %s, %d CPUs (%s), load average %s before and %s after.\n"+
		"Medians of %d rounds in which all took turns, of %d requests at concurrency 64 and fewer elsewhere;\n"+
		"in parentheses the ratio to the yardstick, \"%s\". MiB is the server's memory after the load.\n",
		r.Date.Format(time.DateOnly), cmp.Or(r.Revision, "unknown"), r.Go, r.Envoy, r.CPUs, r.CPU, r.LoadBefore, r.LoadAfter, r.Rounds, r.Requests, yardstick)
}

// named is results under a title.
type named struct {
	title   string
	results []*result
}

func (r *report) tables() []named {
	return []named{{"Headers, both ways", r.Headers}, {"Bodies, both ways", r.Bodies}}
}

// show prints the tables.
func (r *report) show(w io.Writer) error {
	if _, err := io.WriteString(w, r.how()); err != nil {
		return err
	}
	for _, t := range r.tables() {
		if err := table(w, t.title, t.results); err != nil {
			return err
		}
	}
	return nil
}

func table(w io.Writer, title string, results []*result) error {
	var last load
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range results {
		if r.Load != last {
			last = r.Load
			fmt.Fprintf(out, "\n%s: %v\t%s\n", title, r.Load, strings.Join(titles, "\t"))
		}
		fmt.Fprintf(out, "%s\t%s\n", r.Contestant, strings.Join(r.cells(), "\t"))
	}
	return out.Flush()
}

// cells are the figures as they are shown, with their ratios.
func (r *result) cells() (texts []string) {
	values, ratios := r.Median.columns(), r.Ratio.columns()
	for i, v := range values {
		if *v == 0 {
			texts = append(texts, "-")
			continue
		}
		texts = append(texts, fmt.Sprintf("%s (%.2f)", figure(*v), *ratios[i]))
	}
	return texts
}

// figure shows about three digits.
func figure(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
