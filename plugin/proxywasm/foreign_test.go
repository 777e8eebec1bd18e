package proxywasm

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/extproc/extproc/plugin"
)

// fieldsOf builds a protobuf message with string fields, numbered from 1, and
// numbers.
func fieldsOf(values ...any) string {
	var b []byte
	for i, v := range values {
		switch v := v.(type) {
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, protowire.Number(i+1), protowire.BytesType), v)
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, protowire.Number(i+1), protowire.VarintType), uint64(v))
		}
	}
	return string(b)
}

// TestForeignFunctions calls them as a guest does.
func TestForeignFunctions(t *testing.T) {
	var root, stream map[string]answer
	m, _ := perform(t, newABI(t, Config{}), script{
		onConfigure: func(p *player) uint32 {
			call := func(name, args string) answer { return p.call("call_foreign_function", name, args) }
			root = map[string]answer{
				"none":        call("none", ""),
				"no name":     call("", ""),
				"verify":      call("verify_signature", fieldsOf("md5", "key")),
				"verify none": call("verify_signature", ""),
				"sign":        call("sign", fieldsOf("sha256", "key", "text")),
				"uncompress":  call("uncompress", call("compress", "hello").data),
				"no zlib":     call("uncompress", "hello"),
				"declare":     call("declare_property", fieldsOf("once", 1, 1)),
				"twice":       call("declare_property", fieldsOf("once")),
				"state":       call("set_envoy_filter_state", fieldsOf("key", "v")),
				"create":      call("expr_create", `request.method + " " + request.headers["x-a"] + (has(request.headers.b) ? "b" : "") + string(response.code) + once`),
				"create none": call("expr_create", "1 +"),
				"evaluate":    call("expr_evaluate", "\x00\x00\x00\x00"),
			}
			return 1
		},
		onLog: func(p *player) uint32 { // where the guest sees request and response
			call := func(name, args string) answer { return p.call("call_foreign_function", name, args) }
			stream = map[string]answer{
				"property":      p.call("set_property", "once", "!"),
				"read only":     p.call("set_property", "once", "?"),
				"evaluate":      call("expr_evaluate", root["create"].data),
				"a token":       call("expr_evaluate", "\x01"),
				"no such token": call("expr_evaluate", "\x09\x00\x00\x00"),
				"delete":        call("expr_delete", root["create"].data),
				"deleted":       call("expr_evaluate", root["create"].data),
				"headers":       call("expr_evaluate", call("expr_create", `request.headers.size() > 3`).data),
				"route":         call("clear_route_cache", ""),
				"state":         call("set_envoy_filter_state", fieldsOf("key", "v")),
				"read":          p.call("get_property", "filter_state\x00key"),
				"no message":    call("set_envoy_filter_state", "\xff"),
			}
			return 0
		},
	})
	check := func(what string, got map[string]answer, name string, status Status, data string) {
		t.Helper()
		if a := got[name]; a.Status != status || a.data != data {
			t.Errorf("%s, %s: %v %q, expected %v %q", what, name, a.Status, a.data, status, data)
		}
	}
	c := begin(t, m).request(true, "x-a: 1", "x-a: 2").ok().response(true).is(plugin.Response, ":status: 200\nuntouched")
	c.guest.Close()
	for name, want := range map[string]answer{
		"none": {Status: NotFound}, "no name": {Status: NotFound},
		"verify":      {Status: OK, data: "\x12\x15md5 is not supported."},
		"verify none": {Status: BadArgument},
		"sign":        {Status: OK, data: "\x1a=Invalid key type: private key required for signing operation."},
		"uncompress":  {Status: OK, data: "hello"},
		"no zlib":     {Status: SerializationFailure},
		"declare":     {Status: OK}, "twice": {Status: BadArgument}, "state": {Status: NotFound},
		"create": {Status: OK, data: "\x00\x00\x00\x00"}, "create none": {Status: BadArgument},
		"evaluate": {Status: InternalFailure}, // there is no exchange
	} {
		check("root", root, name, want.Status, want.data)
	}
	for name, want := range map[string]answer{
		"property": {Status: OK}, "read only": {Status: BadArgument},
		"evaluate": {Status: OK, data: "GET 1,2200!"},
		"a token":  {Status: BadArgument}, "no such token": {Status: NotFound},
		"delete": {Status: OK}, "deleted": {Status: NotFound},
		"headers": {Status: OK, data: "\x01"}, "route": {Status: OK},
		"state": {Status: OK}, "read": {Status: OK, data: "v"}, "no message": {Status: BadArgument},
	} {
		check("stream", stream, name, want.Status, want.data)
	}
}
