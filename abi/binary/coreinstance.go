package binary

// coreInstance reads a core:instance (Binary.md, instance definitions).
func (r *reader) coreInstance() CoreInstance {
	const expected = "a core instance: 0x00 instantiate or 0x01 inline exports"
	switch b := r.byte(expected); b {
	case 0x00:
		return CoreInstance{
			Module: r.u32("a core module index"),
			Args:   vec(r, "core instantiation arguments", r.coreArg),
		}
	case 0x01:
		return CoreInstance{Inline: true, Bag: vec(r, "inline exports", func() CoreExport {
			return CoreExport{Name: r.name("an export name"), SortIdx: r.coreSortIdx()}
		})}
	default:
		r.bad(b, expected)
		return CoreInstance{}
	}
}

func (r *reader) coreArg() CoreArg {
	a := CoreArg{Name: r.name("an argument name")}
	const expected = "0x12, an instance"
	if b := r.byte(expected); b != 0x12 {
		r.bad(b, expected)
	}
	a.Instance = r.u32("a core instance index")
	return a
}

func (r *reader) coreSortIdx() SortIdx {
	return SortIdx{Sort: r.coreSort(), Idx: r.u32("an index")}
}

func (r *reader) coreSort() Sort {
	const expected = "a core sort"
	switch b := r.byte(expected); b {
	case 0x00:
		return SortCoreFunc
	case 0x01:
		return SortCoreTable
	case 0x02:
		return SortCoreMemory
	case 0x03:
		return SortCoreGlobal
	case 0x04:
		return SortCoreTag
	case 0x10:
		return SortCoreType
	case 0x11:
		return SortCoreModule
	case 0x12:
		return SortCoreInstance
	default:
		r.bad(b, expected)
		return 0
	}
}
