package validate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

// How large a type may be when all it refers to is written out. References
// share, so a small binary can describe a type that is huge this way.
const (
	maxValueDepth = 100
	maxValueNodes = 1 << 16
	maxDepth      = 200 // component and instance types
	maxNodes      = 1 << 20
)

// typeDef checks a type definition (Explainer, "Type Definitions").
func (s *scope) typeDef(t binary.Type) (*typ, error) {
	switch {
	case t.Val != nil:
		d, err := s.defType(t.Val)
		return &typ{val: d}, err
	case t.Func != nil:
		f, err := s.funcType(t.Func)
		return &typ{fn: f}, err
	case t.Component != nil:
		c, err := s.componentTypeDef(t.Component.Decls)
		return &typ{comp: c}, err
	case t.Instance != nil:
		i, err := s.instanceTypeDef(t.Instance.Decls)
		return &typ{inst: i}, err
	default:
		r, err := s.resourceDef(t.Resource)
		return &typ{res: r}, err
	}
}

// valType resolves a value type.
func (s *scope) valType(t binary.ValType) (valType, error) {
	if t.Prim != binary.PrimNone {
		return valType{prim: t.Prim}, nil
	}
	entry, err := lookup(s.types, t.Idx, "type")
	if err != nil {
		return valType{}, err
	}
	if entry.val == nil {
		return valType{}, fmt.Errorf("type %d is %s, not a value type", t.Idx, entry.what())
	}
	return valType{typ: entry}, nil
}

func (s *scope) optValType(t *binary.ValType) (valType, error) {
	if t == nil {
		return valType{}, nil
	}
	return s.valType(*t)
}

func (s *scope) resourceIdx(i uint32) (*typ, error) {
	entry, err := lookup(s.types, i, "type")
	if err == nil && entry.res == nil {
		err = fmt.Errorf("type %d is %s, not a resource type", i, entry.what())
	}
	return entry, err
}

// fields resolves labelled types, whose labels must be unique.
func (s *scope) fields(of string, in []binary.LabelType) ([]field, error) {
	labels := newLabels(of)
	out := make([]field, len(in))
	for i, f := range in {
		if err := labels.add(f.Label); err != nil {
			return nil, err
		}
		t, err := s.optValType(f.Type)
		if err != nil {
			return nil, at(err, "%s %q", of, f.Label)
		}
		out[i] = field{label: f.Label, typ: t}
	}
	return out, nil
}

func (s *scope) defType(t *binary.DefValType) (*defType, error) {
	d := &defType{kind: t.Kind, prim: t.Prim, labels: t.Labels, length: t.Len}
	if err := s.defParts(d, t); err != nil {
		return nil, err
	}
	d.facts = factsOf(d)
	switch {
	case d.size >= maxValueSize:
		return nil, fmt.Errorf("a value of this type takes %d bytes or more", maxValueSize)
	case d.depth > maxValueDepth:
		return nil, fmt.Errorf("types are nested more than %d deep", maxValueDepth)
	case d.nodes > maxValueNodes:
		return nil, fmt.Errorf("written out, the type has more than %d parts", maxValueNodes)
	}
	return d, nil
}

// defParts resolves what a value type is made of.
func (s *scope) defParts(d *defType, t *binary.DefValType) (err error) {
	switch t.Kind {
	case binary.DefRecord:
		d.fields, err = s.fields("field", t.Fields)
		return nonEmpty(err, len(t.Fields), "a record needs a field")
	case binary.DefVariant:
		d.fields, err = s.fields("case", t.Fields)
		return nonEmpty(err, len(t.Fields), "a variant needs a case")
	case binary.DefTuple:
		return s.tuple(d, t)
	case binary.DefFlags:
		if len(t.Labels) > 32 {
			return errors.New("there can be no more than 32 flags")
		}
		return nonEmpty(checkLabels("flag", t.Labels), len(t.Labels), "flags need a label")
	case binary.DefEnum:
		return nonEmpty(checkLabels("enum case", t.Labels), len(t.Labels), "an enum needs a case")
	case binary.DefOwn, binary.DefBorrow:
		d.res, err = s.resourceIdx(t.Resource)
		return err
	}
	if d.elem, err = s.optValType(t.Elem); err != nil {
		return err
	}
	if d.err, err = s.optValType(t.Err); err != nil {
		return err
	}
	if d.key, err = s.optValType(t.Key); err != nil {
		return err
	}
	return checkContainer(d)
}

func nonEmpty(err error, n int, msg string) error {
	if err == nil && n == 0 {
		err = errors.New(msg)
	}
	return err
}

func (s *scope) tuple(d *defType, t *binary.DefValType) error {
	for i, f := range t.Fields {
		v, err := s.optValType(f.Type)
		if err != nil {
			return at(err, "tuple type %d", i)
		}
		d.fields = append(d.fields, field{typ: v})
	}
	return nonEmpty(nil, len(t.Fields), "a tuple needs a type")
}

var keyTypes = []binary.Prim{
	binary.PrimBool, binary.PrimS8, binary.PrimU8, binary.PrimS16, binary.PrimU16, binary.PrimS32,
	binary.PrimU32, binary.PrimS64, binary.PrimU64, binary.PrimChar, binary.PrimString,
}

// asPrim is the primitive type that t is, perhaps by an index.
func (t valType) asPrim() binary.Prim {
	if t.typ != nil {
		return t.typ.val.prim
	}
	return t.prim
}

func checkContainer(d *defType) error {
	switch d.kind {
	case binary.DefFixedList:
		if d.length == 0 {
			return errors.New("a list of fixed length must be longer than 0")
		}
	case binary.DefMap:
		if !slices.Contains(keyTypes, d.key.asPrim()) {
			return fmt.Errorf("%s cannot be the key of a map", d.key)
		}
	case binary.DefStream, binary.DefFuture:
		if d.elem.facts().borrow {
			return errors.New("a stream or future cannot carry a borrow")
		}
		if d.kind == binary.DefStream && d.elem.asPrim() == binary.PrimChar {
			return errors.New("stream<char> is not valid at this time")
		}
	}
	return nil
}

func (s *scope) funcType(t *binary.FuncType) (*funcType, error) {
	params, err := s.fields("parameter", t.Params)
	if err != nil {
		return nil, err
	}
	result, err := s.optValType(t.Result)
	if err != nil {
		return nil, at(err, "result")
	}
	if result.facts().borrow {
		return nil, errors.New("a function cannot return a borrow")
	}
	f := &funcType{async: t.Async, params: params, result: result, extent: extent{nodes: 1}}
	f.within(result.facts().extent)
	for _, p := range params {
		f.within(p.typ.facts().extent)
	}
	return f, nil
}

func (s *scope) resourceDef(t *binary.ResourceType) (*resource, error) {
	if s.kind != inComponent {
		return nil, errors.New("a resource can only be defined in a component, not in a component or instance type")
	}
	rep := core.ValType(t.Rep)
	if rep != core.I32 {
		return nil, errors.New("a resource must be represented by i32")
	}
	if t.HasDtor {
		dtor, err := lookup(s.coreFuncs, t.Dtor, "core function")
		if err != nil {
			return nil, err
		}
		if want := (core.FuncType{Params: i32Type}); !dtor.Equal(want) {
			return nil, fmt.Errorf("the destructor must be a core %s, but is a %s", coreFunc(want), coreFunc(dtor))
		}
	}
	return &resource{owner: s, local: true, rep: rep}, nil
}

// labels checks that labels are well-formed and strongly unique.
type labels struct {
	of   string
	seen map[string]string // as written, by canonical form
}

func newLabels(of string) labels { return labels{of: of, seen: map[string]string{}} }

func (l labels) add(label string) error {
	if label == "" {
		return fmt.Errorf("%s has no name", article(l.of))
	}
	if err := checkLabel(label); err != nil {
		return fmt.Errorf("%s %w", l.of, err)
	}
	key := strings.ToLower(label)
	if prev, ok := l.seen[key]; ok {
		return fmt.Errorf("%s %q conflicts with %s %q", l.of, label, l.of, prev)
	}
	l.seen[key] = label
	return nil
}

func checkLabels(of string, list []string) error {
	l := newLabels(of)
	for _, s := range list {
		if err := l.add(s); err != nil {
			return err
		}
	}
	return nil
}
