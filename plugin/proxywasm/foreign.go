package proxywasm

import (
	"errors"

	"github.com/extproc/extproc/plugin/proxywasm/foreign"
)

// foreignFunction is a function that a guest calls by its name
// (proxy_call_foreign_function). The arguments lie in the guest's memory: they
// are to be copied if they are kept.
type foreignFunction func(cx *Context, args []byte) ([]byte, Status)

// foreignFunctions is THE table of foreign functions, by the names they have in
// Envoy.
var foreignFunctions = map[string]foreignFunction{
	"verify_signature":       pure(foreign.VerifySignature),
	"sign":                   pure(foreign.Sign),
	"compress":               pure(foreign.Compress),
	"uncompress":             pure(foreign.Uncompress),
	"expr_create":            createExpression,
	"expr_evaluate":          evaluateExpression,
	"expr_delete":            deleteExpression,
	"declare_property":       declareProperty,
	"set_envoy_filter_state": setFilterState,
	"clear_route_cache": func(cx *Context, _ []byte) ([]byte, Status) {
		cx.clearRouteCache()
		return nil, OK
	},
}

func callForeignFunction(c *call) (s Status) {
	f := foreignFunctions[string(c.bytes(0))]
	if f == nil {
		return NotFound
	}
	c.data, s = f(c.cx, c.bytes(1))
	return s
}

// foreignState is what foreign functions keep for a context.
type foreignState struct {
	expressions foreign.Expressions // of root contexts
	declared    foreign.Properties
}

// pure is a function of its arguments only.
func pure(f func(args []byte) ([]byte, error)) foreignFunction {
	return func(_ *Context, args []byte) ([]byte, Status) {
		result, err := f(args)
		return result, foreignStatus(err)
	}
}

func foreignStatus(err error) Status {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, foreign.ErrArgument):
		return BadArgument
	case errors.Is(err, foreign.ErrNotFound):
		return NotFound
	case errors.Is(err, foreign.ErrSerialization):
		return SerializationFailure
	}
	return InternalFailure
}

func createExpression(cx *Context, args []byte) ([]byte, Status) {
	token, err := cx.root.foreign.expressions.Create(args)
	return token, foreignStatus(err)
}

func deleteExpression(cx *Context, args []byte) ([]byte, Status) {
	return nil, foreignStatus(cx.root.foreign.expressions.Delete(args))
}

func evaluateExpression(cx *Context, args []byte) ([]byte, Status) {
	value, err := cx.root.foreign.expressions.Evaluate(args, func(path string) ([]byte, foreign.PropertyType, bool) {
		found, s := cx.property([]byte(path))
		return found, cx.root.foreign.declared.Of(path).Type, s == OK
	})
	return value, foreignStatus(err)
}

// declareProperty is for the context that calls, as in Envoy; what a root
// context has declared counts.
func declareProperty(cx *Context, args []byte) ([]byte, Status) {
	return nil, foreignStatus(cx.foreign.declared.Declare(args))
}

// setFilterState lets later plugins read the value. The proxy's own filter state
// is beyond the reach of an external processor.
func setFilterState(cx *Context, args []byte) ([]byte, Status) {
	path, value, err := foreign.FilterState(args)
	if err != nil {
		return nil, foreignStatus(err)
	}
	if cx.stream == nil {
		return nil, NotFound
	}
	return nil, cx.stream.setProperty("filter_state."+path, []byte(value))
}
