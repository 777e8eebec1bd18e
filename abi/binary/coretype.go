package binary

// coreType reads a core:type (Binary.md, type definitions). There 0x50 opens a
// module type, and a subtype that is not final has 0x00 before its own 0x50.
func (r *reader) coreType() CoreType {
	if r.peek() == 0x50 {
		r.pos++
		return CoreType{Module: r.coreModuleType(), Count: 1}
	}
	if r.peek() == 0x00 {
		r.byte("a core type")
		if r.peek() != 0x50 {
			r.failf(r.pos, "expected 0x50, a subtype, after 0x00")
		}
	}
	return r.recType()
}

func (r *reader) coreModuleType() *CoreModuleType {
	r.enter()
	defer func() { r.depth-- }()
	return &CoreModuleType{Decls: vec(r, "module type declarators", r.coreModuleDecl)}
}

func (r *reader) coreModuleDecl() CoreModuleDecl {
	const expected = "a module type declarator: 0x00 import, 0x01 type, 0x02 alias or 0x03 export"
	switch b := r.byte(expected); b {
	case 0x00:
		return CoreModuleDecl{Import: &CoreImport{
			Module: r.name("an import's module name"),
			Name:   r.name("an import's name"),
			Type:   r.coreExternType(),
		}}
	case 0x01:
		// A module type cannot stand here, so 0x50 opens a subtype.
		read := r.coreType
		if r.peek() == 0x50 {
			read = r.recType
		}
		t := read()
		return CoreModuleDecl{Type: &t}
	case 0x02:
		return CoreModuleDecl{Alias: r.coreAlias()}
	case 0x03:
		return CoreModuleDecl{Export: &CoreExportDecl{Name: r.name("an export name"), Type: r.coreExternType()}}
	default:
		r.bad(b, expected)
		return CoreModuleDecl{}
	}
}

func (r *reader) coreAlias() *Alias {
	const sort, target = "0x10, a type", "0x01, an outer alias"
	if b := r.byte(sort); b != 0x10 {
		r.bad(b, sort)
	}
	if b := r.byte(target); b != 0x01 {
		r.bad(b, target)
	}
	return &Alias{
		Kind:  AliasOuter,
		Sort:  SortCoreType,
		Count: r.u32("a number of scopes"),
		Idx:   r.u32("an index"),
	}
}

// recType reads a core:rectype of WebAssembly 3.0. Only a lone function type
// is taken apart; of others the bytes and the number of types are kept.
func (r *reader) recType() CoreType {
	start, t := r.pos, CoreType{Count: 1}
	if r.peek() == 0x4e {
		r.pos++
		t.Count = uint32(len(vec(r, "types of a recursive group", r.subType)))
	} else {
		t.Func = r.subType()
	}
	if r.ok() && t.Func == nil {
		t.Raw = r.buf[start:r.pos:r.pos]
	}
	return t
}

// subType reads a core:subtype and returns it if it is a function type without
// a declared supertype.
func (r *reader) subType() *CoreFuncType {
	super := 0
	if b := r.peek(); b == 0x50 || b == 0x4f {
		r.pos++
		super = len(vec(r, "supertypes", func() uint32 { return r.u32("a core type index") }))
	}
	shared := r.peek() == 0x65
	if shared {
		r.pos++
	}
	const expected = "a core type: 0x60 func, 0x5f struct or 0x5e array"
	switch b := r.byte(expected); b {
	case 0x60:
		f := &CoreFuncType{
			Params:  vec(r, "parameters", r.coreValType),
			Results: vec(r, "results", r.coreValType),
		}
		if super == 0 && !shared {
			return f
		}
	case 0x5f:
		vec(r, "fields", r.coreFieldType)
	case 0x5e:
		r.coreFieldType()
	default:
		r.bad(b, expected)
	}
	return nil
}

func (r *reader) coreFieldType() bool {
	if b := r.peek(); b == 0x78 || b == 0x77 { // i8, i16
		r.pos++
	} else {
		r.coreValType()
	}
	return r.bool("mutability")
}

func (r *reader) coreValType() CoreValType {
	start := r.pos
	const expected = "a core value type"
	switch b := r.byte(expected); {
	case b >= 0x7b && b <= 0x7f: // v128, f64, f32, i64, i32
	case b >= 0x69 && b <= 0x74: // abbreviated reference types
	case b == 0x63, b == 0x64: // (ref null? heaptype)
		r.heapType()
	default:
		r.bad(b, expected)
	}
	return CoreValType(r.buf[start:r.pos])
}

func (r *reader) heapType() {
	if r.peek() == 0x65 { // shared
		r.pos++
	}
	at := r.pos
	if h := r.s33("a heap type"); h < -0x17 || h >= -0x0b && h < 0 {
		r.failf(at, "expected a heap type, found %d", h)
	}
}

func (r *reader) coreRefType() CoreValType {
	at := r.pos
	t := r.coreValType()
	if r.ok() && t[0] >= 0x7b {
		r.failf(at, "expected a reference type, found 0x%02x", t[0])
	}
	return t
}

func (r *reader) coreExternType() CoreExternType {
	const expected = "a core sort: 0x00 func, 0x01 table, 0x02 memory, 0x03 global or 0x04 tag"
	t := CoreExternType{}
	switch b := r.byte(expected); b {
	case 0x00:
		t.Sort, t.Idx = SortCoreFunc, r.u32("a core type index")
	case 0x01:
		t.Sort, t.Elem = SortCoreTable, r.coreRefType()
		r.limits(&t)
	case 0x02:
		t.Sort = SortCoreMemory
		r.limits(&t)
	case 0x03:
		t.Sort, t.Elem = SortCoreGlobal, r.coreValType()
		t.Mut = r.bool("mutability")
	case 0x04:
		t.Sort = SortCoreTag
		if b := r.byte("a tag's attribute"); b != 0 {
			r.bad(b, "0x00, a tag's attribute")
		}
		t.Idx = r.u32("a core type index")
	default:
		r.bad(b, expected)
	}
	return t
}

// limits reads core limits, with the flag bits that the threads, memory64 and
// custom-page-sizes proposals add.
func (r *reader) limits(t *CoreExternType) {
	flags := r.byte("limits")
	if flags > 0x0f || t.Sort == SortCoreTable && flags > 0x07 {
		r.bad(flags, "the flags of limits")
	}
	t.Shared, t.Is64 = flags&2 != 0, flags&4 != 0
	bits := uint(32)
	if t.Is64 {
		bits = 64
	}
	t.Min = r.uleb(bits, "a minimum size")
	if flags&1 != 0 {
		m := r.uleb(bits, "a maximum size")
		t.Max = &m
	}
	if flags&8 != 0 {
		p := r.u32("the logarithm of a page size")
		t.PageLog2 = &p
	}
}
