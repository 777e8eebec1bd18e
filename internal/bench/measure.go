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
	// ServerCPU is 0 if there is no server.
	ServerCPU float64 `json:"server_cpu_us_per_request"`
}

// columns are the figures in the order in which they are shown.
func (f *figures) columns() []*float64 {
	return []*float64{&f.PerSecond, &f.P50, &f.P99, &f.EnvoyCPU, &f.ServerCPU}
}

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

// measure has all contestants take turns under all loads, round by round: what else
// the machine does then hits all of them.
func (o *options) measure(ctx context.Context, upstream string, list []contestant, loads []load) ([]*result, error) {
	if len(loads) == 0 {
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "bench") // a socket's path may be no longer than 107 bytes
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var all []*running
	for i, c := range list {
		own := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return nil, err
		}
		r, err := o.start(ctx, c, upstream, own)
		if err != nil {
			return nil, err
		}
		defer r.stop()
		all = append(all, r)
	}
	results, sent, err := o.warm(ctx, all, loads, dir)
	if err != nil {
		return nil, err
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "bench: round %d of %d\n", round+1, o.rounds)
		for i, l := range loads {
			for j, r := range all {
				f, err := r.turn(ctx, l, o.count(l), dir)
				if err != nil {
					return nil, err
				}
				at := results[i*len(all)+j]
				at.Rounds = append(at.Rounds, f)
			}
			sent += o.count(l)
		}
	}
	for _, r := range all {
		if err := r.served(ctx, sent); err != nil {
			return nil, err
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
// that what happens once is not measured. It returns the results to fill, by load and
// contestant, and how many requests each contestant has seen.
func (o *options) warm(ctx context.Context, all []*running, loads []load, dir string) (results []*result, sent int, err error) {
	for _, l := range loads {
		n := max(o.count(l)/10, l.Concurrency)
		for _, r := range all {
			if err := r.probe(ctx, l); err != nil {
				return nil, 0, fmt.Errorf("%s, %v: %w", r.name, l, err)
			}
			if _, err := send(ctx, r.socket, l, n, dir); err != nil {
				return nil, 0, fmt.Errorf("%s, %v: %w", r.name, l, err)
			}
			results = append(results, &result{Load: l, Contestant: r.name})
		}
		sent += n + 1
	}
	return results, sent, nil
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
	return figures{
		PerSecond: out.perSecond, P50: micros(out.p50), P99: micros(out.p99),
		EnvoyCPU: each(envoyAfter - envoyBefore), ServerCPU: each(serverAfter - serverBefore),
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
