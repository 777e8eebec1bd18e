package abi

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWast runs the conformance suites in testdata/wast and in the folders
// named by COMPONENT_WAST_DIR, separated by colons: .wast files as
// `wasm-tools json-from-wast` converts them. testdata/wast/not-yet.txt lists
// what is known to fail; an entry that passes is an error.
func TestWast(t *testing.T) {
	s := &suites{notYet: readNotYet(t, "testdata/wast/not-yet.txt")}
	dirs := append([]string{"testdata/wast"}, filepath.SplitList(os.Getenv("COMPONENT_WAST_DIR"))...)
	for _, dir := range dirs {
		for _, file := range wastFiles(t, dir) {
			s.runFile(t, file, false)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.notYet)) {
		if e := s.notYet[key]; e.passed {
			t.Errorf("%s passes now: take it off the not-yet list", key)
		}
	}
	fmt.Printf("wast: %d passed, %d failed, %d not yet\n", s.passed, s.failed, s.skipped)
}

// TestInterpreter runs the same suites without compiling guests: the two must
// agree.
func TestInterpreter(t *testing.T) {
	s := &suites{notYet: readNotYet(t, "testdata/wast/not-yet.txt")}
	for _, file := range wastFiles(t, "testdata/wast") {
		s.runFile(t, file, true)
	}
}

type suites struct {
	notYet                  map[string]*notYetEntry
	passed, failed, skipped int
}

// notYetEntry is a line of the not-yet list: file:line of a command, reason.
type notYetEntry struct {
	reason string
	passed bool
}

func readNotYet(t *testing.T, path string) map[string]*notYetEntry {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list := map[string]*notYetEntry{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if line := strings.TrimSpace(sc.Text()); line != "" && !strings.HasPrefix(line, "#") {
			key, reason, ok := strings.Cut(line, " ")
			if !ok {
				t.Fatalf("%s: %q gives no reason", path, line)
			}
			list[key] = &notYetEntry{reason: reason}
		}
	}
	return list
}

// wastFiles finds the converted suites in a folder.
func wastFiles(t *testing.T, dir string) (files []string) {
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".json") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// wastFile is a converted .wast file.
type wastFile struct {
	Source   string        `json:"source_filename"`
	Commands []wastCommand `json:"commands"`
}

type wastCommand struct {
	Type     string      `json:"type"`
	Line     int         `json:"line"`
	Name     string      `json:"name"`
	Filename string      `json:"filename"`
	Instance string      `json:"instance"`
	Module   string      `json:"module"`
	Action   wastAction  `json:"action"`
	Expected []wastValue `json:"expected"`
	Text     string      `json:"text"`
}

type wastAction struct {
	Type   string      `json:"type"`
	Module string      `json:"module"`
	Field  string      `json:"field"`
	Args   []wastValue `json:"args"`
}

func (c *wastCommand) assertion() bool { return strings.HasPrefix(c.Type, "assert_") }

// runFile runs the commands of a file. Assertions count; other commands only
// when they fail.
func (s *suites) runFile(t *testing.T, path string, interpreter bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file wastFile
	if err := json.Unmarshal(text, &file); err != nil || file.Commands == nil {
		t.Logf("%s is no converted .wast file: %v", path, err)
		return
	}
	engine, err := NewEngine(t.Context(), Config{StrictReentrance: true, MemoryLimit: 64 << 20, Interpreter: interpreter})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close(t.Context())
	r := &wastRunner{t: t, engine: engine, dir: filepath.Dir(path), defs: map[string]*Linked{}, instances: map[string]*Instance{}}
	passed, failed := s.passed, s.failed
	for i := range file.Commands {
		c := &file.Commands[i]
		s.count(t, fmt.Sprintf("%s:%d", file.Source, c.Line), c.assertion(), r.guarded(c))
	}
	if interpreter {
		return
	}
	fmt.Printf("%s: %d passed, %d failed\n", file.Source, s.passed-passed, s.failed-failed)
}

func (s *suites) count(t *testing.T, key string, assertion bool, err error) {
	e := s.notYet[key]
	switch {
	case err == nil && assertion:
		s.passed++
		if e != nil {
			e.passed = true
		}
	case err == nil:
		if e != nil {
			e.passed = true
		}
	case e != nil && assertion:
		s.skipped++
	case e != nil:
	default:
		s.failed++
		t.Errorf("%s: %v", key, err)
	}
}

// wastRunner carries out the commands of one file.
type wastRunner struct {
	t         *testing.T
	engine    *Engine
	dir       string
	defs      map[string]*Linked
	lastDef   *Linked
	instances map[string]*Instance
	last      *Instance
}

// guarded fails a command that takes too long or panics.
func (r *wastRunner) guarded(c *wastCommand) (err error) {
	timer := time.AfterFunc(30*time.Second, func() { panic(fmt.Sprintf("line %d takes too long", c.Line)) })
	defer timer.Stop()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return r.run(c)
}

func (r *wastRunner) run(c *wastCommand) error {
	switch c.Type {
	case "module":
		r.last = nil
		linked, err := r.link(c)
		if err != nil {
			return err
		}
		return r.instantiate(linked, c.Name)
	case "module_definition":
		comp, err := r.compile(c)
		if err != nil {
			return err
		}
		// A definition that needs imports is only compiled.
		if r.lastDef, err = NewLinker(r.engine).Link(comp); err != nil {
			r.lastDef = nil
		}
		r.defs[c.Name] = r.lastDef
		return nil
	case "module_instance":
		linked := r.lastDef
		if c.Module != "" {
			linked = r.defs[c.Module]
		}
		r.last = nil
		return r.instantiate(linked, c.Instance)
	case "action":
		_, err := r.invoke(&c.Action)
		return err
	case "assert_return":
		return r.assertReturn(c)
	case "assert_trap", "assert_exhaustion":
		return r.assertTrap(c)
	case "assert_invalid", "assert_malformed":
		return r.assertInvalid(c)
	case "assert_unlinkable":
		linked, err := r.link(c)
		if err == nil {
			_, err = linked.Instantiate(r.t.Context(), nil)
		}
		return wantError(err)
	}
	return fmt.Errorf("unknown command %q", c.Type)
}

func (r *wastRunner) compile(c *wastCommand) (*Component, error) {
	wasm, err := os.ReadFile(filepath.Join(r.dir, c.Filename))
	if err != nil {
		return nil, err
	}
	return r.engine.Compile(r.t.Context(), wasm)
}

func (r *wastRunner) link(c *wastCommand) (*Linked, error) {
	comp, err := r.compile(c)
	if err != nil {
		return nil, err
	}
	return NewLinker(r.engine).Link(comp)
}

func (r *wastRunner) instantiate(l *Linked, name string) error {
	if l == nil {
		return errors.New("the definition can't be linked")
	}
	in, err := l.Instantiate(r.t.Context(), nil)
	if err != nil {
		return err
	}
	r.last, r.instances[name] = in, in
	return nil
}

func (r *wastRunner) invoke(a *wastAction) (*wastResult, error) {
	in := r.last
	if a.Module != "" {
		in = r.instances[a.Module]
	}
	if in == nil {
		return nil, errors.New("no instance")
	}
	f := in.Func("", a.Field)
	if f == nil {
		return nil, fmt.Errorf("no function %q", a.Field)
	}
	args := make([]Value, len(a.Args))
	for i := range a.Args {
		var err error
		if args[i], err = a.Args[i].value(f.ParamType(i)); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i, err)
		}
	}
	res := &wastResult{typ: f.Type().Result}
	if res.typ != nil {
		res.values = make([]Value, 1)
	}
	return res, f.Call(r.t.Context(), args, res.values)
}

func (r *wastRunner) assertReturn(c *wastCommand) error {
	res, err := r.invoke(&c.Action)
	if err != nil {
		return err
	}
	if len(c.Expected) != len(res.values) {
		return fmt.Errorf("%d results, expected %d", len(res.values), len(c.Expected))
	}
	for i := range c.Expected {
		want, err := c.Expected[i].value(res.typ)
		if err != nil {
			return fmt.Errorf("expected result: %w", err)
		}
		if !equalValues(want, res.values[i]) {
			return fmt.Errorf("returned %+v, expected %+v", res.values[i], want)
		}
	}
	return nil
}

func (r *wastRunner) assertTrap(c *wastCommand) error {
	var err error
	if c.Filename != "" {
		var linked *Linked
		if linked, err = r.link(c); err != nil {
			return err
		}
		_, err = linked.Instantiate(r.t.Context(), nil)
	} else {
		_, err = r.invoke(&c.Action)
	}
	if err == nil {
		return fmt.Errorf("returned, expected trap %q", c.Text)
	}
	if t := (*Trap)(nil); !errors.As(err, &t) {
		return fmt.Errorf("failed without a trap: %w", err)
	}
	if !sameTrap(err.Error(), c.Text) {
		return fmt.Errorf("trapped with %q, expected %q", err.Error(), c.Text)
	}
	return nil
}

func (r *wastRunner) assertInvalid(c *wastCommand) error {
	if strings.HasSuffix(c.Filename, ".wat") {
		return nil // a syntax error of the text format; there is no binary
	}
	comp, err := r.compile(c)
	if err == nil {
		_ = comp.Close(r.t.Context())
	}
	return wantError(err)
}

func wantError(err error) error {
	if err == nil {
		return errors.New("accepted, expected an error")
	}
	return nil
}

// trapReasons are groups of words for one reason. An expected text that has one
// of a group asks for a message that has one of the same group.
var trapReasons = [][]string{
	{"out of bounds", "out-of-bounds", "beyond end of memory"},
	{"unaligned", "not aligned"},
	{"unreachable"},
	{"invalid utf-8", "incomplete utf-8", "utf-8"},
	{"utf-16", "unpaired surrogate"},
	{"`char`", "char bit pattern"},
	{"discriminant"},
	{"cannot leave component instance"},
	{"cannot enter component instance"},
	{"while borrowed"},
	{"wrong type"},
	{"borrow handles still remain"},
	{"divide by zero"},
}

// sameTrap reports whether a trap happened for the expected reason.
func sameTrap(got, want string) bool {
	got, want = strings.ToLower(got), strings.ToLower(want)
	if strings.Contains(got, want) {
		return true
	}
	for _, group := range trapReasons {
		has := func(s string) bool {
			return slices.ContainsFunc(group, func(w string) bool { return strings.Contains(s, w) })
		}
		if has(want) {
			return has(got)
		}
	}
	return false
}
