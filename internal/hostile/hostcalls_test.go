package hostile

import (
	"math"
	"strings"

	"github.com/extproc/extproc/plugin/proxywasm"
)

// attack is a value that a parameter of some kind must not have.
type attack struct {
	name  string
	words []any
	want  proxywasm.Status
}

const (
	size = 4 * 65536 // of a module's memory
	most = math.MaxUint32
)

var (
	badEnums = []attack{
		{"an enum out of range", []any{99}, proxywasm.BadArgument},
		{"an enum far out of range", []any{most}, proxywasm.BadArgument},
	}
	badInputs = []attack{
		{"a pointer behind the end", []any{size, 1}, proxywasm.InvalidMemoryAccess},
		{"a length over the end", []any{size - 1, 2}, proxywasm.InvalidMemoryAccess},
		{"a pointer and a length that overflow", []any{most, most}, proxywasm.InvalidMemoryAccess},
		{"a sum that wraps to zero", []any{most, 1}, proxywasm.InvalidMemoryAccess},
		{"a length of 4 GiB", []any{0, most}, proxywasm.InvalidMemoryAccess},
		{"a negative length", []any{1024, -1}, proxywasm.InvalidMemoryAccess},
	}
	badResults = []attack{
		{"a result behind the end", []any{size}, proxywasm.InvalidMemoryAccess},
		{"a result over the end", []any{size - 3}, proxywasm.InvalidMemoryAccess},
		{"a result at the last address", []any{most}, proxywasm.InvalidMemoryAccess},
	}
	badPairs = []attack{
		{"pairs with an endless count", []any{3000, 64}, proxywasm.BadArgument}, // all ones
		{"pairs over 1 MiB", []any{0, 1<<20 + 1}, proxywasm.InvalidMemoryAccess},
	}
)

// badTwoResults has both pointers of a result out of range in turn.
func badTwoResults() []attack {
	var list []attack
	for _, a := range badResults {
		list = append(list,
			attack{a.name + " (pointer)", []any{a.words[0], 2064}, a.want},
			attack{a.name + " (length)", []any{2064, a.words[0]}, a.want})
	}
	return list
}

// attacks are the attacks on a kind of parameter.
func attacks(kind string) []attack {
	switch kind {
	case "map", "buffer", "stream", "level":
		return badEnums
	case "bytes":
		return badInputs
	case "pairs":
		return append(badInputs[:len(badInputs):len(badInputs)], badPairs...)
	case "out32", "out64":
		return badResults
	case "bytesOut", "pairsOut", "bytesMaybe":
		return badTwoResults()
	}
	return nil
}

// harmlessWords are words for a parameter that are in order.
func harmlessWords(kind string) []any {
	switch kind {
	case "bytes":
		return []any{1024, 4}
	case "pairs":
		return []any{0, 0}
	case "num64":
		return []any{int64(0)}
	case "out32", "out64":
		return []any{2048}
	case "bytesOut", "pairsOut", "bytesMaybe":
		return []any{2048, 2056}
	}
	return []any{0}
}

// hostcallGuests are guests that attack the parameters of every hostcall: one for
// each hostcall and attack. Each traps unless it is refused as it should be.
func hostcallGuests() []guest {
	var list []guest
	for _, s := range proxywasm.Signatures() {
		code := map[string]string{}
		var order []string
		for i, kind := range s.Params {
			for _, a := range attacks(kind) {
				var args []any
				for j, other := range s.Params {
					if j == i {
						args = append(args, a.words...)
					} else {
						args = append(args, harmlessWords(other)...)
					}
				}
				if code[a.name] == "" {
					order = append(order, a.name)
				}
				code[a.name] += expect(a.want, s.Name, args...)
			}
		}
		for _, name := range order {
			text := "(memory.fill (i32.const 3000) (i32.const 255) (i32.const 64))" + code[name]
			class := "pointers and lengths"
			if strings.Contains(name, "enum") {
				class = "enums out of range"
			}
			list = append(list, guest{
				name: s.Name + ": " + name, class: class, text: moduleText(module{code: text}), want: harmless,
			})
		}
	}
	return list
}
