package wasihttp_test

import (
	"slices"
	"testing"
)

func TestHeaderRules(t *testing.T) {
	for _, lang := range []string{"rust", "c"} {
		t.Run(lang, func(t *testing.T) {
			m := load(t, example("header-rules", lang))
			for range 3 { // the instance is reused
				got := newProxy(t, m, getRequest, okResponse).run()
				if got.err != nil {
					t.Fatal(got.err)
				}
				t.Logf("%+v", got)
				for _, s := range []struct {
					sent
					with, without []string
				}{
					{got.request, []string{"x-plugin: header-rules", "x-multi: client", "x-multi: plugin", "te: trailers", ":path: /p?q=1"}, []string{"x-secret: s"}},
					{got.response, []string{":status: 200", "x-plugin: header-rules", "content-type: text/plain", "connection: close"}, []string{"server-secret: s"}},
				} {
					if !s.released || !s.untouched {
						t.Errorf("released %v, untouched %v", s.released, s.untouched)
					}
					for _, h := range s.with {
						if !slices.Contains(s.headers, h) {
							t.Errorf("no %q in %q", h, s.headers)
						}
					}
					for _, h := range s.without {
						if slices.Contains(s.headers, h) {
							t.Errorf("still %q in %q", h, s.headers)
						}
					}
				}
			}
		})
	}
}
