package binary

// instance reads an instance (Binary.md, instance definitions).
func (r *reader) instance() Instance {
	const expected = "an instance: 0x00 instantiate or 0x01 inline exports"
	switch b := r.byte(expected); b {
	case 0x00:
		return Instance{
			Component: r.u32("a component index"),
			Args: vec(r, "instantiation arguments", func() Arg {
				return Arg{Name: r.name("an argument name"), SortIdx: r.sortIdx()}
			}),
		}
	case 0x01:
		return Instance{Inline: true, Bag: vec(r, "inline exports", func() InlineExport {
			return InlineExport{Name: r.externName(), SortIdx: r.sortIdx()}
		})}
	default:
		r.bad(b, expected)
		return Instance{}
	}
}

func (r *reader) sortIdx() SortIdx {
	return SortIdx{Sort: r.sort(), Idx: r.u32("an index")}
}

func (r *reader) sort() Sort {
	const expected = "a sort"
	switch b := r.byte(expected); b {
	case 0x00:
		return r.coreSort()
	case 0x01:
		return SortFunc
	case 0x02:
		return SortValue
	case 0x03:
		return SortType
	case 0x04:
		return SortComponent
	case 0x05:
		return SortInstance
	default:
		r.bad(b, expected)
		return 0
	}
}
