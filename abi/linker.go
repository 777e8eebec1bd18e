package abi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/extproc/extproc/abi/binary"
)

// Linker holds the host interfaces that components may import. It is safe for
// concurrent use once everything is defined.
type Linker struct {
	engine *Engine
	ifaces map[string]*hostInterface
}

// hostInterface is an Interface with parsed signatures.
type hostInterface struct {
	funcs     map[string]hostRow
	resources map[string]Resource
}

type hostRow struct {
	HostFunc
	sig *witFunc
}

// NewLinker returns an empty linker.
func NewLinker(e *Engine) *Linker {
	return &Linker{engine: e, ifaces: map[string]*hostInterface{}}
}

// Define adds interfaces. The name "" is for functions and resources that
// components import by themselves. It fails for a signature that can't be
// parsed and for anything defined twice.
func (l *Linker) Define(ifaces ...Interface) error {
	for _, i := range ifaces {
		if l.ifaces[i.Name] != nil {
			return fmt.Errorf("interface %s is defined twice", i.Name)
		}
		h := &hostInterface{funcs: map[string]hostRow{}, resources: map[string]Resource{}}
		for _, f := range i.Funcs {
			if _, ok := h.funcs[f.Name]; ok {
				return fmt.Errorf("interface %s: function %q is defined twice", i.Name, f.Name)
			}
			sig, err := parseSignature(f.Sig)
			if err != nil {
				return fmt.Errorf("interface %s: function %q: %w", i.Name, f.Name, err)
			}
			h.funcs[f.Name] = hostRow{f, sig}
		}
		for _, r := range i.Resources {
			if _, ok := h.resources[r.Name]; ok {
				return fmt.Errorf("interface %s: resource %q is defined twice", i.Name, r.Name)
			}
			h.resources[r.Name] = r
		}
		l.ifaces[i.Name] = h
	}
	return nil
}

// find is the interface that satisfies an import.
func (l *Linker) find(name string) *hostInterface {
	if h := l.ifaces[name]; h != nil {
		return h
	}
	if t, ok := track(name); ok {
		return l.ifaces[t]
	}
	return nil
}

// Linked is a component whose imports are satisfied. It is safe for concurrent
// use.
type Linked struct {
	component   *Component
	rows        []row                     // as plan.hosts
	drops       []func(data any, obj any) // as plan.types
	image       image
	strict      bool
	memoryLimit uint64
}

// row is a host function as a linked component calls it.
type row struct {
	Call  func(c *Call) error
	label string // "wasi:http/types@0.2.3 [method]fields.get", for messages
}

// LimitMemory caps each linear memory of instances yet to be made, in bytes,
// where that is less than the engine does.
func (l *Linked) LimitMemory(bytes uint64) { l.memoryLimit = bytes }

// Link resolves and type-checks every import of c.
func (l *Linker) Link(c *Component) (*Linked, error) {
	if c.engine != l.engine {
		return nil, errors.New("link: the component was compiled by another engine")
	}
	if c.unlinkable != nil {
		return nil, c.unlinkable
	}
	p := c.plan
	linked := &Linked{
		component: c, strict: l.engine.cfg.StrictReentrance,
		rows: make([]row, len(p.hosts)), drops: make([]func(any, any), len(p.types)),
	}
	linked.image.reason = c.noReset
	for _, name := range p.imports.names {
		if it := p.imports.items[name]; it.sort == binary.SortInstance && l.find(name) == nil {
			return nil, l.missing(p, name)
		}
	}
	for _, t := range p.types {
		r, err := l.resource(t)
		if err != nil {
			return nil, err
		}
		linked.drops[t.id] = r.Drop
	}
	for _, f := range p.hosts {
		r, err := l.row(p, f)
		if err != nil {
			return nil, err
		}
		linked.rows[f.id] = r
	}
	return linked, nil
}

// missing tells that the interface called name is not offered, and which of its
// functions the component would call.
func (l *Linker) missing(p *plan, name string) error {
	base, _, _ := strings.Cut(name, "@")
	var others []string
	for n := range l.ifaces {
		if b, _, _ := strings.Cut(n, "@"); b == base {
			others = append(others, n)
		}
	}
	if len(others) == 0 {
		return fmt.Errorf("import %s: no such interface is offered%s", name, p.calls(name))
	}
	slices.Sort(others)
	return fmt.Errorf("import %s: this version is not offered, expected %s%s", name, strings.Join(others, " or "), p.calls(name))
}

// calls says which functions of an interface the component imports: the first
// few of them.
func (p *plan) calls(instance string) string {
	const most = 3
	var names []string
	for _, f := range p.hosts {
		if f.instance == instance {
			names = append(names, strconv.Quote(f.name))
		}
	}
	if len(names) == 0 {
		return ""
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	return " (it imports " + strings.Join(names, ", ") + ")"
}

func (l *Linker) resource(t *hostType) (Resource, error) {
	h := l.find(t.instance)
	if h == nil {
		return Resource{}, missing(t.instance, "resource", t.name)
	}
	r, ok := h.resources[t.name]
	if !ok {
		return Resource{}, missing(t.instance, "resource", t.name)
	}
	return r, nil
}

func (l *Linker) row(p *plan, f *hostFunc) (row, error) {
	h := l.find(f.instance)
	if h == nil {
		return row{}, missing(f.instance, "function", f.name)
	}
	r, ok := h.funcs[f.name]
	if !ok {
		return row{}, missing(f.instance, "function", f.name)
	}
	names := p.imports
	if f.instance != "" {
		names = p.imports.items[f.instance].instance
	}
	m := &matcher{names}
	if !m.matches(r.sig, f.typ) {
		return row{}, fmt.Errorf("%s: found type %s, expected %s", place(f.instance, "function", f.name), m.text(f.typ), r.Sig)
	}
	return row{Call: r.Call, label: label(f.instance, f.name)}, nil
}

func missing(instance, what, name string) error {
	return fmt.Errorf("%s is not offered", place(instance, what, name))
}

func place(instance, what, name string) string {
	if instance == "" {
		return fmt.Sprintf("import %s: this %s", name, what)
	}
	return fmt.Sprintf("import %s: %s %q", instance, what, name)
}

func label(instance, name string) string {
	if instance == "" {
		return name
	}
	return instance + " " + name
}

// Close releases what linking and its instances share. The instances must have
// been closed.
func (l *Linked) Close(ctx context.Context) error {
	l.image.mu.Lock()
	defer l.image.mu.Unlock()
	l.image.close()
	return nil
}
