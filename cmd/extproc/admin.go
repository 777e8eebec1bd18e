package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/extproc/extproc/plugin"
)

//go:embed admin.html
var adminHTML string

var adminPage = template.Must(template.New("admin").Funcs(template.FuncMap{"mib": func(n uint64) string {
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}}).Parse(adminHTML))

// overview is what the admin page shows. Nothing of a plugin's configuration is in
// it: that may hold secrets.
type overview struct {
	Version string           `json:"version"`
	Serving bool             `json:"serving"`
	Config  configOverview   `json:"config"`
	Plugins []pluginOverview `json:"plugins"`
	Routes  []routeOverview  `json:"routes"`
}

type configOverview struct {
	Path    string    `json:"path"`
	Loaded  time.Time `json:"loaded,omitzero"`
	Attempt time.Time `json:"lastAttempt,omitzero"`
	Error   string    `json:"lastError,omitempty"`
}

type pluginOverview struct {
	Name         string    `json:"name"`
	Health       string    `json:"health"`
	URL          string    `json:"url"`
	SHA256       string    `json:"sha256"`
	ABI          string    `json:"abi"`
	Loaded       time.Time `json:"loaded"`
	FailStrategy string    `json:"failStrategy"`
	Busy         int       `json:"instancesBusy"`
	Idle         int       `json:"instancesIdle"`
	Memory       uint64    `json:"memoryBytes"`
	Failures     uint64    `json:"failures"`
	LastFailure  time.Time `json:"lastFailure,omitzero"`
	LastError    string    `json:"lastError,omitempty"`
}

type routeOverview struct {
	Name       string            `json:"name,omitempty"`
	Prefix     string            `json:"prefix,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	Attributes map[string]string `json:"attribute,omitempty"`
	Plugins    []string          `json:"plugins"`
}

// recently is for how long a plugin that has failed is not called healthy.
const recently = time.Minute

// admin is the page, what it shows as JSON under /plugins, /metrics, /healthz
// (alive) and /readyz (serving).
func (d *daemon) admin(profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if !d.ready(r) {
			http.Error(w, "not serving", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /plugins", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(d.overview(r)) // fails only when the client is gone
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = adminPage.Execute(w, d.overview(r)) // as above
	})
	if profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func (d *daemon) ready(r *http.Request) bool {
	resp, err := d.health.Check(r.Context(), &healthv1.HealthCheckRequest{})
	return err == nil && resp.GetStatus() == healthv1.HealthCheckResponse_SERVING
}

func (d *daemon) overview(r *http.Request) *overview {
	last := d.reloader.Last()
	o := &overview{
		Version: versionText(), Serving: d.ready(r),
		Config:  configOverview{Path: d.reloader.Path, Loaded: last.Loaded, Attempt: last.When},
		Plugins: []pluginOverview{}, Routes: []routeOverview{},
	}
	if last.Err != nil {
		o.Config.Error = last.Err.Error()
	}
	set := d.current.Acquire()
	if set == nil {
		return o
	}
	defer set.Release()
	for _, p := range set.Plugins {
		o.Plugins = append(o.Plugins, d.describe(p))
	}
	for i := range set.Routes {
		o.Routes = append(o.Routes, describeRoute(&set.Routes[i]))
	}
	o.Routes = append(o.Routes, describeRoute(&set.Default))
	return o
}

var strategyNames = map[plugin.FailStrategy]string{plugin.FailClose: "FAIL_CLOSE", plugin.FailOpen: "FAIL_OPEN", plugin.FailReload: "FAIL_RELOAD"}

func (d *daemon) describe(p *plugin.Plugin) pluginOverview {
	v := pluginOverview{
		Name: p.Spec.Name, Health: "ok", URL: p.Spec.URL, SHA256: p.SHA256(), ABI: p.ABI, Loaded: p.Loaded,
		FailStrategy: strategyNames[p.Spec.FailStrategy],
	}
	if counted, ok := p.Module.(plugin.Counted); ok {
		v.Busy, v.Idle = counted.Instances()
		v.Memory = counted.Memory()
	}
	failures, last := d.service.Failures(p.Spec.Name)
	v.Failures = failures
	if last != nil {
		v.LastFailure, v.LastError = last.When, last.Err.Error()
		if time.Since(last.When) < recently {
			v.Health = "failing"
		}
	}
	return v
}

func describeRoute(r *plugin.Route) routeOverview {
	v := routeOverview{Name: r.Name, Prefix: r.Prefix, Metadata: map[string]string{}, Attributes: map[string]string{}, Plugins: []string{}}
	for _, m := range r.Metadata {
		v.Metadata[m.Key] = m.Value
	}
	for _, m := range r.Attributes {
		v.Attributes[m.Key] = m.Value
	}
	for _, p := range r.Plugins {
		v.Plugins = append(v.Plugins, p.Spec.Name)
	}
	return v
}
