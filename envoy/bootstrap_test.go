package envoy_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/extproc/extproc/envoy"
	"github.com/extproc/extproc/internal/envoyrun"
	"github.com/extproc/extproc/internal/envoytest"
	"github.com/extproc/extproc/plugin"
)

var update = flag.Bool("update", false, "write the golden files")

// input is what a golden file's .in.yaml holds.
type input struct {
	Listen        string        `yaml:"listen"`
	Upstream      string        `yaml:"upstream"`
	UpstreamHTTP2 bool          `yaml:"upstreamHTTP2"`
	ExtProc       string        `yaml:"extproc"`
	Admin         string        `yaml:"admin"`
	Plugins       []inputPlugin `yaml:"plugins"`
	Attributes    []string      `yaml:"attributes"`
	Routes        []inputRoute  `yaml:"routes"`

	MessageTimeout    time.Duration `yaml:"messageTimeout"`
	MaxMessageTimeout time.Duration `yaml:"maxMessageTimeout"`
}

type inputRoute struct {
	Name, Prefix string
	Plugins      []inputPlugin
}

type inputPlugin struct {
	Request, Response inputNeeds
	FailOpen          bool `yaml:"failOpen"`
	Reads, Writes     []string
	Timeout           time.Duration `yaml:"timeout"`
}

type inputNeeds struct {
	Headers    bool     `yaml:"headers"`
	Body       string   `yaml:"body"`
	Attributes []string `yaml:"attributes"`
}

func (n inputNeeds) body(t *testing.T) plugin.BodyNeed {
	t.Helper()
	needs := map[string]plugin.BodyNeed{"": plugin.Never, "onDemand": plugin.OnDemand, "always": plugin.Always}
	need, ok := needs[n.Body]
	if !ok {
		t.Fatalf("body: %q", n.Body)
	}
	return need
}

func generate(t *testing.T, path string) ([]byte, error) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var in input
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&in); err != nil {
		t.Fatal(err)
	}
	opts := envoy.Options{
		Listen: in.Listen, Upstream: in.Upstream, UpstreamHTTP2: in.UpstreamHTTP2, ExtProc: in.ExtProc, Admin: in.Admin,
		Attributes: in.Attributes, MessageTimeout: in.MessageTimeout, MaxMessageTimeout: in.MaxMessageTimeout,
	}
	for _, r := range in.Routes {
		opts.Routes = append(opts.Routes, envoy.Route{
			Name: r.Name, Prefix: r.Prefix, Metadata: []plugin.Mark{{Key: plugin.RouteKey, Value: r.Name}}, Plugins: convert(t, r.Plugins),
		})
	}
	return envoy.Bootstrap(opts, convert(t, in.Plugins)...)
}

func convert(t *testing.T, in []inputPlugin) []envoy.Plugin {
	t.Helper()
	plugins := make([]envoy.Plugin, len(in))
	for i, p := range in {
		plugins[i] = envoy.Plugin{
			Needs: plugin.Needs{
				Headers: [2]bool{p.Request.Headers, p.Response.Headers},
				Body:    [2]plugin.BodyNeed{p.Request.body(t), p.Response.body(t)},

				Attributes: [2][]string{p.Request.Attributes, p.Response.Attributes},
				Reads:      p.Reads,
				Writes:     p.Writes,
			},
			Timeout: p.Timeout,
		}
		if p.FailOpen {
			plugins[i].FailStrategy = plugin.FailOpen
		}
	}
	return plugins
}

func inputs(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	return paths
}

func TestBootstrapGolden(t *testing.T) {
	for _, in := range inputs(t) {
		out := strings.TrimSuffix(in, ".in.yaml") + ".out.yaml"
		t.Run(filepath.Base(in), func(t *testing.T) {
			got, err := generate(t, in)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(out, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("differs from %s (go test ./envoy -update writes it):\n%s", out, got)
			}
		})
	}
}

func TestBootstrapAcceptedByEnvoy(t *testing.T) {
	binary := envoytest.Binary(t)
	for _, in := range inputs(t) {
		t.Run(filepath.Base(in), func(t *testing.T) {
			t.Parallel()
			got, err := generate(t, in)
			if err != nil {
				t.Fatal(err)
			}
			if err := envoyrun.Validate(t.Context(), binary, got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBootstrapErrors(t *testing.T) {
	good := envoy.Options{Listen: "0.0.0.0:10000", Upstream: "localhost:80", ExtProc: "unix:///run/extproc.sock"}
	tests := []struct {
		name string
		set  func(*envoy.Options)
		want string
	}{
		{"no upstream", func(o *envoy.Options) { o.Upstream = "" }, `upstream: "": expected host:port or unix:///path`},
		{"no port", func(o *envoy.Options) { o.Listen = "localhost" }, `listen: "localhost": expected host:port or unix:///path`},
		{"port not a number", func(o *envoy.Options) { o.Listen = "localhost:http" }, `listen: "localhost:http": expected a port from 0 to 65535`},
		{"port too large", func(o *envoy.Options) { o.ExtProc = "localhost:65536" }, `extproc: "localhost:65536": expected a port from 0 to 65535`},
		{"relative path", func(o *envoy.Options) { o.ExtProc = "unix://run/x" }, `extproc: "unix://run/x": expected an absolute path, unix:///path`},
		{"admin", func(o *envoy.Options) { o.Admin = "x" }, `admin: "x": expected host:port or unix:///path`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts := good
			tt.set(&opts)
			_, err := envoy.Bootstrap(opts)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
