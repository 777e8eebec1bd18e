package validate_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "build testdata/rules.json from rules.wat with wasm-tools")

// rule is a case of testdata/rules.wat.
type rule struct {
	Name  string
	Error string `json:",omitempty"` // part of the error; empty if valid
	Text  string
	Wasm  []byte
}

// readRules splits rules.wat into cases.
func readRules(t testing.TB) []rule {
	data, err := os.ReadFile("testdata/rules.wat")
	if err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for _, c := range strings.Split(string(data), "\n;;; ")[1:] {
		var r rule
		r.Name, r.Text, _ = strings.Cut(c, "\n")
		if rest, ok := strings.CutPrefix(r.Text, ";; error: "); ok {
			r.Error, r.Text, _ = strings.Cut(rest, "\n")
		}
		rules = append(rules, r)
	}
	return rules
}

// builtRules are the cases with their binaries, which must be up to date.
func builtRules(t testing.TB) []rule {
	rules := readRules(t)
	if *update {
		buildRules(t, rules)
	}
	data, err := os.ReadFile("testdata/rules.json")
	if err != nil {
		t.Fatal(err)
	}
	var built []rule
	if err := json.Unmarshal(data, &built); err != nil {
		t.Fatal(err)
	}
	if len(built) != len(rules) {
		t.Fatal("rules.json is not up to date with rules.wat: go test -run TestRules -update")
	}
	for i, r := range rules {
		if built[i].Name != r.Name || built[i].Text != r.Text {
			t.Fatalf("rules.json is not up to date at %q: go test -run TestRules -update", r.Name)
		}
		built[i].Error = r.Error
	}
	return built
}

func buildRules(t testing.TB, rules []rule) {
	for i, r := range rules {
		cmd := exec.Command("wasm-tools", "parse", "-")
		cmd.Stdin = strings.NewReader(r.Text)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: wasm-tools (cargo install wasm-tools): %v", r.Name, err)
		}
		rules[i].Wasm = out
	}
	data, err := json.MarshalIndent(rules, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/rules.json", append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRules(t *testing.T) {
	for _, r := range builtRules(t) {
		t.Run(r.Name, func(t *testing.T) {
			err := check(r.Wasm)
			switch {
			case r.Error == "" && err != nil:
				t.Error(err)
			case r.Error != "" && (err == nil || !strings.Contains(err.Error(), r.Error)):
				t.Errorf("got %v, want %q", err, r.Error)
			}
		})
	}
}

// FuzzValidate looks for panics and hangs in decoding and validation.
func FuzzValidate(f *testing.F) {
	for _, r := range builtRules(f) {
		f.Add(r.Wasm)
	}
	f.Fuzz(func(t *testing.T, wasm []byte) { check(wasm) })
}
