package binary

// typeDef reads a type (Binary.md, type definitions).
func (r *reader) typeDef() Type {
	switch r.peek() {
	case 0x3f:
		r.pos++
		return Type{Resource: r.resourceType()}
	case 0x40, 0x43:
		return Type{Func: r.funcType()}
	case 0x41:
		r.pos++
		return Type{Component: &ComponentType{Decls: r.decls(true)}}
	case 0x42:
		r.pos++
		return Type{Instance: &InstanceType{Decls: r.decls(false)}}
	}
	return Type{Val: r.defValType()}
}

func (r *reader) resourceType() *ResourceType {
	t := &ResourceType{Rep: r.coreValType(), HasDtor: r.bool("a destructor's presence")}
	if t.HasDtor {
		t.Dtor = r.u32("a core function index")
	}
	return t
}

func (r *reader) funcType() *FuncType {
	return &FuncType{
		Async:  r.byte("a function type") == 0x43,
		Params: vec(r, "parameters", r.labelType),
		Result: r.result(),
	}
}

// result reads a resultlist: a type or none.
func (r *reader) result() *ValType {
	const expected = "results: 0x00 and a type, or 0x01 0x00"
	switch b := r.byte(expected); b {
	case 0x00:
		return r.valTypePtr()
	case 0x01:
		if b := r.byte(expected); b != 0x00 {
			r.bad(b, "0x00 after 0x01, no results")
		}
	default:
		r.bad(b, expected)
	}
	return nil
}

func (r *reader) labelType() LabelType {
	return LabelType{Label: r.name("a label"), Type: r.valTypePtr()}
}

func isPrim(b byte) bool {
	return b >= byte(PrimString) && b <= byte(PrimBool) || b == byte(PrimErrorContext)
}

func (r *reader) valTypePtr() *ValType {
	t := r.valType()
	return &t
}

func (r *reader) valType() ValType {
	if b := r.peek(); isPrim(b) {
		r.pos++
		return ValType{Prim: Prim(b)}
	}
	at := r.pos
	i := r.s33("a value type")
	if i < 0 {
		r.failf(at, "expected a primitive value type or a type index, found 0x%02x", r.buf[at])
	}
	return ValType{Idx: uint32(i)}
}

func (r *reader) optValType() *ValType {
	if !r.bool("a type's presence") {
		return nil
	}
	return r.valTypePtr()
}

func (r *reader) defValType() *DefValType {
	const expected = "a type"
	b := r.byte(expected)
	if isPrim(b) {
		return &DefValType{Kind: DefPrim, Prim: Prim(b)}
	}
	t := &DefValType{Kind: DefKind(b)}
	switch t.Kind {
	case DefRecord:
		t.Fields = vec(r, "fields", r.labelType)
	case DefVariant:
		t.Fields = vec(r, "cases", r.variantCase)
	case DefTuple:
		t.Fields = vec(r, "tuple types", func() LabelType { return LabelType{Type: r.valTypePtr()} })
	case DefFlags, DefEnum:
		t.Labels = vec(r, "labels", func() string { return r.name("a label") })
	case DefList, DefOption:
		t.Elem = r.valTypePtr()
	case DefFixedList:
		t.Elem, t.Len = r.valTypePtr(), r.u32("a list's length")
	case DefMap:
		t.Key, t.Elem = r.valTypePtr(), r.valTypePtr()
	case DefResult:
		t.Elem, t.Err = r.optValType(), r.optValType()
	case DefStream, DefFuture:
		t.Elem = r.optValType()
	case DefOwn, DefBorrow:
		t.Resource = r.u32("a type index")
	default:
		r.bad(b, expected)
	}
	return t
}

func (r *reader) variantCase() LabelType {
	c := LabelType{Label: r.name("a label"), Type: r.optValType()}
	const expected = "0x00 after a case"
	if b := r.byte(expected); b != 0x00 {
		r.bad(b, expected)
	}
	return c
}

// decls reads the declarators of a component type or, without imports, of an
// instance type.
func (r *reader) decls(imports bool) []Def {
	r.enter()
	defer func() { r.depth-- }()
	return vec(r, "declarators", func() Def {
		expected := "a declarator: 0x00 core type, 0x01 type, 0x02 alias or 0x04 export"
		if imports {
			expected = "a declarator: 0x00 core type, 0x01 type, 0x02 alias, 0x03 import or 0x04 export"
		}
		switch b := r.byte(expected); {
		case b == 0x00:
			return r.coreType()
		case b == 0x01:
			return r.typeDef()
		case b == 0x02:
			return r.alias()
		case b == 0x03 && imports:
			return r.importDef()
		case b == 0x04:
			name, t := r.externName(), r.externType()
			return Export{Name: name, Type: &t}
		default:
			r.bad(b, expected)
			return nil
		}
	})
}
