package validate_test

import (
	"slices"
	"testing"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/validate"
)

// built is the binary of a case of rules.wat.
func built(t *testing.T, name string) []byte {
	rules := builtRules(t)
	i := slices.IndexFunc(rules, func(r rule) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("no case %q in rules.wat", name)
	}
	return rules[i].Wasm
}

func TestDescribe(t *testing.T) {
	c, err := binary.Decode(built(t, "types for people"))
	if err != nil {
		t.Fatal(err)
	}
	imports, exports, err := validate.Describe(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(imports) != 1 || imports[0].Name != "x:y/z@1.0.0" || imports[0].Sort != binary.SortInstance {
		t.Fatalf("imports %+v", imports)
	}
	if len(exports) != 1 || exports[0].Type != "func(e: set-error) -> list<u8, 4>" {
		t.Errorf("exports %+v", exports)
	}
	for _, want := range []validate.Item{
		{Name: "fields", Sort: binary.SortType, Type: "resource"},
		{Name: "set-error", Sort: binary.SortType, Type: "variant { syntax, other(option<string>) }"},
		{Name: "point", Sort: binary.SortType, Type: "record { x: u32, y: tuple<u8, f64> }"},
		{Name: "modes", Sort: binary.SortType, Type: "flags { r, w }"},
		{Name: "[constructor]fields", Sort: binary.SortFunc, Type: "func() -> fields"},
		{Name: "[method]fields.set", Sort: binary.SortFunc,
			Type: "func(self: borrow<fields>, all: map<string, list<char>>) -> result<_, set-error>"},
		{Name: "watch", Sort: binary.SortFunc, Type: "async func(p: point) -> result<stream<u8>, future>"},
	} {
		i := slices.IndexFunc(imports[0].Items, func(x validate.Item) bool { return x.Name == want.Name })
		if i < 0 || imports[0].Items[i].Type != want.Type || imports[0].Items[i].Sort != want.Sort {
			t.Errorf("got %+v, want %+v", imports[0].Items, want)
		}
	}
}
