package envoyrun

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// AdminGet asks the admin listener for a path.
func (e *Envoy) AdminGet(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.Admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
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
		return nil, fmt.Errorf("admin %s: %s: %s", path, resp.Status, bytes.TrimSpace(body))
	}
	return body, nil
}

// Stats are the counters and gauges whose names contain part.
func (e *Envoy) Stats(ctx context.Context, part string) (map[string]uint64, error) {
	body, err := e.AdminGet(ctx, "/stats")
	if err != nil {
		return nil, err
	}
	stats := map[string]uint64{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), ": ")
		if !found || !strings.Contains(name, part) {
			continue
		}
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			stats[name] = n
		}
	}
	return stats, lines.Err()
}

// ExtProcStats are the counters of the ext_proc filter, by their last name:
// "streams_started".
func (e *Envoy) ExtProcStats(ctx context.Context) (map[string]uint64, error) {
	const marker = ".ext_proc."
	all, err := e.Stats(ctx, marker)
	if err != nil {
		return nil, err
	}
	stats := make(map[string]uint64, len(all))
	for name, n := range all {
		if _, short, ok := strings.Cut(name, marker); ok {
			stats[short] += n
		}
	}
	return stats, nil
}
