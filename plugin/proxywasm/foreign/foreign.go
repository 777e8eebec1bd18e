// Package foreign has the foreign functions of Envoy's Wasm extension, over the
// bytes that they take and answer. The arguments of most are protobuf messages
// (source/extensions/common/wasm/ext/*.proto in Envoy).
package foreign

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// What functions answer when they fail. Each stands for a status of proxy-wasm.
var (
	ErrArgument      = errors.New("bad argument")          // BAD_ARGUMENT
	ErrNotFound      = errors.New("not found")             // NOT_FOUND
	ErrSerialization = errors.New("serialization failure") // SERIALIZATION_FAILURE
	ErrInternal      = errors.New("internal failure")      // INTERNAL_FAILURE
)

// slots says where the fields of a message go: to a *string, *[]byte, *bool or
// *int32.
type slots map[protowire.Number]any

// decode reads a message. Fields that it doesn't know, or that have another
// type, are left out, as in every protobuf implementation; the last of several
// counts. Bytes are not copied.
func decode(message []byte, to slots) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrArgument, protowire.ParseError(n))
		}
		message = message[n:]
		n, err := set(to[number], number, kind, message)
		if err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// set reads one field's value and returns how long it is.
func set(slot any, number protowire.Number, kind protowire.Type, value []byte) (int, error) {
	n := protowire.ConsumeFieldValue(number, kind, value)
	if n < 0 {
		return 0, fmt.Errorf("%w: field %d: %w", ErrArgument, number, protowire.ParseError(n))
	}
	switch kind {
	case protowire.BytesType:
		b, _ := protowire.ConsumeBytes(value)
		switch slot := slot.(type) {
		case *[]byte:
			*slot = b
		case *string:
			if !utf8.Valid(b) {
				return 0, fmt.Errorf("%w: field %d is no UTF-8", ErrArgument, number)
			}
			*slot = string(b)
		}
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		switch slot := slot.(type) {
		case *bool:
			*slot = v != 0
		case *int32:
			*slot = int32(v)
		}
	}
	return n, nil
}

// appendBool, appendBytes write fields, of which proto3 leaves out the zero
// value.
func appendBool(b []byte, number protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), 1)
}

func appendBytes(b []byte, number protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}
