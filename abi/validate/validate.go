// Package validate checks a decoded component against the rules of the
// Component Model: index spaces, types and subtyping, names and their
// visibility, instantiation and canonical definitions. Of core modules it looks
// at imports and exports only; their code is the engine's to check.
//
// Section names in comments are those of design/mvp/Explainer.md, Binary.md and
// CanonicalABI.md.
package validate

import (
	"errors"
	"fmt"
	"strings"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/core"
)

// Error tells where in a component a rule is broken.
type Error struct {
	Path []string // from the outermost definition inwards
	Err  error
}

func (e *Error) Error() string { return strings.Join(e.Path, " > ") + ": " + e.Err.Error() }

// Unwrap returns what is wrong, without the place.
func (e *Error) Unwrap() error { return e.Err }

// maxStep bounds the length of a step of a path, which may quote a name that a
// hostile component made long.
const maxStep = 200

// at puts a step in front of an error's path.
func at(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	step := fmt.Sprintf(format, args...)
	if len(step) > maxStep {
		step = strings.ToValidUTF8(step[:maxStep], "") + "..."
	}
	var inner *Error
	if errors.As(err, &inner) {
		return &Error{Path: append([]string{step}, inner.Path...), Err: inner.Err}
	}
	return &Error{Path: []string{step}, Err: err}
}

var errUnused = errors.New("is never used; each value must be used once")

// errComplex ends a validation that would take too long.
var errComplex = errors.New("the component's types are too complex to validate")

// Modules are core modules that have been parsed, by the first of their bytes.
type Modules map[*byte]*core.Module

// Component checks a component and everything nested in it. It returns the core
// modules, which it had to parse.
func Component(c *binary.Component) (Modules, error) {
	v := newValidator()
	if _, err := v.component(c, nil); err != nil {
		return nil, err
	}
	return v.modules, nil
}

// maxWork bounds the steps of one validation, so that a component whose types
// multiply cannot keep it busy for more than about a second. Real components
// need some ten thousand.
const maxWork = 1 << 23

// validator is what all scopes of one validation share.
type validator struct {
	fuel    int
	modules Modules
}

func newValidator() *validator { return &validator{fuel: maxWork, modules: Modules{}} }

// spend takes steps off the budget and reports whether any are left. What
// walks types stops when none are; the scope then fails with errComplex.
func (v *validator) spend(steps int) bool {
	v.fuel -= steps
	return v.fuel >= 0
}

// component checks the definitions of a component in order and infers its type.
func (v *validator) component(c *binary.Component, parent *scope) (*componentType, error) {
	s := newScope(v, parent, inComponent)
	defer s.close()
	if err := s.defs(c.Defs); err != nil {
		return nil, err
	}
	for i, val := range s.values {
		if !val.used {
			return nil, at(errUnused, "value %d", i)
		}
	}
	return s.componentType()
}

func (s *scope) defs(defs []binary.Def) error {
	for _, d := range defs {
		where := s.place(d)
		err := s.def(d)
		if err == nil && !s.v.spend(1) {
			err = errComplex
		}
		if err != nil {
			return at(err, "%s", where())
		}
	}
	return nil
}

// def checks a definition or declarator and adds what it defines to the index
// spaces.
func (s *scope) def(d binary.Def) error {
	switch d := d.(type) {
	case binary.CoreModule:
		return s.coreModule(d)
	case binary.CoreInstance:
		return s.coreInstance(d)
	case binary.CoreType:
		return s.coreType(d)
	case *binary.Component:
		t, err := s.v.component(d, s)
		s.components = append(s.components, t)
		return err
	case binary.Instance:
		return s.instance(d)
	case binary.Alias:
		return s.alias(d)
	case binary.Type:
		t, err := s.typeDef(d)
		s.types = append(s.types, t)
		return err
	case binary.Canon:
		return s.canon(d)
	case binary.Start:
		return s.start(d)
	case binary.Import:
		return s.importDef(d)
	case binary.Export:
		return s.export(d)
	case binary.Value:
		return s.value(d)
	}
	return fmt.Errorf("unknown definition %T", d)
}

// place names a definition that is about to be checked, for errors. The name
// is only built when there is one.
func (s *scope) place(d binary.Def) func() string {
	indexed := func(what string, n int) func() string {
		return func() string { return fmt.Sprintf("%s %d", what, n) }
	}
	switch d := d.(type) {
	case binary.CoreModule:
		return indexed("core module", len(s.modules))
	case binary.CoreInstance:
		return indexed("core instance", len(s.coreInstances))
	case binary.CoreType:
		return indexed("core type", len(s.coreTypes))
	case *binary.Component:
		return indexed("component", len(s.components))
	case binary.Instance:
		return indexed("instance", len(s.instances))
	case binary.Alias:
		return func() string { return aliasPlace(d) }
	case binary.Type:
		return indexed("type", len(s.types))
	case binary.Canon:
		if d.Kind == binary.CanonLift {
			return indexed("canon lift, func", len(s.funcs))
		}
		return indexed("canon "+d.Kind.String()+", core func", len(s.coreFuncs))
	case binary.Start:
		return func() string { return "start" }
	case binary.Import:
		return func() string { return fmt.Sprintf("import %q", d.Name.Name) }
	case binary.Export:
		return func() string { return fmt.Sprintf("export %q", d.Name.Name) }
	default:
		return indexed("value", len(s.values))
	}
}
