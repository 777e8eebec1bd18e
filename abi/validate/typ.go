package validate

import (
	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

// typ is an entry of a type index space: exactly one of its contents is set.
// Importing or exporting a type makes a new entry with the same content.
// Equality of types goes by content; external visibility goes by entry.
type typ struct {
	name string // what it is imported or exported as, if it is

	val  *defType
	fn   *funcType
	comp *componentType
	inst *instanceType
	res  *resource
}

// what says what kind of type an entry is.
func (t *typ) what() string {
	switch {
	case t.val != nil:
		return t.val.what()
	case t.fn != nil:
		return "a function type"
	case t.comp != nil:
		return "a component type"
	case t.inst != nil:
		return "an instance type"
	}
	return "a resource"
}

// resource is the identity of a resource type.
type resource struct {
	// owner is the component, component type or instance type that introduced
	// it. When that is instantiated the resource stands for another.
	owner *scope
	local bool // defined, not imported or exported abstractly
	rep   core.ValType
}

// valType is a value type; the zero valType is none at all.
type valType struct {
	prim binary.Prim
	typ  *typ // has val
}

func (t valType) none() bool { return t == valType{} }

// field is a record field, a variant case or a parameter.
type field struct {
	label string
	typ   valType
}

// defType is the content of a defined value type, as binary.DefValType.
type defType struct {
	kind           binary.DefKind
	prim           binary.Prim
	fields         []field
	labels         []string
	elem, err, key valType
	length         uint32
	res            *typ // of own and borrow; has res
	facts
}

// funcType is the content of a function type.
type funcType struct {
	async  bool
	params []field
	result valType
	extent
}

// extent is how large a type is when all it refers to is written out.
type extent struct {
	depth, nodes int
	resources    bool // refers to resources
}

// moduleType is the type of a core module.
type moduleType struct {
	imports []core.Import
	exports []core.Export
	byName  map[string]int // exports

	byImport map[importKey]int
}

// entity is the type of an import, export or argument: that of its sort is
// set.
type entity struct {
	sort   binary.Sort
	module *moduleType
	fn     *funcType
	val    valType
	typ    *typ
	comp   *componentType
	inst   *instanceType
}

// extern is a named entity.
type extern struct {
	name string
	entity
}

// externs are the imports or exports of a type.
type externs struct {
	list   []extern
	byName map[string]int
}

func (x *externs) find(name string) (entity, bool) {
	i, ok := x.byName[name]
	if !ok {
		return entity{}, false
	}
	return x.list[i].entity, true
}

func (x *externs) add(name string, e entity) {
	if x.byName == nil {
		x.byName = map[string]int{}
	}
	x.byName[name] = len(x.list)
	x.list = append(x.list, extern{name: name, entity: e})
}

// instanceType is an instance type, or the type of an instance. In the former
// resources that owner owns are placeholders, one for each time it is used; the
// latter has no owner.
type instanceType struct {
	owner   *scope
	exports externs
	extent
}

// componentType is the type of a component. Resources that owner owns are
// placeholders: of imports for what is supplied, of others for what
// instantiation makes.
type componentType struct {
	owner            *scope
	imports, exports externs
	extent
}
