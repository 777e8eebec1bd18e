package abi

import (
	"fmt"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/canon"
)

var primKinds = map[binary.Prim]canon.Kind{
	binary.PrimBool: canon.Bool,
	binary.PrimS8:   canon.S8, binary.PrimU8: canon.U8,
	binary.PrimS16: canon.S16, binary.PrimU16: canon.U16,
	binary.PrimS32: canon.S32, binary.PrimU32: canon.U32,
	binary.PrimS64: canon.S64, binary.PrimU64: canon.U64,
	binary.PrimF32: canon.F32, binary.PrimF64: canon.F64,
	binary.PrimChar: canon.Char, binary.PrimString: canon.String,
	binary.PrimErrorContext: canon.ErrorContext,
}

// primTypes has one canon.Type for each primitive.
var primTypes = func() map[binary.Prim]*canon.Type {
	m := map[binary.Prim]*canon.Type{}
	for p, k := range primKinds {
		m[p] = &canon.Type{Kind: k}
	}
	return m
}()

// valType resolves a value type.
func (s *scope) valType(v binary.ValType) (*canon.Type, error) {
	if v.Prim != binary.PrimNone {
		if t := primTypes[v.Prim]; t != nil {
			return t, nil
		}
		return nil, fmt.Errorf("unknown primitive type %#x", v.Prim)
	}
	t, err := at(s.types, v.Idx, "type")
	if err == nil && t.val == nil {
		err = fmt.Errorf("type index %d is no value type", v.Idx)
	}
	return t.val, err
}

// optType is valType of a type that may be absent.
func (s *scope) optType(v *binary.ValType) (*canon.Type, error) {
	if v == nil {
		return nil, nil
	}
	return s.valType(*v)
}

// defineType evaluates a type definition.
func (f *flattener) defineType(s *scope, t binary.Type) (d typeDef, err error) {
	switch {
	case t.Val != nil:
		d.val, err = s.defValType(t.Val)
	case t.Func != nil:
		d.fn, err = s.funcType(t.Func)
	case t.Resource != nil:
		d.resource, err = f.defineResource(s, t.Resource)
	case t.Instance != nil:
		d = typeDef{instance: t.Instance, scope: s}
	case t.Component != nil:
		d = typeDef{component: t.Component, scope: s}
	}
	return d, err
}

func (s *scope) funcType(t *binary.FuncType) (*canon.Func, error) {
	fields, err := s.fields(t.Params)
	if err != nil {
		return nil, err
	}
	result, err := s.optType(t.Result)
	return &canon.Func{Async: t.Async, Params: fields, Result: result}, err
}

func (s *scope) fields(ls []binary.LabelType) ([]canon.Field, error) {
	fields := make([]canon.Field, len(ls))
	for i, l := range ls {
		t, err := s.optType(l.Type)
		if err != nil {
			return nil, err
		}
		fields[i] = canon.Field{Name: l.Label, Type: t}
	}
	return fields, nil
}

var defKinds = map[binary.DefKind]canon.Kind{
	binary.DefRecord:    canon.Record,
	binary.DefVariant:   canon.Variant,
	binary.DefList:      canon.List,
	binary.DefFixedList: canon.FixedList,
	binary.DefTuple:     canon.Tuple,
	binary.DefFlags:     canon.Flags,
	binary.DefEnum:      canon.Enum,
	binary.DefOption:    canon.Option,
	binary.DefResult:    canon.Result,
	binary.DefOwn:       canon.Own,
	binary.DefBorrow:    canon.Borrow,
	binary.DefStream:    canon.Stream,
	binary.DefFuture:    canon.Future,
	binary.DefMap:       canon.Map,
}

// defValType resolves a defined value type.
func (s *scope) defValType(d *binary.DefValType) (*canon.Type, error) {
	if d.Kind == binary.DefPrim {
		return s.valType(binary.ValType{Prim: d.Prim})
	}
	kind, ok := defKinds[d.Kind]
	if !ok {
		return nil, fmt.Errorf("unknown type constructor %#x", d.Kind)
	}
	t := &canon.Type{Kind: kind, Len: d.Len}
	elem, err := s.optType(d.Elem)
	if err != nil {
		return nil, err
	}
	switch kind {
	case canon.Record, canon.Tuple:
		t.Fields, err = s.fields(d.Fields)
	case canon.Variant:
		t.Cases, err = s.cases(d.Fields)
	case canon.Enum:
		for _, l := range d.Labels {
			t.Cases = append(t.Cases, canon.Case{Name: l})
		}
	case canon.Flags:
		t.Labels = d.Labels
	case canon.Option:
		t.Cases = []canon.Case{{Name: "none"}, {Name: "some", Type: elem}}
	case canon.Result:
		var fault *canon.Type
		fault, err = s.optType(d.Err)
		t.Cases = []canon.Case{{Name: "ok", Type: elem}, {Name: "error", Type: fault}}
	case canon.Own, canon.Borrow:
		t.Resource, err = s.resource(d.Resource)
	case canon.Map:
		t.Elem = elem
		t.Key, err = s.optType(d.Key)
	default:
		t.Elem = elem
	}
	return t, err
}

func (s *scope) cases(ls []binary.LabelType) ([]canon.Case, error) {
	cases := make([]canon.Case, len(ls))
	for i, l := range ls {
		t, err := s.optType(l.Type)
		if err != nil {
			return nil, err
		}
		cases[i] = canon.Case{Name: l.Label, Type: t}
	}
	return cases, nil
}

func (s *scope) resource(idx uint32) (*canon.Resource, error) {
	t, err := at(s.types, idx, "type")
	if err == nil && t.resource == nil {
		err = fmt.Errorf("type index %d is no resource type", idx)
	}
	return t.resource, err
}

// instanceOf makes what an instance type describes: new resource types for its
// (sub resource) exports, and functions imported from the host as instance name.
func (f *flattener) instanceOf(t typeDef, name string) (*instanceDef, error) {
	if t.instance == nil {
		return nil, fmt.Errorf("not an instance type")
	}
	s := &scope{parent: t.scope, exports: newInstanceDef()}
	for _, d := range t.instance.Decls {
		if err := f.spend(parts(d)); err != nil {
			return nil, err
		}
		if err := f.declare(s, d, name); err != nil {
			return nil, err
		}
	}
	return s.exports, nil
}

// declare evaluates a declarator of the type of the imported instance name.
func (f *flattener) declare(s *scope, d binary.Def, name string) error {
	switch d := d.(type) {
	case binary.CoreType:
		s.coreTypes++
		return nil
	case binary.Type:
		t, err := f.defineType(s, d)
		s.types = append(s.types, t)
		return err
	case binary.Alias:
		return f.alias(s, d)
	case binary.Export:
		if d.Type == nil {
			return fmt.Errorf("export %q of an instance type has no type", d.Name.Name)
		}
		it, err := f.imported(s, *d.Type, name, d.Name.Name)
		if err != nil {
			return err
		}
		s.exports.add(d.Name.Name, it)
		return s.add(it)
	}
	return fmt.Errorf("unexpected declarator %T in an instance type", d)
}

// imported makes the item that the host is to supply as name within instance
// ("" for an import of the root by itself).
func (f *flattener) imported(s *scope, t binary.ExternType, instance, name string) (it item, err error) {
	it.sort = t.Sort
	switch t.Sort {
	case binary.SortFunc:
		var d typeDef
		if d, err = at(s.types, t.Idx, "type"); err == nil && d.fn == nil {
			err = fmt.Errorf("type of %q is no function type", name)
		}
		if err != nil {
			return it, err
		}
		it.fn = f.hostFunc(instance, name, d.fn)
	case binary.SortType:
		if !t.SubResource {
			it.typ, err = at(s.types, t.Idx, "type")
			return it, err
		}
		it.typ.resource = f.hostType(instance, name)
	case binary.SortInstance:
		var d typeDef
		if d, err = at(s.types, t.Idx, "type"); err != nil {
			return it, err
		}
		if instance != "" {
			name = instance + "/" + name
		}
		it.instance, err = f.instanceOf(d, name)
	default:
		return it, &unlinkable{msg: fmt.Sprintf("import %q: a %s cannot be supplied by a host", name, sortName(t.Sort))}
	}
	return it, err
}

// hostFunc is a function of type t that the host is to supply.
func (f *flattener) hostFunc(instance, name string, t *canon.Func) *function {
	h := &hostFunc{id: len(f.hosts), instance: instance, name: name, typ: t}
	f.hosts = append(f.hosts, h)
	return &function{typ: t, host: h}
}
