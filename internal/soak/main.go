// Soak runs load through a real Envoy and extproc while things go wrong, and
// reports answers that were lost or wrong, and what grows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type options struct {
	extproc string
	time    time.Duration
	clients int
}

func main() {
	var opts options
	flag.StringVar(&opts.extproc, "extproc", "bin/extproc", "the extproc `program`")
	flag.DurationVar(&opts.time, "time", time.Minute, "how long to run")
	flag.IntVar(&opts.clients, "clients", 4, "clients that look at every answer, of each version of HTTP")
	flag.Parse()
	if err := run(opts); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(opts options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "extproc-soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := start(ctx, dir, opts)
	if err != nil {
		return err
	}
	defer s.stop()
	err = s.soak(ctx, opts)
	if err != nil {
		err = fmt.Errorf("%w\nthe end of extproc's log of problems:\n%s", err, problemsOf(s.extproc.Log()))
	}
	return err
}

// soak runs clients, the mass, faults and the watch side by side until time is up.
func (s *stack) soak(ctx context.Context, opts options) error {
	before, err := s.settled(ctx, sample{})
	if err != nil {
		return err
	}
	running, end := context.WithTimeout(ctx, opts.time)
	defer end()
	results, mass, watch := newTally(s.outages), newMass(s), &watch{stack: s}
	parts := []func(context.Context) error{mass.run, watch.run}
	for _, f := range s.faults() {
		parts = append(parts, f.run)
	}
	for i := range opts.clients {
		for _, http2 := range []bool{false, true} {
			parts = append(parts, newClient(s, results, i, http2).run)
		}
	}
	failed := make(chan error, len(parts))
	for _, part := range parts {
		go func() { failed <- part(running) }()
	}
	for range parts {
		err = errors.Join(err, <-failed)
	}
	if err != nil {
		return err
	}
	after, err := s.settled(ctx, before)
	if err != nil {
		return err
	}
	return s.report(results, mass, watch, before, after)
}

// problemsOf is the end of a log, without what was asked for.
func problemsOf(log string) string {
	var lines []string
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "level=INFO") && !strings.Contains(line, "plugin=trap") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-20):], "")
}
