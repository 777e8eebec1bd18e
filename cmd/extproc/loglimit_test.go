package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// sink is a writer for several goroutines.
type sink struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// lines are the messages by plugin, words and what was suppressed.
func (s *sink) lines(t *testing.T) (counts map[string]int, suppressed int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	counts = map[string]int{}
	for _, line := range bytes.Split(bytes.TrimSpace(s.text.Bytes()), []byte("\n")) {
		var v struct {
			Level, Msg, Plugin string
			Suppressed         int
		}
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		counts[v.Plugin+" "+v.Msg]++
		suppressed += v.Suppressed
	}
	return counts, suppressed
}

// TestLogLimit: a plugin that fails all the time says so a few times a second, and
// how often besides; others are not affected, and no message is unaccounted for.
func TestLogLimit(t *testing.T) {
	out := &sink{}
	f := logFlags{format: "json", level: "info"}
	log, err := f.logger(out)
	if err != nil {
		t.Fatal(err)
	}
	bad, good := log.With("exchange", 1).With("plugin", "bad"), log.With("plugin", "good")
	const failures = 500
	begin := time.Now()
	for range failures {
		bad.Error("plugin failed")
	}
	for i := range 50 {
		good.Info(fmt.Sprint("request ", i%2)) // what a guest says is no failure
	}
	good.Error("plugin failed")
	windows := int(time.Since(begin)/logWindow) + 1
	eventually(t, func() bool {
		counts, suppressed := out.lines(t)
		return suppressed > 0 && counts["bad plugin failed"]+suppressed == failures
	})
	counts, _ := out.lines(t)
	if n := counts["bad plugin failed"]; n < logSameWords || n > windows*logSameWords {
		t.Errorf("%d lines of the same words in %d windows", n, windows)
	}
	if counts["good request 0"] != 25 || counts["good request 1"] != 25 || counts["good plugin failed"] != 1 {
		t.Errorf("others: %v", counts)
	}
	time.Sleep(10 * time.Millisecond)
	bad.Error("plugin failed") // a new window
	if after, _ := out.lines(t); after["bad plugin failed"] != counts["bad plugin failed"]+1 {
		t.Errorf("a new window has %d lines more", after["bad plugin failed"]-counts["bad plugin failed"])
	}
}

// TestLogLimitPerPlugin: a guest that says something new each time has a limit too.
func TestLogLimitPerPlugin(t *testing.T) {
	out := &sink{}
	chatty := slog.New(limitLog(slog.NewJSONHandler(out, nil))).With("plugin", "chatty")
	const lines = 3 * logPerPlugin
	for i := range lines {
		chatty.Info(fmt.Sprint("line ", i))
	}
	eventually(t, func() bool {
		counts, suppressed := out.lines(t)
		said := 0
		for key, n := range counts {
			if key != "chatty messages were left out of the log" {
				said += n
			}
		}
		return suppressed > 0 && said >= logPerPlugin && said+suppressed == lines
	})
}
