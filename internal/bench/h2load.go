package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// streams is how many requests a connection of HTTP/2 has under way.
const streams = 8

// outcome is what h2load has measured.
type outcome struct {
	requests  int
	perSecond float64
	p50, p99  time.Duration
}

// send makes n requests to a Unix socket. The files of a run are in dir.
func send(ctx context.Context, socket string, l load, n int, dir string) (outcome, error) {
	log := filepath.Join(dir, "requests")
	if err := os.Remove(log); err != nil && !os.IsNotExist(err) {
		return outcome{}, err
	}
	args := []string{"-n", strconv.Itoa(n), "-t", "1", "-B", "unix:" + socket, "--log-file", log}
	args = append(args, connections(l)...)
	if l.Body > 0 {
		path, err := bodyFile(dir, l.Body)
		if err != nil {
			return outcome{}, err
		}
		args = append(args, "-d", path)
	}
	said, err := exec.CommandContext(ctx, "h2load", append(args, target(l))...).CombinedOutput()
	if err != nil {
		return outcome{}, fmt.Errorf("h2load: %w\n%s", err, said)
	}
	out := outcome{requests: n}
	if out.perSecond, err = parseSummary(said, n); err != nil {
		return outcome{}, err
	}
	times, err := os.ReadFile(log)
	if err != nil {
		return outcome{}, err
	}
	took, err := parseLog(times)
	if err != nil {
		return outcome{}, err
	}
	if len(took) != n {
		return outcome{}, fmt.Errorf("h2load logged %d requests, expected %d", len(took), n)
	}
	out.p50, out.p99 = quantile(took, 50), quantile(took, 99)
	return out, nil
}

// connections are the flags of how requests come.
func connections(l load) (args []string) {
	number := l.Concurrency
	switch {
	case !l.HTTP2:
		args = append(args, "--h1")
	case l.Half:
		args = append(args, "-p", "h2c", "-m", strconv.Itoa(streams))
	default:
		number = max(l.Concurrency/streams, 1)
		args = append(args, "-p", "h2c", "-m", strconv.Itoa(l.Concurrency/number))
	}
	if l.Half {
		// Connections that began together would send together ever after: what is
		// measured would be bursts.
		args = append(args, "-r", "1", "--rate-period", "1ms", "--rps", strconv.FormatFloat(l.Rate/float64(number), 'f', -1, 64))
	}
	return append(args, "-c", strconv.Itoa(number))
}

// target is what is asked of the upstream: an empty answer, or the body back.
func target(l load) string {
	if l.Body > 0 {
		return "http://bench/raw"
	}
	return "http://bench/bytes/0"
}

// body is text: body-transform changes letters.
func body(size int) []byte { return bytes.Repeat([]byte("body"), size/4) }

func bodyFile(dir string, size int) (string, error) {
	path := filepath.Join(dir, fmt.Sprint("body-", size))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, os.WriteFile(path, body(size), 0o600)
}

var (
	summaryRate     = regexp.MustCompile(`(?m)^finished in [^,]+, ([0-9.]+) req/s`)
	summaryRequests = regexp.MustCompile(`(?m)^requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored`)
)

// parseSummary is the rate of requests, all of which must have succeeded: a server
// that refuses is fast.
func parseSummary(said []byte, n int) (float64, error) {
	rate, counts := summaryRate.FindSubmatch(said), summaryRequests.FindSubmatch(said)
	if rate == nil || counts == nil {
		return 0, fmt.Errorf("h2load: expected a rate and counts of requests in:\n%s", said)
	}
	if string(counts[1]) != strconv.Itoa(n) {
		return 0, fmt.Errorf("h2load: %s of %d requests succeeded:\n%s", counts[1], n, said)
	}
	return strconv.ParseFloat(string(rate[1]), 64)
}

// parseLog is the time each request took. A line of the log is the start in µs since
// 1970, the status and the time in µs.
func parseLog(log []byte) ([]time.Duration, error) {
	var took []time.Duration
	lines := bufio.NewScanner(bytes.NewReader(log))
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) != 3 {
			return nil, fmt.Errorf("log of h2load: %q: expected start, status and time", lines.Text())
		}
		if status := string(fields[1]); status != "200" {
			return nil, fmt.Errorf("log of h2load: status %s, expected 200", status)
		}
		us, err := strconv.ParseInt(string(fields[2]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("log of h2load: %q: expected a time in µs", fields[2])
		}
		took = append(took, time.Duration(us)*time.Microsecond)
	}
	return took, lines.Err()
}

// quantile sorts the times.
func quantile(took []time.Duration, percent int) time.Duration {
	slices.Sort(took)
	return took[(len(took)-1)*percent/100]
}
