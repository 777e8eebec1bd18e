package server

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/extproc/extproc/plugin"
)

// describe writes a value of an attribute with its kind.
func describe(v plugin.Value, ok bool) string {
	if !ok {
		return "none"
	}
	switch v.Kind {
	case plugin.TextValue:
		return fmt.Sprintf("text %s", v.Text)
	case plugin.IntValue:
		return fmt.Sprintf("int %d", v.Int)
	case plugin.BoolValue:
		return fmt.Sprintf("bool %v", v.Int != 0)
	case plugin.TimeValue:
		return "time " + time.Unix(0, v.Int).UTC().Format(time.DateOnly)
	case plugin.MapValue:
		return fmt.Sprintf("map of %d", len(v.Map))
	}
	return fmt.Sprintf("kind %d", v.Kind)
}

func readsAttributes(s *script) error {
	q := &s.ex.Request
	h := q.Original
	for _, name := range []string{"source.address", "source.port", "request.time", "connection.mtls", "xds.route_name", "request.headers['x-a']", "upstream.port"} {
		h = with(h, "x-saw", name+": "+describe(s.ex.Attribute(name)))
	}
	text, _ := s.ex.Metadata("before", "text")
	nested, _ := s.ex.Metadata("before", "nested")
	inner, ok := nested.At("inner", "word")
	h = with(h, "x-saw", "metadata "+text.Text+" "+inner.Text+" "+fmt.Sprint(ok))
	release(q, h, plugin.Untouched)
	r := s.upstream()
	h = with(r.Original, "x-saw-code", describe(s.ex.Attribute("response.code")), "x-saw-port", describe(s.ex.Attribute("upstream.port")),
		"x-saw-source", describe(s.ex.Attribute("source.port")))
	release(r, h, plugin.Untouched)
	return nil
}

func setsMetadata(s *script) error {
	ex := s.ex
	ex.SetMetadata("audit", "user", plugin.Text("anna"))
	ex.SetMetadata("audit", "more", plugin.Value{Kind: plugin.MapValue, Map: map[string]plugin.Value{
		"count": {Kind: plugin.IntValue, Int: 7}, "list": {Kind: plugin.ListValue, List: []plugin.Value{{Kind: plugin.BoolValue, Int: 1}}},
	}})
	ex.SetMetadata("unheard", "of", plugin.Text("x"))
	release(&ex.Request, ex.Request.Original, plugin.Untouched)
	r := s.upstream()
	ex.SetProperty("left.behind", plugin.Bytes([]byte("a\xffb")))
	release(r, r.Original, plugin.Untouched)
	return nil
}

func answersInDetail(s *script) error {
	ex := s.ex
	ex.SetMetadata("audit", "user", plugin.Text("bert"))
	ex.Response.Local = plugin.LocalResponse{Details: "because", GRPCStatus: 7, HasGRPCStatus: true}
	s.respond("403", "no")
	return nil
}

func reroutes(s *script) error {
	s.ex.Request.Reroute = true
	release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
	r := s.upstream()
	release(r, r.Original, plugin.Untouched)
	return nil
}

const metadataFilter = `                  - name: envoy.filters.http.set_metadata
                    typed_config:
                      '@type': type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config
                      metadata:
                        - metadata_namespace: before
                          value: { text: told, nested: { inner: { word: deep } } }
`

// TestEnvoyAttributes: what a plugin is told of an exchange, and tells the proxy.
func TestEnvoyAttributes(t *testing.T) {
	p := behind(t, setup{
		about: plugin.Needs{
			Attributes: [2][]string{
				{"source.address", "source.port", "request.time", "connection.mtls", "xds.route_name", "request.headers['x-a']"},
				{"response.code", "upstream.port"},
			},
			Reads: []string{"before"}, Writes: []string{"audit", "wasm"},
		},
		edit: func(boot string) string {
			boot = strings.Replace(boot, "                  - name: envoy.filters.http.ext_proc\n", metadataFilter+"                  - name: envoy.filters.http.ext_proc\n", 1)
			return strings.Replace(boot, "                      domains:\n", `                      response_headers_to_add:
                        - header: { key: x-user, value: "%DYNAMIC_METADATA(audit:user)%" }
                        - header: { key: x-more, value: "%DYNAMIC_METADATA(audit:more)%" }
                        - header: { key: x-unheard, value: "%DYNAMIC_METADATA(unheard:of)%" }
                        - header: { key: x-details, value: "%RESPONSE_CODE_DETAILS%" }
                      domains:
`, 1)
		},
	})
	got := p.ask(t, p.http1, asked{path: "/", do: "attributes", header: map[string][]string{"X-A": {"a"}}})
	saw := got.seen.Headers["X-Saw"]
	today := time.Now().UTC().Format(time.DateOnly)
	for _, want := range []string{"source.address: text 127.0.0.1:", "source.port: int ", "request.time: time " + today,
		"connection.mtls: bool false", "request.headers['x-a']: text a", "upstream.port: none", "metadata told deep true"} {
		if !slices.ContainsFunc(saw, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("the plugin did not see %q: %q", want, saw)
		}
	}
	equal(t, got.header.Get("X-Saw-Code"), "int 200")
	if port := got.header.Get("X-Saw-Port"); !strings.HasPrefix(port, "int ") || port == "int 0" {
		t.Errorf("upstream.port: %s", port)
	}
	if port := got.header.Get("X-Saw-Source"); !strings.HasPrefix(port, "int ") {
		t.Errorf("source.port with the response: %s", port)
	}

	got = p.ask(t, p.http1, asked{path: "/", do: "metadata"})
	equal(t, got.header.Get("X-User"), "anna")
	equal(t, strings.ReplaceAll(got.header.Get("X-More"), " ", ""), `{"count":7,"list":[true]}`)
	equal(t, got.header.Get("X-Unheard"), "")
	got = p.ask(t, p.http1, asked{path: "/", do: "details"})
	equal(t, got.status, 403)
	equal(t, got.header.Get("X-User"), "bert")
	equal(t, got.header.Get("X-Details"), "because")
	got = p.ask(t, p.http1, asked{path: "/", do: "reroute"})
	equal(t, got.status, 200)
}

// TestMetadataAnswers: dynamic metadata goes with the next answer, once.
func TestMetadataAnswers(t *testing.T) {
	s, _ := service(t, plugin.FailClose)
	answers, err := talk(t, s, msg("qh x-do: metadata eos"), msg("rh :status: 200 eos"))
	if err != nil {
		t.Fatal(err)
	}
	q := answers[0][0]
	equal(t, show(q), "qh")
	equal(t, q.GetDynamicMetadata().GetFields()["audit"].GetStructValue().GetFields()["user"].GetStringValue(), "anna")
	r := answers[1][0].GetDynamicMetadata().GetFields()
	equal(t, len(r), 1)
	equal(t, r["wasm"].GetStructValue().GetFields()["left.behind"].GetStringValue(), "a\uFFFDb")
	equal(t, rows[plugin.Request][plugin.HeadersPart].plain.GetDynamicMetadata() == nil, true)

	answers, _ = talk(t, s, msg("qh x-do: reroute eos"), msg("rh :status: 200 eos"))
	equal(t, answers[0][0].GetRequestHeaders().GetResponse().GetClearRouteCache(), true)
	answers, _ = talk(t, s, msg("qh x-do: details eos"))
	equal(t, answers[0][0].GetImmediateResponse().GetGrpcStatus().GetStatus(), 7)
}

// TestAttributesTold: names come once for each direction, and the later counts.
func TestAttributesTold(t *testing.T) {
	var a attributes
	told := func(d plugin.Direction, fields map[string]any) {
		s, err := structpb.NewStruct(fields)
		if err != nil {
			t.Fatal(err)
		}
		a.learn(d, &extprocv3.ProcessingRequest{
			Attributes:      map[string]*structpb.Struct{"envoy.filters.http.ext_proc": s},
			MetadataContext: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"n": s}},
		})
	}
	ex := plugin.Exchange{Attributes: &a}
	equal(t, describe(ex.Attribute("source.port")), "none")
	told(plugin.Request, map[string]any{"source.port": 80, "request.time": "2026-11-22T15:11:24.5+00:00", "request.duration": "1.5s", "xds.route_name": "r", "l": []any{1, nil}})
	told(plugin.Response, map[string]any{"source.port": 81, "response.size": math.NaN(), "request.total_size": 1e300})
	equal(t, describe(ex.Attribute("source.port")), "int 81")
	equal(t, describe(ex.Attribute("xds.route_name")), "text r")
	equal(t, describe(ex.Attribute("request.time")), "time 2026-11-22")
	v, _ := ex.Attribute("request.duration")
	equal(t, time.Duration(v.Int), 1500*time.Millisecond)
	for _, name := range []string{"response.size", "request.total_size"} {
		v, _ = ex.Attribute(name)
		equal(t, v.Kind, plugin.NumberValue)
	}
	v, _ = ex.Attribute("l")
	equal(t, len(v.List), 2)
	v, _ = ex.Metadata("n", "source.port")
	equal(t, v.Number, 81)
	ex.SetMetadata("n", "source.port", plugin.Text("own"))
	v, _ = ex.Metadata("n", "source.port")
	equal(t, v.Text, "own")
}
