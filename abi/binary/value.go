package binary

// start reads a start definition (Binary.md, start definitions).
func (r *reader) start() Start {
	return Start{
		Func:    r.u32("a function index"),
		Args:    vec(r, "arguments", func() uint32 { return r.u32("a value index") }),
		Results: r.u32("the number of results"),
	}
}

// value reads a value definition (Binary.md, value definitions).
func (r *reader) value() Value {
	return Value{Type: r.valType(), Bytes: r.bytes(r.size("a value"))}
}
