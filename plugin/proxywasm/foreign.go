package proxywasm

// foreign is a function that a guest calls by its name
// (proxy_call_foreign_function). The arguments lie in the guest's memory: they
// are to be copied if they are kept.
type foreign func(cx *Context, args []byte) ([]byte, Status)

// foreignFunctions is THE table of foreign functions, by the names they have in
// Envoy.
var foreignFunctions = map[string]foreign{
	"clear_route_cache": func(*Context, []byte) ([]byte, Status) { return nil, OK },
}

func callForeignFunction(c *call) (s Status) {
	f := foreignFunctions[string(c.bytes(0))]
	if f == nil {
		return NotFound
	}
	c.data, s = f(c.cx, c.bytes(1))
	return s
}
