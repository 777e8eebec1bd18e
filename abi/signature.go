package abi

import (
	"fmt"
	"strings"

	"github.com/extproc/extproc/abi/canon"
)

// A witFunc is a parsed signature of a row.
type witFunc struct {
	async  bool
	params []witParam
	result *witType
}

type witParam struct {
	name string
	typ  *witType
}

// witType is a parsed WIT type: a constructor with its operands, or a name that
// the imported instance resolves.
type witType struct {
	name string     // of a named type or of a handle's resource; "" otherwise
	kind canon.Kind // counts unless named
	args []*witType // operands; nil in a result stands for _
	len  uint32     // fixed-length list
}

func (t *witType) named() bool { return t.name != "" && t.kind != canon.Own && t.kind != canon.Borrow }

var witPrimitives = map[string]canon.Kind{
	"bool": canon.Bool, "char": canon.Char, "string": canon.String,
	"s8": canon.S8, "s16": canon.S16, "s32": canon.S32, "s64": canon.S64,
	"u8": canon.U8, "u16": canon.U16, "u32": canon.U32, "u64": canon.U64,
	"f32": canon.F32, "f64": canon.F64, "error-context": canon.ErrorContext,
}

// witConstructors gives the smallest and largest number of type operands.
var witConstructors = map[string]struct {
	kind     canon.Kind
	min, max int
}{
	"list":   {canon.List, 1, 1},
	"option": {canon.Option, 1, 1},
	"result": {canon.Result, 0, 2},
	"tuple":  {canon.Tuple, 1, 1 << 10},
	"map":    {canon.Map, 2, 2},
	"stream": {canon.Stream, 0, 1},
	"future": {canon.Future, 0, 1},
	"own":    {canon.Own, 1, 1},
	"borrow": {canon.Borrow, 1, 1},
}

// parseSignature parses a WIT function type: "func(a: u32) -> list<u8>".
func parseSignature(sig string) (*witFunc, error) {
	p := &witParser{rest: sig}
	f := &witFunc{async: p.accept("async ")}
	p.expect("func")
	p.expect("(")
	for !p.accept(")") && p.err == nil {
		name := p.word()
		p.expect(":")
		f.params = append(f.params, witParam{name, p.typ()})
		if !p.accept(",") {
			p.expect(")")
			break
		}
	}
	if p.accept("->") {
		f.result = p.typ()
	}
	if p.space(); p.rest != "" {
		p.fail("the end")
	}
	if p.err != nil {
		return nil, fmt.Errorf("signature %q: %w", sig, p.err)
	}
	return f, nil
}

type witParser struct {
	rest string
	err  error
}

func (p *witParser) fail(expected string) {
	if p.err == nil {
		p.err = fmt.Errorf("expected %s, found %q", expected, p.rest)
	}
	p.rest = ""
}

func (p *witParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\n") }

func (p *witParser) accept(token string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

func (p *witParser) expect(token string) {
	if !p.accept(token) {
		p.fail(fmt.Sprintf("%q", token))
	}
}

// word reads an identifier.
func (p *witParser) word() string {
	p.space()
	end := strings.IndexFunc(p.rest, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	})
	if end < 0 {
		end = len(p.rest)
	}
	if end == 0 {
		p.fail("a name")
		return ""
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

func (p *witParser) typ() *witType {
	word := p.word()
	if kind, ok := witPrimitives[word]; ok {
		return &witType{kind: kind}
	}
	c, ok := witConstructors[word]
	if !ok {
		return &witType{name: word}
	}
	t := &witType{kind: c.kind}
	if c.min > 0 || strings.HasPrefix(p.rest, "<") {
		p.operands(t)
	}
	if n := len(t.args); p.err == nil && (n < c.min || n > c.max) {
		p.fail(fmt.Sprintf("%d operands of %s", c.min, word))
	}
	if p.err == nil && (t.kind == canon.Own || t.kind == canon.Borrow) {
		t.name, t.args = t.args[0].name, nil
	}
	return t
}

// operands reads what stands between < and >.
func (p *witParser) operands(t *witType) {
	p.expect("<")
	for p.err == nil {
		if p.accept("_") {
			t.args = append(t.args, nil)
		} else if t.kind == canon.List && len(t.args) == 1 {
			if _, err := fmt.Sscanf(p.word(), "%d", &t.len); err != nil {
				p.fail("a length")
			}
			t.kind = canon.FixedList
		} else {
			t.args = append(t.args, p.typ())
		}
		if !p.accept(",") {
			p.expect(">")
			return
		}
	}
}
