package abi

import (
	"slices"
	"strings"
	"testing"
)

// typesRows satisfy testdata/components/imports.wat.
func typesRows() []Interface {
	nop := func(*Call) error { return nil }
	return []Interface{
		{Name: "test:host/types@0.2", Resources: []Resource{{Name: "fields"}}, Funcs: []HostFunc{
			{"[constructor]fields", "func() -> own<fields>", nop},
			{"[method]fields.entries", "func(self: borrow<fields>) -> list<tuple<string, list<u8>>>", nop},
			{"[static]fields.from", "func(entries: list<tuple<string, list<u8>>>) -> result<fields, code>", nop},
			{"check", "func(at: option<when>) -> result", nop},
			{"fail", "func(fields: fields) -> result<_, code>", nop},
			{"not-imported", "func(x: whatever) -> option<something>", nop},
		}},
		{Name: "", Funcs: []HostFunc{{"log", "func(line: string)", nop}}},
	}
}

func TestLink(t *testing.T) {
	e := testEngine(t, Config{})
	c, err := e.Compile(t.Context(), readFile(t, "testdata/components/imports.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	const types = "import test:host/types@0.2.9"
	const imported = ` (it imports "[constructor]fields", "[method]fields.entries", "[static]fields.from", 2 more)`
	for _, tc := range []struct {
		name   string
		change func([]Interface) []Interface
		want   string // error, "" for none
	}{
		{"as it is", func(is []Interface) []Interface { return is }, ""},
		{"exact version", func(is []Interface) []Interface { is[0].Name = "test:host/types@0.2.9"; return is }, ""},
		{"other version", func(is []Interface) []Interface { is[0].Name = "test:host/types@0.2.8"; return is },
			types + ": this version is not offered, expected test:host/types@0.2.8" + imported},
		{"other track", func(is []Interface) []Interface { is[0].Name = "test:host/types@0.3"; return is },
			types + ": this version is not offered, expected test:host/types@0.3" + imported},
		{"no interface", func(is []Interface) []Interface { return is[1:] },
			types + ": no such interface is offered" + imported},
		{"no root function", func(is []Interface) []Interface { return is[:1] },
			"import log: this function is not offered"},
		{"no resource", func(is []Interface) []Interface { is[0].Resources = nil; return is },
			types + `: resource "fields" is not offered`},
		{"no function", func(is []Interface) []Interface { is[0].Funcs = is[0].Funcs[1:]; return is },
			types + `: function "[constructor]fields" is not offered`},
		{"own instead of borrow", sig(1, "func(self: fields) -> list<tuple<string, list<u8>>>"),
			types + `: function "[method]fields.entries": found type func(self: borrow<fields>) -> list<tuple<string, list<u8>>>, expected func(self: fields) -> list<tuple<string, list<u8>>>`},
		{"other error", sig(2, "func(entries: list<tuple<string, list<u8>>>) -> result<fields>"),
			types + `: function "[static]fields.from": found type func(entries: list<tuple<string, list<u8>>>) -> result<own<fields>, code>, expected func(entries: list<tuple<string, list<u8>>>) -> result<fields>`},
		{"other type name", sig(3, "func(at: option<then>) -> result"),
			types + `: function "check": found type func(at: option<when>) -> result, expected func(at: option<then>) -> result`},
		{"other parameter name", sig(3, "func(when: option<when>) -> result"),
			types + `: function "check": found type func(at: option<when>) -> result, expected func(when: option<when>) -> result`},
		{"ok instead of error", sig(4, "func(fields: fields) -> result<code>"),
			types + `: function "fail": found type func(fields: own<fields>) -> result<_, code>, expected func(fields: fields) -> result<code>`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := NewLinker(e)
			if err := l.Define(tc.change(typesRows())...); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Link(c); errorText(err) != tc.want {
				t.Errorf("error %q\nexpected %q", errorText(err), tc.want)
			}
		})
	}
}

// sig changes the signature of a row.
func sig(i int, s string) func([]Interface) []Interface {
	return func(is []Interface) []Interface { is[0].Funcs[i].Sig = s; return is }
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDefineErrors(t *testing.T) {
	e := testEngine(t, Config{})
	for _, tc := range []struct {
		iface Interface
		want  string
	}{
		{Interface{Name: "i", Funcs: []HostFunc{{Name: "f", Sig: "func("}}}, `interface i: function "f": signature "func(": expected a name, found ""`},
		{Interface{Name: "i", Funcs: []HostFunc{{Name: "f", Sig: "func(a: list)"}}}, `interface i: function "f": signature "func(a: list)": expected "<", found ")"`},
		{Interface{Name: "i", Funcs: []HostFunc{{Name: "f", Sig: "func() -> u8 x"}}}, `interface i: function "f": signature "func() -> u8 x": expected the end, found "x"`},
		{Interface{Name: "i", Funcs: []HostFunc{{Name: "f", Sig: "func()"}, {Name: "f", Sig: "func()"}}}, `interface i: function "f" is defined twice`},
		{Interface{Name: "i", Resources: []Resource{{Name: "r"}, {Name: "r"}}}, `interface i: resource "r" is defined twice`},
	} {
		if err := NewLinker(e).Define(tc.iface); errorText(err) != tc.want {
			t.Errorf("error %q\nexpected %q", errorText(err), tc.want)
		}
	}
	l := NewLinker(e)
	if err := l.Define(Interface{Name: "i"}, Interface{Name: "i"}); errorText(err) != "interface i is defined twice" {
		t.Errorf("error %v", err)
	}
}

func TestTrack(t *testing.T) {
	for name, want := range map[string]string{
		"a:b/c@0.2.3":      "a:b/c@0.2",
		"a:b/c@0.2.3-rc.1": "a:b/c@0.2",
		"a:b/c@1.2.3":      "a:b/c@1",
		"a:b/c@0.0.3":      "a:b/c@0.0.3",
		"a:b/c@0.2":        "",
		"a:b/c":            "",
	} {
		if got, ok := track(name); got != want || ok != (want != "") {
			t.Errorf("track(%q) = %q, %v, expected %q", name, got, ok, want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	e := testEngine(t, Config{})
	for _, tc := range []struct{ name, wasm, want string }{
		{"empty", "", "not a WebAssembly binary"},
		{"text", "hello world", "not a WebAssembly binary"},
		{"module", "\x00asm\x01\x00\x00\x00", "a core module, not a component"},
		{"async export", string(readFile(t, "testdata/components/async.wasm")),
			`asynchronous functions such as "f" (WASI 0.3) are not supported yet`},
		{"instances that double", string(readFile(t, "testdata/components/doubling.wasm")),
			"component unfolds to more than 1000 component instances"},
		{"types that double", string(readFile(t, "testdata/components/doubling-types.wasm")), "too complex to validate"},
	} {
		if _, err := e.Compile(t.Context(), []byte(tc.wasm)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, expected %q", tc.name, err, tc.want)
		}
	}
}

func TestUnlinkable(t *testing.T) {
	e := testEngine(t, Config{})
	for file, want := range map[string]string{
		"start":         "component start functions are not supported",
		"module-import": `import "m": a core module cannot be supplied by a host`,
	} {
		c, err := e.Compile(t.Context(), readFile(t, "testdata/components/"+file+".wasm"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewLinker(e).Link(c); errorText(err) != want {
			t.Errorf("%s: error %v, expected %q", file, err, want)
		}
	}
}

func TestExterns(t *testing.T) {
	e := testEngine(t, Config{})
	c, err := e.Compile(t.Context(), readFile(t, "testdata/components/calls.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	imports := c.Imports()
	if len(imports) != 1 || imports[0].Name != "test:host/log@0.1.0" || len(imports[0].Items) != 5 {
		t.Errorf("imports %+v", imports)
	}
	if !slices.ContainsFunc(c.Exports(), func(e Extern) bool { return e.Name == "add" && len(e.Func.Params) == 2 }) {
		t.Errorf("exports %+v lack add", c.Exports())
	}
	if c.ExportedFunc("", "add") == nil || c.ExportedFunc("", "missing") != nil {
		t.Error("ExportedFunc finds other functions than those exported")
	}
}

func TestReallocCallsHost(t *testing.T) {
	const clock = "test:host/clock@0.2.0 "
	rows := map[string]func(*Call) error{
		clock + "now":   func(c *Call) error { c.Result = U64(1); return nil },
		clock + "start": func(c *Call) error { c.Result = c.Own("timer"); return nil },
	}
	for _, tc := range []struct {
		call   string
		strict bool
		traps  bool
	}{
		{"now", false, false},
		{"now", true, true},
		{"start", false, true},
		{"start", true, true},
		{"post", false, true},
	} {
		e := testEngine(t, Config{StrictReentrance: tc.strict})
		in, err := linkFile(t, e, "testdata/components/realloc-clock.wasm", rows).Instantiate(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		args := []Value{String("abc")}
		if tc.call == "post" {
			args = []Value{U32(1), U32(2)}
		}
		err = in.Func("", tc.call).Call(t.Context(), args, make([]Value, 1))
		if (err != nil) != tc.traps || tc.traps && !strings.Contains(err.Error(), "cannot leave component instance") {
			t.Errorf("%s, strict %v: error %v, expected a trap: %v", tc.call, tc.strict, err, tc.traps)
		}
	}
}
