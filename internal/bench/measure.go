package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// figures are what is measured of a contestant under a load. Times are in µs.
type figures struct {
	PerSecond float64 `json:"requests_per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	EnvoyCPU  float64 `json:"envoy_cpu_us_per_request"`
	// ServerCPU and Resident are 0 if there is no server.
	ServerCPU float64 `json:"server_cpu_us_per_request"`
	// Resident is the server's memory at the end, in MiB.
	Resident float64 `json:"server_rss_mib"`
}

// columns are the figures in the order in which they are shown.
func (f *figures) columns() []*float64 {
	return []*float64{&f.PerSecond, &f.P50, &f.P99, &f.EnvoyCPU, &f.ServerCPU, &f.Resident}
}

// titles are those of the columns.
var titles = []string{"requests/s", "p50 µs", "p99 µs", "CPU µs/request: Envoy", "server", "MiB"}

// result is a contestant's under a load.
type result struct {
	Load       load   `json:"load"`
	Contestant string `json:"contestant"`
	// Median is of each figure by itself, and so is Ratio, of what it was to the
	// yardstick's in the same round; 0 where there is none.
	Median figures   `json:"median"`
	Ratio  figures   `json:"ratio"`
	Rounds []figures `json:"rounds"`
}

// field is all contestants at once.
type field struct {
	*options
	dir  string
	all  []*running
	sent int // how many requests each has seen
}

// measure has contestants take turns under loads: first those that are as fast as can
// be, then those at half of that.
func (o *options) measure(ctx context.Context, upstream string, list []contestant, loads []load) (results []*result, err error) {
	if len(loads) == 0 {
		return nil, nil
	}
	f := &field{options: o}
	if f.dir, err = os.MkdirTemp("", "bench"); err != nil { // a socket's path may be no longer than 107 bytes
		return nil, err
	}
	defer os.RemoveAll(f.dir)
	defer f.stop()
	if err := f.start(ctx, upstream, o.variants.also(list)); err != nil {
		return nil, err
	}
	halves := slices.Clone(loads)
	loads = slices.DeleteFunc(loads, func(l load) bool { return l.Half })
	halves = slices.DeleteFunc(halves, func(l load) bool { return !l.Half })
	if err := f.warm(ctx, loads); err != nil {
		return nil, err
	}
	if results, err = f.race(ctx, loads); err != nil {
		return nil, err
	}
	half, err := f.race(ctx, pacedBy(results, halves))
	if err != nil {
		return nil, err
	}
	for _, r := range f.all {
		if err := r.served(ctx, f.sent); err != nil {
			return nil, err
		}
	}
	return append(results, half...), nil
}

func (f *field) start(ctx context.Context, upstream string, list []contestant) error {
	for i, c := range list {
		own := filepath.Join(f.dir, strconv.Itoa(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return err
		}
		r, err := f.options.start(ctx, c, upstream, own)
		if err != nil {
			return err
		}
		f.all = append(f.all, r)
	}
	return nil
}

func (f *field) stop() {
	for _, r := range f.all {
		r.stop()
	}
}

// race takes the turns of all rounds: in each, all contestants under all loads, so
// that what else the machine does hits all of them.
func (f *field) race(ctx context.Context, loads []load) (results []*result, err error) {
	for _, l := range loads {
		for _, r := range f.all {
			results = append(results, &result{Load: l, Contestant: r.name})
		}
	}
	for round := range f.rounds {
		for i, l := range loads {
			fmt.Fprintf(os.Stderr, "bench: round %d of %d: %v\n", round+1, f.rounds, l)
			for j, r := range f.all {
				got, err := r.turn(ctx, l, f.count(l), f.dir)
				if err != nil {
					return nil, err
				}
				at := results[i*len(f.all)+j]
				at.Rounds = append(at.Rounds, got)
			}
			f.sent += f.count(l)
		}
	}
	summarize(results)
	return results, nil
}

// count is how many requests a turn makes.
func (o *options) count(l load) int {
	return max(int(float64(o.requests)*l.share), 2*l.Concurrency)
}

// warm looks at an answer of each contestant to each load, and makes some requests, so
// that what happens once is not measured.
func (f *field) warm(ctx context.Context, loads []load) error {
	for _, l := range loads {
		n := max(f.count(l)/10, l.Concurrency)
		for _, r := range f.all {
			if err := r.probe(ctx, l); err != nil {
				return fmt.Errorf("%s, %v: %w", r.name, l, err)
			}
			if _, err := send(ctx, r.socket, l, n, f.dir); err != nil {
				return fmt.Errorf("%s, %v: %w", r.name, l, err)
			}
		}
		f.sent += n + 1
	}
	return nil
}

// turn is one contestant's part of a round under one load.
func (r *running) turn(ctx context.Context, l load, n int, dir string) (figures, error) {
	envoyBefore, serverBefore, err := r.used()
	if err != nil {
		return figures{}, err
	}
	out, err := send(ctx, r.socket, l, n, dir)
	if err != nil {
		return figures{}, fmt.Errorf("%s, %v: %w", r.name, l, err)
	}
	envoyAfter, serverAfter, err := r.used()
	if err != nil {
		return figures{}, err
	}
	each := func(d time.Duration) float64 { return micros(d) / float64(out.requests) }
	memory := 0
	if r.server != 0 {
		if memory, err = resident(r.server); err != nil {
			return figures{}, err
		}
	}
	return figures{
		PerSecond: out.perSecond, P50: micros(out.p50), P99: micros(out.p99),
		EnvoyCPU: each(envoyAfter - envoyBefore), ServerCPU: each(serverAfter - serverBefore),
		Resident: float64(memory) / (1 << 20),
	}, nil
}

// used is the CPU time of Envoy and of the server so far.
func (r *running) used() (envoy, server time.Duration, err error) {
	if envoy, err = cpuTime(r.envoy.PID()); err != nil || r.server == 0 {
		return envoy, 0, err
	}
	server, err = cpuTime(r.server)
	return envoy, server, err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// summarize fills in medians and ratios.
func summarize(results []*result) {
	for _, r := range results {
		at := slices.IndexFunc(results, func(y *result) bool { return y.Load == r.Load && y.Contestant == yardstick })
		base := results[at].Rounds
		medians, ratios := r.Median.columns(), r.Ratio.columns()
		for i := range medians {
			var values, shares []float64
			for n := range r.Rounds {
				value, of := *r.Rounds[n].columns()[i], *base[n].columns()[i]
				values = append(values, value)
				if of > 0 {
					shares = append(shares, value/of)
				}
			}
			*medians[i], *ratios[i] = median(values), median(shares)
		}
	}
}

// median of no values is 0.
func median[T cmp.Ordered](values []T) (m T) {
	if len(values) == 0 {
		return m
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
