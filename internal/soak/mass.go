package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// mass is the greater part of the load, made by h2load in rounds.
type mass struct {
	stack *stack
	// done and traps are the answers, lost those that met an outage.
	rounds, done, traps, lost int
	problems                  []string
}

func newMass(s *stack) *mass { return &mass{stack: s} }

const (
	massClients = 4
	massStreams = 8 // of each client
	massRound   = 3 * time.Second
	trapEvery   = 100
)

func (m *mass) run(ctx context.Context) error {
	list := filepath.Join(filepath.Dir(m.stack.config), "uris")
	if err := os.WriteFile(list, []byte(m.uris()), 0o600); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if !m.stack.outages.wait(ctx) {
			return nil
		}
		if err := m.round(list); err != nil {
			return err
		}
	}
	return nil
}

// uris are what is asked for in turns: one in a hundred makes a plugin trap.
func (m *mass) uris() string {
	var b strings.Builder
	for i := range trapEvery {
		path := []string{"/echo", "/echo", "/bytes/1000", "/bytes/30000"}[i%4]
		if i == trapEvery/2 {
			path = "/trap"
		}
		fmt.Fprintf(&b, "http://%s%s\n", m.stack.listen, path)
	}
	return b.String()
}

var (
	massRequests = regexp.MustCompile(`requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
	massCodes    = regexp.MustCompile(`status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)
)

func (m *mass) round(list string) error {
	began := time.Now()
	cmd := exec.Command("h2load", "-i", list, "-c", strconv.Itoa(massClients), "-m", strconv.Itoa(massStreams), "-t", "1",
		"-D", massRound.String(), "--no-tls-proto=h2c")
	out, err := cmd.CombinedOutput()
	requests, codes := numbers(massRequests, out), numbers(massCodes, out)
	switch counted := requests != nil && codes != nil; {
	case !counted && m.stack.outages.met(began):
		return nil // it found no Envoy
	case !counted:
		return fmt.Errorf("h2load: %w\n%s", err, out)
	}
	m.rounds++
	done, failed := requests[2], requests[4]-codes[3] // h2load counts a 503 as failed
	m.done += done
	m.traps += codes[3]
	if m.stack.outages.met(began) {
		// Envoy answers with nothing but what was right, also while it dies.
		m.lost += failed
		if codes[1]+codes[2] > 0 {
			m.problems = append(m.problems, fmt.Sprintf("status codes %v", codes))
		}
		return nil
	}
	// A round ends in the middle of some requests, whose status may have come.
	cut, off := codes[0]+codes[3]-done, codes[3]-done/trapEvery
	if done == 0 || codes[1]+codes[2] > 0 || cut < 0 || cut > massClients*massStreams || off > massClients || off < -massClients {
		m.problems = append(m.problems, fmt.Sprintf("of %d answers: 2xx, 3xx, 4xx, 5xx %v, expected one 503 in %d", done, codes, trapEvery))
	}
	if requests[5]+requests[6] > 0 {
		m.problems = append(m.problems, fmt.Sprintf("%d requests went wrong and %d took too long", requests[5], requests[6]))
	}
	return nil
}

func numbers(pattern *regexp.Regexp, text []byte) []int {
	found := pattern.FindSubmatch(text)
	if found == nil {
		return nil
	}
	var list []int
	for _, digits := range found[1:] {
		n, err := strconv.Atoi(string(digits))
		if err != nil {
			return nil
		}
		list = append(list, n)
	}
	return list
}
