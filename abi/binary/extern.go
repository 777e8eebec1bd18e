package binary

// importDef reads an import (Binary.md, import and export definitions).
func (r *reader) importDef() Import {
	return Import{Name: r.externName(), Type: r.externType()}
}

func (r *reader) export() Export {
	e := Export{Name: r.externName(), SortIdx: r.sortIdx()}
	if r.bool("an ascribed type's presence") {
		t := r.externType()
		e.Type = &t
	}
	return e
}

// externName reads nameattributes. Its forms 0x00 and 0x01 mean the same.
func (r *reader) externName() Name {
	const expected = "a name: 0x00 or 0x01, or 0x02 with attributes"
	form := r.byte(expected)
	if form > 0x02 {
		r.bad(form, expected)
	}
	n := Name{Name: r.name("an import or export name")}
	if form == 0x02 {
		n.Attributes = uint8(len(vec(r, "attributes", func() struct{} {
			r.attribute(&n)
			return struct{}{}
		})))
	}
	return n
}

func (r *reader) attribute(n *Name) {
	const expected = "an attribute: 0x00 implements, 0x01 versionsuffix or 0x02 external-id"
	at, b := r.pos, r.byte(expected)
	if b > 0x02 {
		r.bad(b, expected)
		return
	}
	kind := AttrKind(1) << b
	if n.Has&kind != 0 {
		r.failf(at, "an attribute is given twice")
	}
	n.Has |= kind
	switch kind {
	case AttrImplements:
		n.Implements = r.name("an implemented interface's name")
	case AttrVersionSuffix:
		n.VersionSuffix = r.name("a version suffix")
	default:
		n.ExternalID = r.name("an external id")
	}
}

func (r *reader) externType() ExternType {
	const expected = "an import or export's type: 0x00 0x11 core module, 0x01 func, 0x02 value, 0x03 type, 0x04 component or 0x05 instance"
	t := ExternType{}
	switch b := r.byte(expected); b {
	case 0x00:
		if b := r.byte(expected); b != 0x11 {
			r.bad(b, "0x11, a core module, after 0x00")
		}
		t.Sort, t.Idx = SortCoreModule, r.u32("a core type index")
	case 0x01:
		t.Sort, t.Idx = SortFunc, r.u32("a type index")
	case 0x02:
		t.Sort, t.Value = SortValue, r.valueBound()
	case 0x03:
		t.Sort = SortType
		r.typeBound(&t)
	case 0x04:
		t.Sort, t.Idx = SortComponent, r.u32("a type index")
	case 0x05:
		t.Sort, t.Idx = SortInstance, r.u32("a type index")
	default:
		r.bad(b, expected)
	}
	return t
}

func (r *reader) typeBound(t *ExternType) {
	const expected = "a type bound: 0x00 eq or 0x01 sub resource"
	switch b := r.byte(expected); b {
	case 0x00:
		t.Idx = r.u32("a type index")
	case 0x01:
		t.SubResource = true
	default:
		r.bad(b, expected)
	}
}

func (r *reader) valueBound() *ValueBound {
	const expected = "a value bound: 0x00 eq or 0x01 and a type"
	switch b := r.byte(expected); b {
	case 0x00:
		return &ValueBound{Eq: true, Idx: r.u32("a value index")}
	case 0x01:
		return &ValueBound{Type: r.valType()}
	default:
		r.bad(b, expected)
		return &ValueBound{}
	}
}
