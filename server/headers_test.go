package server

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/extproc/extproc/plugin"
)

var requestHeaders = plugin.Phase{Direction: plugin.Request, Part: plugin.HeadersPart}

// h is a list of fields written as "name: value".
func h(lines ...string) plugin.Headers {
	var out plugin.Headers
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		out = append(out, plugin.Field{Name: name, Value: []byte(value)})
	}
	return out
}

// text is a mutation as "-name", "=name: value" and "+name: value".
func text(m *extprocv3.HeaderMutation) []string {
	var out []string
	for _, name := range m.GetRemoveHeaders() {
		out = append(out, "-"+name)
	}
	for _, o := range m.GetSetHeaders() {
		op := "="
		if o.GetAppend().GetValue() {
			op = "+"
		}
		out = append(out, op+o.GetHeader().GetKey()+": "+string(o.GetHeader().GetRawValue()))
	}
	return out
}

func TestMutation(t *testing.T) {
	trailers := plugin.Phase{Direction: plugin.Response, Part: plugin.TrailersPart}
	responseHeaders := plugin.Phase{Direction: plugin.Response, Part: plugin.HeadersPart}
	for _, tc := range []struct {
		name     string
		at       place
		from, to plugin.Headers
		want     []string
		rejected int
	}{
		{"nothing", place{Phase: requestHeaders}, h("a: 1"), h("a: 1"), nil, 0},
		{"add", place{Phase: requestHeaders}, h("a: 1"), h("a: 1", "b: 2"), []string{"=b: 2"}, 0},
		{"add an empty value", place{Phase: requestHeaders}, nil, h("b: "), []string{"=b: "}, 0},
		{"add two", place{Phase: requestHeaders}, nil, h("b: 1", "b: 2"), []string{"=b: 1", "+b: 2"}, 0},
		{"add to a list", place{Phase: requestHeaders}, h("b: 1"), h("b: 1", "b: 2"), []string{"+b: 2"}, 0},
		{"change one of a list", place{Phase: requestHeaders}, h("b: 1", "b: 2"), h("b: 1", "b: 3"), []string{"=b: 1", "+b: 3"}, 0},
		{"shorten a list", place{Phase: requestHeaders}, h("b: 1", "b: 2"), h("b: 2"), []string{"=b: 2"}, 0},
		{"remove", place{Phase: requestHeaders}, h("a: 1", "b: 2"), h("b: 2"), []string{"-a"}, 0},
		{"order between names does not count", place{Phase: requestHeaders}, h("a: 1", "b: 2"), h("b: 2", "a: 1"), nil, 0},
		{"raw bytes", place{Phase: requestHeaders}, nil, h("a: \xff\x80"), []string{"=a: \xff\x80"}, 0},
		{"pseudo headers", place{Phase: requestHeaders}, h(":method: GET", ":path: /"), h(":method: PUT", ":path: /x"), []string{"=:method: PUT", "=:path: /x"}, 0},
		{"pseudo headers stay", place{Phase: requestHeaders}, h(":method: GET"), nil, nil, 0},
		{"pseudo headers are single", place{Phase: requestHeaders}, h(":path: /"), h(":path: /a", ":path: /b"), []string{"=:path: /a"}, 1},
		{"other pseudo headers", place{Phase: requestHeaders}, nil, h(":status: 200", ":x: 1"), nil, 2},
		{"status", place{Phase: responseHeaders}, h(":status: 200"), h(":status: 404"), []string{"=:status: 404"}, 0},
		{"bad status", place{Phase: responseHeaders}, h(":status: 200"), h(":status: 99"), nil, 1},
		{"101 stays", place{Phase: responseHeaders}, h(":status: 101"), h(":status: 101", "a: 1"), []string{"=a: 1"}, 0},
		{"no pseudo headers in trailers", place{Phase: trailers}, nil, h(":status: 200"), nil, 1},
		{"newline, NUL, DEL", place{Phase: requestHeaders}, nil, h("a: 1\n2", "b: \x00", "c: \x7f", "d: \t"), []string{"=d: \t"}, 3},
		{"a bad value keeps the old one", place{Phase: requestHeaders}, h("a: 1"), h("a: \r"), nil, 1},
		{"bad names", place{Phase: requestHeaders}, nil, h("a b: 1", ": 1", "A: 1", "a:b: 1", "\xff: 1"), nil, 5},
		{"framing stays", place{Phase: requestHeaders}, h("content-length: 5", "transfer-encoding: chunked"), h("content-length: 3"), nil, 1},
		{"framing is not added", place{Phase: requestHeaders}, nil, h("transfer-encoding: chunked", "connection: x", "host: y", "content-length: 1"), nil, 4},
		{"what routes need stays", place{Phase: requestHeaders}, h("x-forwarded-proto: http", "a: 1"), nil, []string{"-a"}, 0},
		{"what routes need may change", place{Phase: requestHeaders}, h("x-forwarded-proto: http"), h("x-forwarded-proto: https"), []string{"=x-forwarded-proto: https"}, 0},
		{"it is nothing special in a response", place{Phase: responseHeaders}, h("x-forwarded-proto: http"), nil, []string{"-x-forwarded-proto"}, 0},
		{"a new body has no length", place{requestHeaders, true}, h("content-length: 5"), h("content-length: 5"), []string{"-content-length"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, rejected, err := mutation(tc.from, tc.to, tc.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := text(m); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, expected %q", got, tc.want)
			}
			if rejected != tc.rejected {
				t.Errorf("%d rejected, expected %d", rejected, tc.rejected)
			}
			for _, o := range m.GetSetHeaders() {
				appends := o.GetAppendAction() == corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
				if appends != o.GetAppend().GetValue() {
					t.Errorf("%v: append and append_action differ", o)
				}
			}
		})
	}
}

func TestMutationUnchangedLength(t *testing.T) {
	same := h("content-length: 5", "a: 1")
	m, _, err := mutation(same, same, place{requestHeaders, true})
	if err != nil || !slices.Equal(text(m), []string{"-content-length"}) {
		t.Errorf("got %q and %v", text(m), err)
	}
	if m, _, _ := mutation(same, same, place{requestHeaders, false}); m != nil {
		t.Errorf("got %q for no change", text(m))
	}
}

func TestMutationLimits(t *testing.T) {
	var many plugin.Headers
	for i := range maxSets + 1 {
		many = append(many, plugin.Field{Name: fmt.Sprintf("x-%d", i), Value: []byte("1")})
	}
	at := place{Phase: requestHeaders}
	for name, tc := range map[string]struct{ from, to plugin.Headers }{
		"sets":     {nil, many},
		"removals": {many, nil},
		"bytes":    {nil, h("a: " + strings.Repeat("x", maxFieldBytes))},
	} {
		if _, _, err := mutation(tc.from, tc.to, at); !errors.Is(err, errTooLarge) {
			t.Errorf("%s: got %v, expected %v", name, err, errTooLarge)
		}
		if tc.from != nil {
			continue
		}
		if _, _, err := mutation(tc.to, with(tc.to[:len(tc.to)-1], "y", "1"), at); err != nil {
			t.Errorf("%s: what came already is refused: %v", name, err)
		}
	}
	if _, _, err := mutation(nil, many[:maxSets], at); err != nil {
		t.Error(err)
	}
}

// applied is what Envoy makes of a mutation: removals first, then sets, which
// replace all values of a name unless they append.
func applied(from plugin.Headers, m *extprocv3.HeaderMutation) plugin.Headers {
	out := slices.Clone(from)
	remove := func(name string) {
		out = slices.DeleteFunc(out, func(f plugin.Field) bool { return f.Name == name })
	}
	for _, name := range m.GetRemoveHeaders() {
		remove(name)
	}
	for _, o := range m.GetSetHeaders() {
		if !o.GetAppend().GetValue() {
			remove(o.GetHeader().GetKey())
		}
		out = append(out, plugin.Field{Name: o.GetHeader().GetKey(), Value: o.GetHeader().GetRawValue()})
	}
	return out
}

// grouped is a list by name, which is all that matters to HTTP.
func grouped(h plugin.Headers) string {
	var b strings.Builder
	for _, f := range byName(h, nil) {
		fmt.Fprintf(&b, "%q: %q\n", f.Name, f.Value)
	}
	return b.String()
}

// TestMutationProperty: what Envoy makes of the mutation is what the guest wanted.
func TestMutationProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() plugin.Headers {
		var out plugin.Headers
		for range r.IntN(8) {
			out = append(out, plugin.Field{Name: string(rune('a' + r.IntN(4))), Value: []byte{byte('0' + r.IntN(3))}})
		}
		return out
	}
	for range 20_000 {
		from, to := random(), random()
		m, rejected, err := mutation(from, to, place{Phase: requestHeaders})
		if err != nil || rejected != 0 {
			t.Fatal(err, rejected)
		}
		if got := grouped(applied(from, m)); got != grouped(to) {
			t.Fatalf("from\n%sto\n%sgot\n%sby %q", grouped(from), grouped(to), got, text(m))
		}
	}
}

// FuzzHeaderMutation: whatever a guest wants, nothing illegal is sent, framing is
// not touched, and every other legal wish comes true.
func FuzzHeaderMutation(f *testing.F) {
	f.Add("a: 1\x1eb: 2", "a: 2\x1eb: 2\x1eb: 3", false)
	f.Add("content-length: 5\x1e:path: /", "content-length: 6\x1e:path: \x1e: x", true)
	f.Add("", "transfer-encoding: chunked\x1ehost: a\x1eA: b\x1ea: \x00", false)
	f.Fuzz(func(t *testing.T, from, to string, newBody bool) {
		was, is := h(strings.Split(from, "\x1e")...), h(strings.Split(to, "\x1e")...)
		at := place{requestHeaders, newBody}
		m, _, err := mutation(was, is, at)
		if err != nil {
			return
		}
		for _, name := range m.GetRemoveHeaders() {
			if name == "" || name[0] == ':' || hopByHop[name] || name == "content-length" && !newBody {
				t.Errorf("removes %q", name)
			}
		}
		for _, o := range m.GetSetHeaders() {
			f := plugin.Field{Name: o.GetHeader().GetKey(), Value: o.GetHeader().GetRawValue()}
			if !validName(f.Name) || !validValue(f) || hopByHop[f.Name] || f.Name == "content-length" {
				t.Errorf("sets %q", f)
			}
		}
		legal := func(h plugin.Headers) plugin.Headers {
			return slices.DeleteFunc(slices.Clone(h), func(f plugin.Field) bool { return at.rule(f.Name) != free })
		}
		for _, f := range is {
			if at.rule(f.Name) == free && (!validName(f.Name) || !validValue(f)) {
				return // its name keeps what it had
			}
		}
		if got, want := grouped(legal(applied(was, m))), grouped(legal(is)); got != want {
			t.Errorf("got\n%sexpected\n%s", got, want)
		}
	})
}
