package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what bench.json holds.
type report struct {
	Date     time.Time `json:"date"`
	Go       string    `json:"go"`
	System   string    `json:"system"`
	CPUs     int       `json:"cpus"`
	Rounds   int       `json:"rounds"`
	Requests int       `json:"requests"`
	// LoadBefore and LoadAfter are /proc/loadavg: figures of a busy machine are worth
	// little.
	LoadBefore string    `json:"loadavg_before"`
	LoadAfter  string    `json:"loadavg_after"`
	Headers    []*result `json:"headers"`
	Bodies     []*result `json:"bodies"`
}

func (o *options) newReport() *report {
	return &report{
		Date: time.Now().UTC(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(),
		Rounds: o.rounds, Requests: o.requests, LoadBefore: loadAverage(),
	}
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

// show prints the tables. In parentheses is the ratio to the yardstick.
func (r *report) show(w io.Writer) error {
	fmt.Fprintf(w, "%d CPUs, load average %s before and %s after; medians of %d rounds; (ratio to %q)\n",
		r.CPUs, r.LoadBefore, r.LoadAfter, r.Rounds, yardstick)
	for _, t := range []struct {
		title   string
		results []*result
	}{{"Headers, both ways", r.Headers}, {"Bodies, both ways", r.Bodies}} {
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
		fmt.Fprintf(out, "%s", r.Contestant)
		values, ratios := r.Median.columns(), r.Ratio.columns()
		for i := range values {
			if *values[i] == 0 {
				fmt.Fprint(out, "\t-")
				continue
			}
			fmt.Fprintf(out, "\t%.*f (%.2f)", digits(*values[i]), *values[i], *ratios[i])
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}

// digits shows about three of a figure.
func digits(v float64) int {
	if v < 100 {
		return 1
	}
	return 0
}
