package abi

import (
	"context"
	"fmt"

	"github.com/extproc/extproc/abi/binary"
	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/abi/core"
)

// resourceDef is what the runtime knows of a resource type: the component
// instance that defines it and its destructor, or the host's row.
type resourceDef struct {
	comp *compDef // nil for the host's
	dtor int      // in plan.funcs, or -1
	host *hostType
}

// defineResource makes a new resource type (Explainer.md, resource types are
// generative: each instantiation of the component makes its own).
func (f *flattener) defineResource(s *scope, t *binary.ResourceType) (*canon.Resource, error) {
	if s.comp == nil {
		return nil, fmt.Errorf("resource type defined within a type")
	}
	def := &resourceDef{comp: s.comp, dtor: -1}
	if t.HasDtor {
		ref, err := at(s.core[binary.SortCoreFunc], t.Dtor, "core function")
		if err != nil {
			return nil, err
		}
		def.dtor = f.funcID(ref)
		f.crosses = true
	}
	r := &canon.Resource{Name: "guest-defined resource", Owner: s.comp}
	f.resources[r] = def
	return r, nil
}

// hostType makes a resource type that the host is to define.
func (f *flattener) hostType(instance, name string) *canon.Resource {
	t := &hostType{id: len(f.types), instance: instance, name: name, drop: row{label: "drop of " + name}}
	t.resource = &canon.Resource{Name: name}
	f.types = append(f.types, t)
	f.resources[t.resource] = &resourceDef{dtor: -1, host: t}
	return t.resource
}

var (
	oneI32     = []core.ValType{core.I32}
	typeI32I32 = core.FuncType{Params: oneI32, Results: oneI32}
)

// resourceNew is canon resource.new.
type resourceNew struct {
	comp     *compDef
	resource *canon.Resource
}

func (b *resourceNew) coreType() core.FuncType { return typeI32I32 }

func (b *resourceNew) Call(ctx context.Context, stack []uint64) {
	in := caller(ctx)
	c := in.leave(b.comp)
	i, err := c.table.New(b.resource, uint32(stack[0]), nil)
	if err != nil {
		in.trap(err)
	}
	stack[0] = uint64(i)
}

// resourceRep is canon resource.rep. It is allowed where others are not: in
// realloc and post-return.
type resourceRep struct {
	comp     *compDef
	resource *canon.Resource
}

func (b *resourceRep) coreType() core.FuncType { return typeI32I32 }

func (b *resourceRep) Call(ctx context.Context, stack []uint64) {
	in := caller(ctx)
	rep, _, err := in.comps[b.comp.id].table.Rep(b.resource, uint32(stack[0]))
	if err != nil {
		in.trap(err)
	}
	stack[0] = uint64(rep)
}

// resourceDrop is canon resource.drop.
type resourceDrop struct {
	comp     *compDef
	resource *canon.Resource
	def      *resourceDef
	enter    []*compDef // component instances that calling the destructor enters
}

func (b *resourceDrop) coreType() core.FuncType { return core.FuncType{Params: oneI32} }

func (b *resourceDrop) Call(ctx context.Context, stack []uint64) {
	in := caller(ctx)
	c := in.leave(b.comp)
	own, rep, obj, err := c.table.Drop(b.resource, uint32(stack[0]))
	if err != nil {
		in.trap(err)
	}
	if !own {
		return
	}
	if b.def.host != nil {
		in.dropHost(b.def.host, obj)
		return
	}
	// The destructor is called like a lifted function of the defining instance.
	if !in.enter(b.enter) {
		in.trap(errEnter)
	}
	if b.def.dtor >= 0 {
		if err := in.callTask(b.def.dtor, []uint64{uint64(rep)}); err != nil {
			in.trap(err)
		}
	}
	in.exit(b.enter)
}

// entering lists the component instances that a call from one to another
// enters: the callee and its ancestors, less those the caller is in already
// (CanonicalABI.md, ComponentInstance.entering_set).
func entering(caller, callee *compDef) []*compDef {
	inside := map[*compDef]bool{}
	for c := caller; c != nil; c = c.parent {
		inside[c] = true
	}
	var set []*compDef
	for c := callee; c != nil; c = c.parent {
		if !inside[c] {
			set = append(set, c)
		}
	}
	return set
}
