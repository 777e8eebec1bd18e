package differential_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/extproc/extproc/internal/envoytest"
	"github.com/extproc/extproc/internal/extprocrun"
	"github.com/extproc/extproc/internal/extproctest"
)

// outside runs a setup in extproc, behind an Envoy with the generated configuration.
type outside struct {
	stack   *extproctest.Stack
	metrics string // port
}

func startOutside(t *testing.T, upstream string, s setup) *outside {
	t.Helper()
	_, port, _ := strings.Cut(envoytest.FreeAddress(t), ":")
	return &outside{metrics: port, stack: extproctest.Start(t, extproctest.Options{
		Config: outsideConfig(t, s), Upstream: upstream, Args: []string{"--metrics-port", port},
	})}
}

// startExtproc starts extproc alone. The error is that it doesn't load a module.
func startExtproc(t *testing.T, s setup) error {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "extproc.yaml")
	if err := os.WriteFile(config, []byte(outsideConfig(t, s)), 0o600); err != nil {
		t.Fatal(err)
	}
	process, err := extprocrun.Start(t.Context(), extprocrun.Options{
		Binary: extproctest.Binary(t), Config: config, Address: envoytest.FreeAddress(t), Dir: dir,
		Args: []string{"--grpc-health-port", "0", "--metrics-port", "0"},
	})
	if err == nil {
		t.Cleanup(process.Kill)
	}
	return err
}

// outsideConfig is a setup as a configuration of extproc.
func outsideConfig(t *testing.T, s setup) string {
	t.Helper()
	entries := make([]any, 0, len(s.plugins))
	for _, p := range s.plugins {
		entry := tree{
			"pluginName": p.label(), "rootID": p.root, "url": "file://" + p.wasm, "vmConfig": tree{"vm_id": vmID},
		}
		if p.config != "" {
			entry["pluginConfig"] = p.config
		}
		if s.callouts != nil {
			entry["callouts"] = callouts(t, []setup{s})
		}
		entries = append(entries, entry)
	}
	config, err := json.Marshal(tree{"plugins": entries}) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}

func (o *outside) url(setup) string { return o.stack.URL }

func (o *outside) exposition() string { return "http://127.0.0.1:" + o.metrics + "/metrics" }

func (o *outside) log() string { return o.stack.Extproc.Log() }

var outsideLine = regexp.MustCompile(`^time=\S+ level=(\S+) msg=("(?:[^"\\]|\\.)*"|\S+) plugin=(\S+) context=\d+`)

// outsideLevels are Envoy's words for the levels of log/slog.
var outsideLevels = map[string]string{
	"DEBUG-4": "trace", "DEBUG": "debug", "INFO": "info", "WARN": "warning", "ERROR": "error", "ERROR+4": "critical",
}

func (*outside) guestLines(_ setup, log string) outcome {
	var lines outcome
	for line := range strings.Lines(log) {
		m := outsideLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		text := m[2]
		if unquoted, err := strconv.Unquote(text); err == nil {
			text = unquoted
		}
		lines = append(lines, "log "+outsideLevels[m[1]]+" "+text)
	}
	return lines
}
