package foreign

import "fmt"

// PropertyType is how CEL sees a property that a guest has set.
type PropertyType int32

// The types, numbered as in WasmType.
const (
	BytesProperty PropertyType = iota
	StringProperty
	FlatBuffersProperty
	ProtobufProperty
)

// Property is what a guest has declared of a property that it will set.
type Property struct {
	Type     PropertyType
	ReadOnly bool // it can be set once
	Schema   string
}

// maxDeclared is how many properties a plugin may declare.
const maxDeclared = 1000

// Properties are those that a plugin has declared. The zero value has none.
type Properties struct{ byName map[string]Property }

// Declare takes a DeclarePropertyArguments. The error is ErrArgument, also for a
// name that was declared before, or ErrInternal if there are too many.
func (p *Properties) Declare(args []byte) error {
	var name string
	var schema []byte
	var readOnly bool
	var kind, span int32
	if err := decode(args, slots{1: &name, 2: &readOnly, 3: &kind, 4: &schema, 5: &span}); err != nil {
		return err
	}
	if _, twice := p.byName[name]; twice {
		return fmt.Errorf("%w: %q is declared already", ErrArgument, name)
	}
	if len(p.byName) >= maxDeclared {
		return ErrInternal
	}
	if p.byName == nil {
		p.byName = map[string]Property{}
	}
	if kind < 0 || kind > int32(ProtobufProperty) {
		kind = int32(BytesProperty)
	}
	p.byName[name] = Property{Type: PropertyType(kind), ReadOnly: readOnly, Schema: string(schema)}
	return nil
}

// Of is what was declared of a property; undeclared ones are bytes.
func (p *Properties) Of(name string) Property { return p.byName[name] }

// FilterState reads a SetEnvoyFilterStateArguments: a key of Envoy's filter
// state, and what the object is made of. The error is ErrArgument.
func FilterState(args []byte) (path, value string, err error) {
	var span int32
	err = decode(args, slots{1: &path, 2: &value, 3: &span})
	return path, value, err
}
