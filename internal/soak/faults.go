package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// fault is something that goes wrong every now and then.
type fault struct {
	name   string
	every  time.Duration
	strike func(context.Context) error
}

// faults is the list of all there are.
func (s *stack) faults() []fault {
	return []fault{
		{"reload", time.Second, func(context.Context) error { return s.configure() }},
		{"bad configuration", 7500 * time.Millisecond, func(context.Context) error { return s.replace([]byte("plugins: [")) }},
		{"kill of Envoy", 13 * time.Second, s.killEnvoy},
		{"kill of the store", 16 * time.Second, s.killStore},
	}
}

func (f fault) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.every):
		}
		if err := f.strike(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
}

// killEnvoy ends Envoy without a word, and starts another in its place.
func (s *stack) killEnvoy(ctx context.Context) error {
	s.outages.begin()
	defer s.outages.end()
	s.envoy.Load().Kill()
	return s.startEnvoy(context.WithoutCancel(ctx))
}

// outages are the times in which something was gone. What was under way in one may
// be lost.
type outages struct {
	mu   sync.Mutex
	list []outage
}

type outage struct{ from, to time.Time }

func (o *outages) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, outage{from: time.Now()})
}

func (o *outages) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list[len(o.list)-1].to = time.Now()
}

func (o *outages) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.list)
}

// met says whether there was an outage after a time.
func (o *outages) met(since time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) == 0 {
		return false
	}
	last := o.list[len(o.list)-1]
	return last.to.IsZero() || last.to.After(since)
}

// wait returns true when there is an Envoy, and false when time is up.
func (o *outages) wait(ctx context.Context) bool {
	for o.met(time.Now()) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return true
}
