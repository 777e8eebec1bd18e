package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// How much gets into the log in one window: of warnings and errors with the same
// words, and of all that concerns one plugin, what its guest says included. A plugin
// that fails at every request must not fill disks.
const (
	logWindow     = time.Second
	logSameWords  = 10
	logPerPlugin  = 1000
	logMostCounts = 1024 // different words or plugins that are told apart
)

// limitedLog is a handler that passes on so much and says how much it left out.
type limitedLog struct {
	slog.Handler
	counts *logCounts
	plugin string
}

type logCounts struct {
	mu  sync.Mutex
	all map[logKey]*logCount
}

// logKey is a plugin, "" for none, and the words, "" for all of the plugin's.
type logKey struct{ plugin, words string }

type logCount struct {
	since            time.Time
	passed, withheld int
}

func limitLog(h slog.Handler) slog.Handler {
	return limitedLog{Handler: h, counts: &logCounts{all: map[logKey]*logCount{}}}
}

// WithAttrs implements slog.Handler, and remembers whose plugin's log it is.
func (l limitedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "plugin" {
			l.plugin = a.Value.String()
		}
	}
	l.Handler = l.Handler.WithAttrs(attrs)
	return l
}

// WithGroup implements slog.Handler.
func (l limitedLog) WithGroup(name string) slog.Handler {
	l.Handler = l.Handler.WithGroup(name)
	return l
}

// Handle implements slog.Handler.
func (l limitedLog) Handle(ctx context.Context, r slog.Record) error {
	if l.plugin != "" && !l.pass(logKey{plugin: l.plugin}, logPerPlugin) {
		return nil
	}
	if r.Level >= slog.LevelWarn && !l.pass(logKey{l.plugin, r.Message}, logSameWords) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// pass counts a message, and says whether it is one of the first of its window.
func (l limitedLog) pass(key logKey, most int) bool {
	c := l.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	n := c.all[key]
	if n == nil {
		if len(c.all) >= logMostCounts {
			c.forget(now)
		}
		if len(c.all) >= logMostCounts {
			return true // too many to be told apart: what they are has its own limit
		}
		n = &logCount{since: now}
		c.all[key] = n
	}
	if n.withheld == 0 && now.Sub(n.since) >= logWindow {
		n.since, n.passed = now, 0
	}
	if n.passed < most {
		n.passed++
		return true
	}
	if n.withheld++; n.withheld == 1 {
		time.AfterFunc(logWindow-now.Sub(n.since), func() { l.tell(key) })
	}
	return false
}

// forget drops what has not been said for a while.
func (c *logCounts) forget(now time.Time) {
	for key, n := range c.all {
		if n.withheld == 0 && now.Sub(n.since) >= logWindow {
			delete(c.all, key)
		}
	}
}

// tell says how much was left out, and begins a new window.
func (l limitedLog) tell(key logKey) {
	c := l.counts
	c.mu.Lock()
	withheld := c.all[key].withheld
	delete(c.all, key)
	c.mu.Unlock()
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "messages were left out of the log", 0)
	r.AddAttrs(slog.Int("suppressed", withheld))
	if key.words != "" {
		r.AddAttrs(slog.String("message", key.words))
	}
	_ = l.Handler.Handle(context.Background(), r) // nobody is there to be told
}
