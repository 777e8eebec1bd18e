package validate

import "github.com/extproc/extproc/abi/binary"

// Item is an import or export of a component, or an export of an instance.
type Item struct {
	Name string // "wasi:http/types@0.2.3", "[method]fields.get"
	Sort binary.Sort
	// Type is the type of a function as WIT would have it, such as
	// "func(self: borrow<fields>, name: string) -> list<list<u8>>"; of a type
	// its definition or, for a resource, "resource". Long ones are cut.
	Type  string
	Items []Item // of an instance
}

// Describe validates a component and lists what it imports and exports.
func Describe(c *binary.Component) (imports, exports []Item, err error) {
	v := newValidator()
	t, err := v.component(c, nil)
	if err != nil {
		return nil, nil, err
	}
	imports, exports = v.items(t.imports), v.items(t.exports)
	if v.fuel < 0 {
		return nil, nil, errComplex
	}
	return imports, exports, nil
}

func (v *validator) items(x externs) []Item {
	var items []Item
	for _, e := range x.list {
		if !v.spend(copyCost) {
			break
		}
		item := Item{Name: e.name, Sort: e.sort}
		switch {
		case e.fn != nil:
			item.Type = e.fn.String()
		case e.typ != nil && e.typ.val != nil:
			var w text
			w.def(e.typ.val)
			item.Type = w.String()
		case e.typ != nil && e.typ.res != nil:
			item.Type = "resource"
		case e.inst != nil:
			item.Items = v.items(e.inst.exports)
		}
		items = append(items, item)
	}
	return items
}
