package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is what extproc holds at a moment.
type sample struct {
	at         time.Time
	memory     int64 // resident, in bytes
	goroutines int
	fds        int
}

// String is the sample in a line.
func (s sample) String() string {
	return fmt.Sprintf("%4d MiB %5d goroutines %4d fds", s.memory>>20, s.goroutines, s.fds)
}

// measure takes a sample.
func (s *stack) measure(ctx context.Context) (sample, error) {
	now := sample{at: time.Now()}
	n, err := s.metric(ctx, "go_goroutines")
	if err != nil {
		return now, err
	}
	idle, err := s.metric(ctx, "extproc_plugin_instances_idle")
	if err != nil {
		return now, err
	}
	now.goroutines = int(n - idle) // an instance that is kept has one of its own
	proc := fmt.Sprint("/proc/", s.extproc.PID())
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return now, err
	}
	now.fds = len(fds)
	text, err := os.ReadFile(proc + "/statm")
	if err != nil {
		return now, err
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return now, err
	}
	now.memory = pages * int64(os.Getpagesize())
	return now, nil
}

// metric is a counter or gauge of extproc's, with all its labels together.
func (s *stack) metric(ctx context.Context, name string) (sum float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	found := false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum += value
		found = true
	}
	if !found {
		return 0, errors.New("extproc has no metric " + name)
	}
	return sum, nil
}

// What may have grown between two moments without load.
const (
	moreGoroutines = 16
	moreFDs        = 8
)

// settled waits until extproc holds no more than it did before, and takes a sample
// whatever it holds after a while.
func (s *stack) settled(ctx context.Context, before sample) (sample, error) {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(250 * time.Millisecond) {
		now, err := s.measure(ctx)
		if err != nil {
			return now, err
		}
		if before.at.IsZero() || time.Now().After(end) ||
			now.goroutines <= before.goroutines+moreGoroutines && now.fds <= before.fds+moreFDs {
			return now, nil
		}
	}
}

// watch takes a sample every second.
type watch struct {
	stack   *stack
	samples []sample
}

func (w *watch) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.stack.extproc.Exited():
			return errors.New("extproc has ended")
		case <-tick.C:
		}
		now, err := w.stack.measure(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		w.samples = append(w.samples, now)
	}
}

// quarter is the median of the samples of a quarter of the time, 0 to 3.
func (w *watch) quarter(i int) sample {
	part := w.samples[len(w.samples)*i/4 : len(w.samples)*(i+1)/4]
	if len(part) == 0 {
		return sample{}
	}
	middle := func(value func(sample) int64) int64 {
		var list []int64
		for _, s := range part {
			list = append(list, value(s))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	return sample{
		at:         part[0].at,
		memory:     middle(func(s sample) int64 { return s.memory }),
		goroutines: int(middle(func(s sample) int64 { return int64(s.goroutines) })),
		fds:        int(middle(func(s sample) int64 { return int64(s.fds) })),
	}
}
