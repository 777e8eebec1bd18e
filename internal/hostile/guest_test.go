// Package hostile holds guests that mean harm, each with the one thing that may
// come of it, and the index of what the server withstands.
package hostile

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/extproc/extproc/internal/checkout"
	"github.com/extproc/extproc/plugin"
)

// guest is a plugin that means harm to the host.
type guest struct {
	name string
	// class is what it tries, in the words of the index, and advisory the weakness
	// of another host that it tries for, if there is one.
	class, advisory string
	// text is the module or component as WebAssembly text; file is one of the tree
	// instead, and path what makes it do harm.
	text, file, path string
	want             outcome
	// timeout and memory are its limits, if not those of all.
	timeout time.Duration
	memory  uint64
	// starting is set for one that does harm in every VM, so that there is no
	// exchange that it would serve.
	starting bool
}

// outcome is what may come of a guest: exactly one of them.
type outcome struct {
	// refused says that it isn't loaded, with message as a part of the error.
	refused bool
	// fails says that its exchange fails, in the way of kind, with message as a part
	// of the error.
	fails   bool
	kind    plugin.FailureKind
	message string
	// status is that of a local response; else the exchange passes.
	status int
	// waits says that it waits for what never happens, and that its proxy is answered
	// before it loses patience.
	waits bool
	// log is what must be in the log.
	log string
}

// What may come of a guest.
var (
	harmless    = outcome{}
	timesOut    = outcome{fails: true, kind: plugin.TimedOut}
	outOfMemory = outcome{fails: true, kind: plugin.OutOfMemory}
)

func trap(message string) outcome {
	return outcome{fails: true, kind: plugin.Trapped, message: message}
}

func unanswered(message string) outcome {
	return outcome{fails: true, kind: plugin.Unanswered, message: message}
}

func refused(message string) outcome { return outcome{refused: true, message: message} }

func answers(status int) outcome { return outcome{status: status} }

func (o outcome) logging(text string) outcome {
	o.log = text
	return o
}

// assemble makes binaries of texts, all in one run of wasm-tools.
func assemble(tb testing.TB, guests []guest) map[string][]byte {
	tb.Helper()
	dir := tb.TempDir()
	var script strings.Builder
	var names []string
	for _, g := range guests {
		if g.text != "" {
			names = append(names, g.name)
			script.WriteString(g.text + "\n")
		}
	}
	source := filepath.Join(dir, "hostile.wast")
	if err := os.WriteFile(source, []byte(script.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	program, err := checkout.Tool("wasm-tools")
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(program, "json-from-wast", source, "--wasm-dir", dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	var list struct {
		Commands []struct{ Filename string }
	}
	if err := json.Unmarshal(out, &list); err != nil {
		tb.Fatal(err)
	}
	if len(list.Commands) != len(names) {
		tb.Fatalf("%d texts became %d binaries", len(names), len(list.Commands))
	}
	made := map[string][]byte{}
	for i, name := range names {
		if made[name] != nil {
			tb.Fatal("two guests are called ", name)
		}
		made[name] = read(tb, filepath.Join(dir, filepath.Base(list.Commands[i].Filename)))
	}
	return made
}

func inCheckout(tb testing.TB, elem ...string) string {
	tb.Helper()
	path, err := checkout.Path(elem...)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
