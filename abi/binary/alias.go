package binary

// alias reads an alias (Binary.md, alias definitions).
func (r *reader) alias() Alias {
	at := r.pos
	a := Alias{Sort: r.sort()}
	const expected = "an alias target: 0x00 export, 0x01 core export or 0x02 outer"
	switch b := r.byte(expected); b {
	case 0x00:
		a.Kind = AliasExport
		a.Instance = r.u32("an instance index")
		a.Name = r.name("an export name")
	case 0x01:
		a.Kind = AliasCoreExport
		a.Instance = r.u32("a core instance index")
		a.Name = r.name("an export name")
	case 0x02:
		a.Kind = AliasOuter
		switch a.Sort {
		case SortCoreModule, SortCoreType, SortType, SortComponent:
		default:
			r.failf(at, "an outer alias must be of a core module, core type, type or component")
		}
		a.Count = r.u32("a number of scopes")
		a.Idx = r.u32("an index")
	default:
		r.bad(b, expected)
	}
	return a
}
