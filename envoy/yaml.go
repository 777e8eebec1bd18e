package envoy

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// message is a generated proto message with its validation rules.
type message interface {
	proto.Message
	ValidateAll() error
}

// pack validates a message and wraps it: the validation of what it is packed
// into does not look inside.
func pack(m message) (*anypb.Any, error) {
	if err := m.ValidateAll(); err != nil {
		return nil, fmt.Errorf("the generated configuration is not valid: %w", err)
	}
	return anypb.New(m)
}

// render writes a message as YAML, its fields named and ordered as in the proto.
func render(m proto.Message) ([]byte, error) {
	json, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	// JSON is YAML, and reading it as nodes keeps the order of the fields.
	var doc yaml.Node
	if err := yaml.Unmarshal(json, &doc); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	plain(&doc)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	return out.Bytes(), enc.Close()
}

// plain drops JSON's braces and quotes, except quotes that a scalar needs to
// stay a string.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plain(child)
	}
}
