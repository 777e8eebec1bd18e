package foreign

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
)

// Bounds of expressions.
const (
	maxExpressions = 1000 // of one plugin
	maxSource      = 16 << 10
	maxCost        = 1_000_000 // of one evaluation, in CEL's units
)

// environment is the standard one: expressions are parsed but not checked, as
// attributes have no declarations.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(cel.ParserExpressionSizeLimit(maxSource), cel.ParserRecursionLimit(100))
})

// Expressions are those that a plugin has created. The zero value has none. It
// is not safe for concurrent use.
type Expressions struct {
	programs map[uint32]cel.Program
	next     uint32
}

// Create parses an expression and answers its token, four bytes. The errors are
// ErrArgument for what is no expression and ErrInternal if there are too many.
func (x *Expressions) Create(args []byte) ([]byte, error) {
	if len(x.programs) >= maxExpressions {
		return nil, ErrInternal
	}
	if len(args) > maxSource {
		return nil, fmt.Errorf("%w: an expression of %d bytes", ErrArgument, len(args))
	}
	program, err := parse(string(args))
	if err != nil {
		return nil, err
	}
	if x.programs == nil {
		x.programs = map[uint32]cel.Program{}
	}
	for x.programs[x.next] != nil {
		x.next++
	}
	token := x.next
	x.next++
	x.programs[token] = program
	return binary.LittleEndian.AppendUint32(nil, token), nil
}

func parse(source string) (cel.Program, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInternal, err)
	}
	ast, issues := env.Parse(source)
	if issues.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrArgument, issues.Err())
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArgument, err)
	}
	return program, nil
}

// Evaluate takes a token and answers the expression's value as properties are
// written: integers, times and durations (nanoseconds) in eight bytes, a truth
// value in one, maps and lists as pairs. The errors are ErrArgument, ErrNotFound
// for a token that there isn't, ErrInternal if there is no value, and
// ErrSerialization for one that can't be written.
func (x *Expressions) Evaluate(args []byte, attributes Attributes) ([]byte, error) {
	token, err := tokenOf(args)
	if err != nil {
		return nil, err
	}
	program := x.programs[token]
	if program == nil {
		return nil, ErrNotFound
	}
	value, _, err := program.Eval(activation{attributes})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInternal, err)
	}
	return serialize(value, 0)
}

// Delete takes a token. That there is no such expression is no error.
func (x *Expressions) Delete(args []byte) error {
	token, err := tokenOf(args)
	delete(x.programs, token)
	return err
}

func tokenOf(args []byte) (uint32, error) {
	if len(args) != 4 {
		return 0, fmt.Errorf("%w: a token of %d bytes", ErrArgument, len(args))
	}
	return binary.LittleEndian.Uint32(args), nil
}
