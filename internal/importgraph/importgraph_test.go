// Package importgraph holds the table of who may import whom.
package importgraph

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/extproc/extproc/internal/checkout"
)

const module = "github.com/extproc/extproc"

// The table. A line is
//
//	package -> what it may import of ours: why
//
// and a package's line holds for the folders below it that have none of their
// own. "..." stands for the package and everything below it, "*" for all. What
// a line allows need not be used. Tests import what they test with.
const ours = `
cmd/extproc          -> *                                            : the program puts everything together
server               -> plugin, server/codec, server/rpc             : it knows phases and plugins, but no kind of guest
server/codec         -> plugin, plugin/buffer                        : messages to bytes and back, with headers as plugins see them
server/rpc           -> plugin/buffer                                : frames and streams, whatever the method
envoy                -> plugin                                       : what plugins need decides the configuration
envoy/examples       ->                                              : sources of plugins and their cases, nothing to import
plugin               -> plugin/host, plugin/buffer                   : the vocabulary stands on nothing above it
plugin/buffer        ->                                              : memory
plugin/host          -> plugin                                       : services know the words, not the guests
plugin/host/natsstore -> plugin, plugin/host                        : a store knows what stores are for, and its configuration
plugin/host/redisstore -> plugin, plugin/host                       : the same
plugin/wasihttp      -> plugin, plugin/buffer, plugin/host, abi...   : joins the exchange to the component layer
plugin/proxywasm     -> plugin, plugin/host, plugin/proxywasm/foreign, abi/cache, abi/core, abi/memory : core modules are rewritten and metered as the parts of components are
plugin/proxywasm/foreign ->                                          : functions of bytes
abi                  -> abi...                                       : the Component Model knows nothing of HTTP or Envoy
abi/binary           -> abi/binary                                   : decoding is bytes in, plain data out
abi/cache            -> abi/cache                                    : compiling, for guests of all kinds
abi/canon            -> abi/canon                                    : lifting and lowering know types and memory only
abi/core             -> abi/core                                     : core modules are read and rewritten as bytes
abi/memory           -> abi/memory                                   : pages and images, no types
internal/checkout    ->                                              : a leaf
internal/envoyrun    -> internal/checkout                            : starts programs of the checkout
internal/envoytest   -> internal/envoyrun                            : the same for tests
internal/extprocrun  ->                                              : starts extproc itself
internal/upstream    -> internal/upstream                            : a service like any other
internal/importgraph -> internal/checkout                            : this test
internal/bench       -> envoy, plugin, internal/...                  : a program beside cmd, made of the same parts
internal/bench/yardstick ->                                          : it must owe us nothing
internal/demo        -> envoy, plugin, internal/...                  : a program beside cmd, made of the same parts
internal/guests      -> internal/checkout                            : rebuilds the examples
internal/storetest   -> plugin/host, internal/checkout                                : what every store has to do, as tests
internal             -> *                                            : other tools of the tests
`

// theirs lists modules that only some packages may import.
const theirs = `
github.com/tetratelabs/wazero                                   -> abi..., plugin, plugin/proxywasm...           : one engine, behind two kinds of guest
github.com/envoyproxy/go-control-plane/envoy/service/ext_proc   -> server, server/codec, cmd/extproc, internal/bench/yardstick : the protocol is known in one place, and to what that is compared with
github.com/envoyproxy/go-control-plane/envoy/config             -> envoy, server, server/codec, cmd/extproc                    : the server needs header values, which live there
github.com/envoyproxy/go-control-plane/envoy/extensions         -> envoy, server                                 : the server needs the processing mode, which lives there
google.golang.org/grpc                                          -> server, server/rpc, cmd/extproc, internal/upstream, internal/extprocrun, internal/bench/yardstick : serving is the server's affair
google.golang.org/protobuf                                      -> server, server/codec, envoy, cmd/extproc, internal/upstream, plugin/proxywasm... : protos stay at the edge, which a guest that speaks them to its host is too
github.com/google/cel-go                                        -> plugin/proxywasm/foreign                      : expressions are functions that guests call
github.com/nats-io/nats.go                                      -> plugin/host/natsstore                         : each store's client is known in one place
github.com/nats-io/nats-server                                  -> internal/storetest                            : a server to test with, which must not get into the program
github.com/redis/go-redis                                       -> plugin/host/redisstore                        : each store's client is known in one place
github.com/spf13/cobra                                          -> cmd/extproc                                   : commands
go.opentelemetry.io                                             -> server, cmd/extproc                           : traces
github.com/prometheus                                           -> server, plugin, plugin/host, cmd/extproc      : metrics
`

// standardOnly lists packages that import nothing but the standard library and
// what the first table allows.
const standardOnly = `
abi/binary        : it decodes hostile input and must be easy to fuzz
abi/canon         : its hot paths are its own
abi/core          : it decodes hostile input too
internal/checkout : it is imported by everything that runs programs
`

type row struct {
	pkg     string
	allowed []string
}

func parse(t *testing.T, table string) []row {
	t.Helper()
	var rows []row
	for line := range strings.Lines(strings.TrimSpace(table)) {
		rule, reason, ok := strings.Cut(line, " : ")
		if !ok || strings.TrimSpace(reason) == "" {
			t.Fatalf("a row without a reason: %s", line)
		}
		name, list, _ := strings.Cut(rule, "->")
		var allowed []string
		for _, a := range strings.Split(list, ",") {
			if a = strings.TrimSpace(a); a != "" {
				allowed = append(allowed, a)
			}
		}
		rows = append(rows, row{strings.TrimSpace(name), allowed})
	}
	return rows
}

func matches(pattern, pkg string) bool {
	if pattern == "*" {
		return true
	}
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		prefix = strings.TrimSuffix(prefix, "/")
		return pkg == prefix || strings.HasPrefix(pkg, prefix+"/")
	}
	return pkg == pattern
}

func allowed(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// rule is the row of the nearest folder.
func rule(rows []row, pkg string) *row {
	for dir := pkg; dir != "."; dir = path.Dir(dir) {
		for i := range rows {
			if rows[i].pkg == dir {
				return &rows[i]
			}
		}
	}
	return nil
}

// violations compares the tables with imports, by package relative to the module.
func violations(t *testing.T, imports map[string][]string) []string {
	t.Helper()
	var found []string
	ourRows, theirRows, plainRows := parse(t, ours), parse(t, theirs), parse(t, standardOnly)
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		own := rule(ourRows, pkg)
		if own == nil {
			found = append(found, pkg+": no row in the table")
			continue
		}
		plain := slices.ContainsFunc(plainRows, func(r row) bool { return r.pkg == pkg })
		for _, imp := range imports[pkg] {
			if rel, ok := strings.CutPrefix(imp, module+"/"); ok {
				if !allowed(own.allowed, rel) {
					found = append(found, pkg+" -> "+rel)
				}
				continue
			}
			for _, r := range theirRows {
				if strings.HasPrefix(imp+"/", r.pkg+"/") && !allowed(r.allowed, pkg) {
					found = append(found, pkg+" -> "+imp)
				}
			}
			if plain && strings.Contains(strings.Split(imp, "/")[0], ".") {
				found = append(found, pkg+" -> "+imp)
			}
		}
	}
	return found
}

func TestImports(t *testing.T) {
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		imports[strings.TrimPrefix(p.ImportPath, module+"/")] = p.Imports
	}
	if len(imports) < 5 {
		t.Fatalf("go list found only %d packages", len(imports))
	}
	for _, v := range violations(t, imports) {
		t.Error(v)
	}
}

// TestViolations shows that the comparison can fail.
func TestViolations(t *testing.T) {
	got := violations(t, map[string][]string{
		"server":               {module + "/plugin", module + "/plugin/wasihttp", "github.com/tetratelabs/wazero/api"},
		"abi/canon":            {"math", "golang.org/x/sys/unix"},
		"abi/binary/deep":      {module + "/abi"},
		"plugin/proxywasm/sub": {"github.com/tetratelabs/wazero", module + "/abi"},
		"surprise":             {"fmt"},
	})
	want := []string{
		"abi/binary/deep -> abi",
		"abi/canon -> golang.org/x/sys/unix",
		"plugin/proxywasm/sub -> abi",
		"server -> plugin/wasihttp",
		"server -> github.com/tetratelabs/wazero/api",
		"surprise: no row in the table",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
