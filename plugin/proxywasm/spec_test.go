package proxywasm

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestSpecification compares the tables with the functions that the documents of
// the specification name: testdata/functions.txt lists the headings of each
// version's.
func TestSpecification(t *testing.T) {
	text, err := os.ReadFile("testdata/functions.txt")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]versions{}
	var version versions
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, "# "); ok {
			version = versionExports[strings.ReplaceAll(v, ".", "_")]
		} else if line != "" {
			named[line] |= version
		}
	}
	rows := map[string]versions{
		"_initialize": all, "main": all, "_start": all, "malloc": all, "proxy_on_memory_allocate": all,
		"proxy_abi_version_0_1_0": v010, "proxy_abi_version_0_2_0": v020, "proxy_abi_version_0_2_1": v021,
	}
	for _, row := range hostcalls {
		rows[row.name] |= row.versions
	}
	for _, row := range callbacks {
		rows[row.name] |= row.versions
	}
	for _, row := range wasi {
		if name := "wasi_snapshot_preview1." + row.name; named[name] != 0 {
			rows[name] = all
		}
	}
	for name, versions := range named {
		if rows[name] != versions {
			t.Errorf("%s is in the versions %03b of the specification, its row says %03b", name, versions, rows[name])
		}
	}
	for name := range rows {
		if named[name] == 0 {
			t.Errorf("%s is in no version of the specification", name)
		}
	}
	if len(named) != 84 {
		t.Errorf("the specification names %d functions", len(named))
	}
}

// TestTables checks what the code relies on: results come last, there is room for
// the parameters, and no name occurs twice.
func TestTables(t *testing.T) {
	names := map[string]bool{}
	for _, row := range hostcalls {
		if names[row.name] || row.call == nil || row.versions == 0 {
			t.Errorf("row %s is not whole or occurs twice", row.name)
		}
		names[row.name] = true
		in := slices.IndexFunc(row.params, func(k kind) bool { return kinds[k].out })
		if in < 0 {
			in = len(row.params)
		}
		if in > maxArgs || slices.ContainsFunc(row.params[in:], func(k kind) bool { return !kinds[k].out }) {
			t.Errorf("row %s has too many parameters, or some behind its results", row.name)
		}
	}
	for _, table := range [][]wasiCall{wasi, emscripten} {
		for _, row := range table {
			if names[row.name] || row.call == nil {
				t.Errorf("row %s is not whole or occurs twice", row.name)
			}
			names[row.name] = true
		}
	}
}
