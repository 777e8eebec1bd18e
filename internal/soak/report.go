package main

import (
	"context"
	"errors"
	"fmt"
)

// report tells what there was, and fails if anything was lost or wrong or grew.
func (s *stack) report(t *tally, m *mass, w *watch, before, after sample) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Printf("answers looked at: %d (%s)\n", t.total(), t.kinds())
	fmt.Printf("answers by h2load: %d in %d rounds, %d of them 503 after a trap\n", m.done, m.rounds, m.traps)
	fmt.Printf("kills of Envoy: %d, which %d and %d requests under way met\n", s.outages.count(), t.excused, m.lost)
	fmt.Printf("kills of the store: %d\n", s.store.outages.count())
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for _, c := range []struct {
		what, metric string
		least        float64
	}{{"reloads", "extproc_config_reload_success", 2}, {"refused configurations", "extproc_config_reload_failure", 1}, {"traps", "extproc_plugin_traps_total", 1}} {
		n, err := s.metric(context.Background(), c.metric)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %.0f\n", c.what, n)
		if n < c.least {
			wrong("%s: %.0f, expected at least %.0f: the faults were not at work", c.what, n, c.least)
		}
	}
	fmt.Printf("lost or wrong answers: %d\n", len(t.problems)+len(m.problems))
	for _, p := range append(t.problems[:min(len(t.problems), 10):min(len(t.problems), 10)], m.problems...) {
		wrong("%s", p)
	}
	if t.total() == 0 || m.done == 0 {
		wrong("there was no load")
	}
	fmt.Printf("without load, before: %v\n", before)
	for i := range 4 {
		fmt.Printf("quarter %d:            %v\n", i+1, w.quarter(i))
	}
	fmt.Printf("without load, after:  %v\n", after)
	problems = append(problems, grown(w, before, after)...)
	return errors.Join(problems...)
}

// grown says what has grown. Goroutines and descriptors are compared without load;
// memory under load, when it is warm, with what a collector may leave.
func grown(w *watch, before, after sample) (problems []error) {
	if after.goroutines > before.goroutines+moreGoroutines {
		problems = append(problems, fmt.Errorf("goroutines grew from %d to %d", before.goroutines, after.goroutines))
	}
	if after.fds > before.fds+moreFDs {
		problems = append(problems, fmt.Errorf("file descriptors grew from %d to %d", before.fds, after.fds))
	}
	warm, late := w.quarter(1), w.quarter(3)
	if most := warm.memory*5/4 + 64<<20; late.memory > most {
		problems = append(problems, fmt.Errorf("memory grew from %d MiB to %d MiB", warm.memory>>20, late.memory>>20))
	}
	return problems
}
