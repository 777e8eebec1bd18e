package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/extproc/extproc/internal/extproctest"
)

// TestRoutes: two routes of one Envoy have plugin sets of their own, one of a body
// and one of headers, and what neither has gets the rest.
func TestRoutes(t *testing.T) {
	type list = []any
	configuration := example(t, "configuration")
	header := func(name string) fields {
		return fields{"pluginName": name, "url": configuration, "pluginConfig": fields{"header": "x-" + name, "value": "yes"}}
	}
	text, err := json.Marshal(fields{
		"plugins": list{header("a"), header("b"), fields{"pluginName": "body", "url": example(t, "body-transform")}},
		"routes": list{
			fields{"name": "shop", "prefix": "/shop", "plugins": list{"a", "body"}},
			fields{"name": "open", "prefix": "/open", "plugins": list{}},
			fields{"name": "named", "plugins": list{"b", "a"}, "match": fields{"attribute": fields{"request.method": "DELETE"}}},
		},
		"default": list{"b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	stack := extproctest.Start(t, extproctest.Options{Config: string(text), Upstream: startUpstream(t).Address})
	c := client(t, false)
	for _, tc := range []struct {
		method, path string
		a, b         string
		body         bool // changed
	}{
		{http.MethodPost, "/shop/echo", "yes", "", true},
		{http.MethodPost, "/open/echo", "", "", false},
		{http.MethodPost, "/other/echo", "", "yes", false},
		{http.MethodDelete, "/other/echo", "yes", "yes", false},
		{http.MethodDelete, "/shop/echo", "yes", "", true},
	} {
		got, err := ask(t, c, tc.method, stack.URL+tc.path, "abc")
		if err != nil {
			t.Fatal(err)
		}
		if a, b := got.header.Get("X-A"), got.header.Get("X-B"); a != tc.a || b != tc.b {
			t.Errorf("%s %s: x-a %q, x-b %q; want %q, %q", tc.method, tc.path, a, b, tc.a, tc.b)
		}
		if tc.body != (got.body == strings.ToUpper(got.body)) {
			t.Errorf("%s %s: the body is %q", tc.method, tc.path, got.body)
		}
	}
}
