package abi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/extproc/extproc/abi/canon"
)

// wastValue is a component value as converted .wast files write it.
type wastValue struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

type wastResult struct {
	typ    *canon.Type
	values []Value
}

func parse[T any](raw json.RawMessage) (v T, err error) {
	err = json.Unmarshal(raw, &v)
	return v, err
}

// value makes it a value of type t.
func (w *wastValue) value(t *canon.Type) (v Value, err error) {
	switch t.Kind {
	case canon.Bool:
		b, err := parse[bool](w.Value)
		return Bool(b), err
	case canon.Char:
		s, err := parse[string](w.Value)
		if err != nil || len([]rune(s)) != 1 {
			return v, fmt.Errorf("bad char %q", s)
		}
		return U32(uint32([]rune(s)[0])), nil
	case canon.String:
		v.Str, err = parse[string](w.Value)
		return v, err
	case canon.F32, canon.F64:
		return w.float(t.Kind)
	case canon.List, canon.FixedList:
		return w.list(t)
	case canon.Tuple:
		elems, err := parse[[]wastValue](w.Value)
		for i := range elems {
			e, err := elems[i].value(t.Fields[i].Type)
			if err != nil {
				return v, err
			}
			v.List = append(v.List, e)
		}
		return v, err
	case canon.Record:
		return w.record(t)
	case canon.Variant, canon.Enum, canon.Option, canon.Result:
		return w.variant(t)
	case canon.Flags:
		names, err := parse[[]string](w.Value)
		for _, n := range names {
			v.Num |= 1 << slices.Index(t.Labels, n)
		}
		return v, err
	case canon.Map, canon.Own, canon.Borrow, canon.Stream, canon.Future, canon.ErrorContext:
		return v, fmt.Errorf("values of type %s can't be written", t.Kind)
	}
	return w.integer()
}

func (w *wastValue) integer() (v Value, err error) {
	s, err := parse[string](w.Value)
	if err != nil {
		return v, err
	}
	if strings.HasPrefix(s, "-") {
		n, err := strconv.ParseInt(s, 10, 64)
		return U64(uint64(n)), err
	}
	v.Num, err = strconv.ParseUint(s, 10, 64)
	return v, err
}

// float values are written as the bits of the number, in decimal.
func (w *wastValue) float(k canon.Kind) (v Value, err error) {
	s, err := parse[string](w.Value)
	if err != nil {
		return v, err
	}
	if strings.HasPrefix(s, "nan") {
		if k == canon.F32 {
			return U64(0x7fc00000), nil
		}
		return U64(0x7ff8000000000000), nil
	}
	v.Num, err = strconv.ParseUint(s, 10, 64)
	return v, err
}

func (w *wastValue) list(t *canon.Type) (v Value, err error) {
	elems, err := parse[[]wastValue](w.Value)
	if err != nil {
		return v, err
	}
	var raw []byte
	for i := range elems {
		e, err := elems[i].value(t.Elem)
		if err != nil {
			return v, err
		}
		v.List = append(v.List, e)
		raw = append(raw, byte(e.Num))
	}
	if t.Elem.Kind == canon.U8 && t.Kind == canon.List {
		return Value{Str: string(raw)}, nil
	}
	return v, nil
}

// record values are lists of pairs of a name and a value.
func (w *wastValue) record(t *canon.Type) (v Value, err error) {
	pairs, err := parse[[][2]json.RawMessage](w.Value)
	if err != nil || len(pairs) != len(t.Fields) {
		return v, fmt.Errorf("bad record %s: %w", w.Value, err)
	}
	for i, p := range pairs {
		field, err := parse[wastValue](p[1])
		if err != nil {
			return v, err
		}
		e, err := field.value(t.Fields[i].Type)
		if err != nil {
			return v, err
		}
		v.List = append(v.List, e)
	}
	return v, nil
}

func (w *wastValue) variant(t *canon.Type) (v Value, err error) {
	name, payload, err := w.variantCase()
	if err != nil {
		return v, err
	}
	i := slices.IndexFunc(t.Cases, func(c canon.Case) bool { return c.Name == name })
	if i < 0 {
		return v, fmt.Errorf("no case %q", name)
	}
	v.Num = uint64(i)
	if payload != nil {
		e, err := payload.value(t.Cases[i].Type)
		if err != nil {
			return v, err
		}
		v.List = []Value{e}
	}
	return v, nil
}

// variantCase is the name of a variant's case and its payload or nil.
func (w *wastValue) variantCase() (string, *wastValue, error) {
	switch w.Type {
	case "enum":
		name, err := parse[string](w.Value)
		return name, nil, err
	case "option":
		payload, err := parse[*wastValue](w.Value)
		if payload == nil {
			return "none", nil, err
		}
		return "some", payload, err
	case "result":
		m, err := parse[map[string]*wastValue](w.Value)
		for name, payload := range m {
			return map[string]string{"Ok": "ok", "Err": "error"}[name], payload, err
		}
		return "", nil, err
	}
	c, err := parse[struct {
		Case    string     `json:"case"`
		Payload *wastValue `json:"payload"`
	}](w.Value)
	return c.Case, c.Payload, err
}

// equalValues compares values of one type.
func equalValues(a, b Value) bool {
	return a.Num == b.Num &&
		a.Str == b.Str && slices.EqualFunc(a.List, b.List, equalValues)
}
