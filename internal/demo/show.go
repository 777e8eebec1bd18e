package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/extproc/extproc/internal/upstream"
)

// path asks the upstream for response headers that the plugin works on.
const path = "/hello?set=server-secret:42&set=x-multi:upstream"

type request struct {
	title, method, body string
}

var requests = []request{
	{"GET", http.MethodGet, ""},
	{"POST with a body", http.MethodPost, "The body goes by untouched."},
}

// show sends every request to both addresses and prints what differs. It is an
// error if nothing does.
func show(ctx context.Context, bare, plugged string) error {
	for _, r := range requests {
		before, err := send(ctx, bare, r)
		if err != nil {
			return fmt.Errorf("without the plugin: %w", err)
		}
		after, err := send(ctx, plugged, r)
		if err != nil {
			return fmt.Errorf("with the plugin: %w", err)
		}
		fmt.Printf("\n=== %s (- without the plugin, + with it)\n", r.title)
		for _, part := range []struct {
			title         string
			before, after []string
		}{
			{"Request, as the upstream got it", before.request, after.request},
			{"Response, as the client got it", before.response, after.response},
		} {
			fmt.Println(part.title + ":")
			if !printDifference(part.before, part.after) {
				return errors.New("the plugin changed nothing here")
			}
		}
	}
	return nil
}

// exchanged is what both ends of an exchange saw, a line for each thing.
type exchanged struct {
	request, response []string
}

func send(ctx context.Context, address string, r request) (*exchanged, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+address+path, strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Host = "demo.example"
	req.Header.Set("User-Agent", "demo")
	req.Header.Set("X-Secret", "hunter2")
	req.Header.Set("X-Multi", "client")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, body)
	}
	var seen upstream.Seen
	if err := json.Unmarshal(body, &seen); err != nil {
		return nil, fmt.Errorf("the upstream's answer: %w", err)
	}
	return &exchanged{
		request:  lines(seen.Method+" "+seen.Target, seen.Headers, seen.Body),
		response: lines(resp.Status, resp.Header, ""),
	}, nil
}

// lines are a message as text, without what differs from one request to the next.
func lines(first string, headers http.Header, body string) []string {
	own := []string{"Date", "X-Request-Id", "X-Envoy-Upstream-Service-Time", "Content-Length"}
	var fields []string
	for name, values := range headers {
		if slices.Contains(own, name) {
			continue
		}
		for _, value := range values {
			fields = append(fields, strings.ToLower(name)+": "+value)
		}
	}
	slices.Sort(fields)
	all := append([]string{first}, fields...)
	if body != "" {
		all = append(all, "", body)
	}
	return all
}

// printDifference prints both messages as one, and tells whether they differ.
func printDifference(before, after []string) bool {
	differ := false
	mark := func(sign, line string) {
		differ = differ || sign != " "
		fmt.Printf("  %s %s\n", sign, line)
	}
	rest := slices.Clone(after)
	for _, line := range before {
		at := slices.Index(rest, line)
		if at < 0 {
			mark("-", line)
			continue
		}
		for _, added := range rest[:at] {
			mark("+", added)
		}
		rest = rest[at+1:]
		mark(" ", line)
	}
	for _, added := range rest {
		mark("+", added)
	}
	return differ
}
