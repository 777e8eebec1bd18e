package plugin

import (
	"log/slog"
	"time"
)

// Spec is one plugin's configuration, checked and with defaults filled in.
type Spec struct {
	// Name is pluginName: in logs, metrics, and the root id of a proxy-wasm module.
	Name string
	// URL is where the wasm comes from, SHA256 its expected digest in hex or "".
	URL    string
	SHA256 string
	// Config is pluginConfig as the guest gets it: strings as they are, anything
	// else as JSON. ConfigMap holds the entries of a mapping (wasi:config), with
	// strings as they are and other values as JSON.
	Config    []byte
	ConfigMap map[string]string
	// Env is the guest's environment.
	Env map[string]string
	// FailStrategy says what becomes of an exchange whose guest failed.
	FailStrategy FailStrategy
	// Stage and Priority place the plugin among others: stages in order, in a
	// stage the higher priority first.
	Stage    Stage
	Priority int
	// Callouts are the services the guest may call, by authority (wasi:http) or
	// cluster name (proxy-wasm).
	Callouts map[string]*Cluster
	// Files are those that were read for the above: a change of one is a change
	// of the configuration.
	Files  []string
	Limits Limits
	// Attributes are the names of those to ask the proxy for; nil leaves that to
	// the guest's kind.
	Attributes []string
	// ReadsMetadata and WritesMetadata are the namespaces of dynamic metadata that
	// the guest is to see and may set, beside those that its kind always does.
	ReadsMetadata, WritesMetadata []string
	// Store is where the guest keeps what it shares; all plugins of a configuration
	// have the same. VM.ID names its part of it.
	Store      Store
	SharedData SharedData
	// VM is for proxy-wasm modules.
	VM VM
	// Log receives the guest's output and messages about it.
	Log *slog.Logger
}

// Limits bounds what one guest may use.
type Limits struct {
	// Timeout is how long a guest may run in one exchange, waiting not counted.
	Timeout time.Duration
	// Callback is how long it may run at a stretch: in one callback, or between two
	// waits. 0 leaves it to Timeout.
	Callback time.Duration
	// Exchange is how long an exchange may be with the plugin, waiting included; 0
	// is for ever.
	Exchange time.Duration
	// Memory is the most bytes one instance's linear memory may reach.
	Memory uint64
	// Body is the most bytes of one body that the guest may read; 0 is any number.
	Body uint64
	// Instances is how many instances may exist at once; exchanges beyond wait.
	Instances int
	// Callouts is how many callouts may be under way at once, CalloutBytes how many
	// bytes they may hold together. 0 is what the host has for it.
	Callouts     int
	CalloutBytes uint64
}

// FailStrategy says what becomes of an exchange whose guest failed.
type FailStrategy uint8

// The strategies of Istio's WasmPlugin.
const (
	// FailClose: the exchange is answered with 503.
	FailClose FailStrategy = iota
	// FailOpen: the exchange goes on without the plugin, if nothing is missing then.
	FailOpen
	// FailReload: as FailClose, and the plugin's instances are replaced.
	FailReload
)

// Stage is the `phase` of Istio's WasmPlugin: where in a chain a plugin stands.
type Stage uint8

// The stages in their order; a plugin without one comes last.
const (
	AuthN Stage = iota
	AuthZ
	Stats
	Unstaged
)
