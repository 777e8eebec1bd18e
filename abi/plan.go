package abi

import (
	"github.com/tetratelabs/wazero/api"

	"github.com/extproc/extproc/abi/canon"
	"github.com/extproc/extproc/abi/core"
)

// A plan is a component flattened: nested components, instantiated wherever
// and however often, become one list of core instances to make in order, with
// every import resolved to an export of an earlier one or to a function of the
// host module. It is computed once, by walking the definitions as instantiation
// would (see flattener), and holds for every linker and instance.
type plan struct {
	comps   []*compDef   // component instances; the first is the root
	cores   []*coreDef   // core instances, in the order of instantiation
	slots   []slot       // functions of the host module, by field number
	funcs   []coreRef    // core functions the runtime calls
	mems    []coreRef    // memories of canonical options
	opts    []*options   // canonical options
	lifts   []*lift      // lifted functions
	hosts   []*hostFunc  // functions the root imports
	types   []*hostType  // resource types the root imports
	imports *instanceDef // the root's
	exports *instanceDef // the root's

	resources   map[*canon.Resource]*resourceDef
	crosses     bool // some definition calls from guest to guest
	usesContext bool // some definition reads or writes task storage
}

// compDef is a component instance.
type compDef struct {
	id     int
	parent *compDef // whose definitions instantiate it; nil for the root
}

// coreDef is an instantiation of a core module.
type coreDef struct {
	module  *coreModule
	sources []source // what the rewritten module's imports "0", "1", ... come from
	names   []importName
}

// importName is what an import of a core module is rewritten to.
type importName struct{ module, name string }

// source is what satisfies an import: a core instance, by its index in
// plan.cores, or the host module.
type source int

const hostSource source = -1

// coreRef names a core definition: an export of a core instance or of the host
// module.
type coreRef struct {
	source source
	name   string
}

// coreModule is a core module of the component, however often instantiated.
type coreModule struct {
	*core.Module     // nil once the component is compiled, as it holds the binary
	index        int // in the order of the binary, for messages
	exports      map[string]core.Kind

	start        bool     // has a start function
	ownsMemory   bool     // has a memory of its own that can hold something
	resetGlobals []string // names of the exports the rewrite adds for them
}

// function is a component function: lifted, or imported from the host.
type function struct {
	typ  *canon.Func
	lift *lift
	host *hostFunc
}

// lift is a canon lift: a core function seen as a component function.
type lift struct {
	id         int
	typ        *canon.Func
	opts       *options
	callee     int // in plan.funcs
	postReturn int // in plan.funcs, or -1
	sig        *canon.Signature
	async      bool       // the result comes by task.return
	callback   bool       // of an asynchronous function
	scalar     bool       // neither parameters nor result need more than core values
	enter      []*compDef // component instances that a call from the host enters
}

// options are the canonical options of a lift or lower.
type options struct {
	id       int
	comp     *compDef
	encoding canon.Encoding
	memory   int // in plan.mems, or -1
	realloc  int // in plan.funcs, or -1
}

// hostFunc is a function the root imports; instance is "" when it is imported
// by itself.
type hostFunc struct {
	id             int
	instance, name string
	typ            *canon.Func
}

// hostType is a resource type the root imports.
type hostType struct {
	id             int
	instance, name string
	resource       *canon.Resource
	drop           row // what runs while the host drops one, for messages
}

// slot is a core function the host module offers: a lowered function or a
// built-in. Call ends the guest by panicking with a *Trap (Instance.trap).
type slot interface {
	coreType() core.FuncType
	api.GoFunction
}
