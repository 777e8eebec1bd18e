package server

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/extproc/extproc/plugin"
)

// TestRoute: what the stream came with, or its first message, says which plugins
// the exchange has.
func TestRoute(t *testing.T) {
	spec := func(name string) *plugin.Plugin {
		return plugin.NewPlugin(&plugin.Spec{Name: name, Log: slog.New(slog.DiscardHandler)}, directModule{})
	}
	a, b := spec("a"), spec("b")
	set := plugin.NewSet(a, b)
	route := func(name string, meta, attributes []plugin.Mark, plugins ...*plugin.Plugin) plugin.Route {
		return plugin.Route{RouteSpec: &plugin.RouteSpec{Name: name, Metadata: meta, Attributes: attributes}, Plugins: plugins}
	}
	set.Routes = []plugin.Route{
		route("none", []plugin.Mark{{Key: "x-route", Value: "none"}}, nil),
		route("one", []plugin.Mark{{Key: "x-route", Value: "one"}}, nil, a),
		route("named", nil, []plugin.Mark{{Key: "xds.route_name", Value: "named"}}, b),
	}
	var c plugin.Current
	if err := c.Swap(set); err != nil {
		t.Fatal(err)
	}
	s := New(&c, Options{})
	named, err := structpb.NewStruct(map[string]any{"xds.route_name": "named"})
	if err != nil {
		t.Fatal(err)
	}
	unasked := false
	for _, tc := range []struct {
		metadata string
		told     *structpb.Struct
		changed  int // plugins that have changed the headers
	}{{"", nil, 2}, {"other", nil, 2}, {"none", nil, 0}, {"none", nil, 0}, {"one", nil, 1}, {"one", named, 1}, {"", named, 1}} {
		tp := &tape{msgs: []*extprocv3.ProcessingRequest{msg("qh :method: GET eos"), msg("rh :status: 200 eos")}}
		if tc.told != nil {
			tp.msgs[0].Attributes = map[string]*structpb.Struct{"envoy.filters.http.ext_proc": tc.told}
		}
		tp.ctx = metadata.NewIncomingContext(context.Background(), metadata.Pairs("x-route", tc.metadata))
		answers := 2
		if tc.changed == 0 && unasked {
			answers = 1 // the response is not waited for a second time
		}
		unasked = unasked || tc.changed == 0
		p := &process{}
		p.init(s, set, tp)
		if err := p.run(); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(tp.n, len(p.ex.Request.Headers)), fmt.Sprint(answers, 1+tc.changed); got != want {
			t.Errorf("%q, %v: %s answers and headers, want %s", tc.metadata, tc.told, got, want)
		}
	}
}
