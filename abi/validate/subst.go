package validate

import "github.com/extproc/extproc/abi/core"

// Steps that copying a type costs, in proportion to the memory it takes.
const (
	copyCost = 32
	partCost = 4
)

// subst rewrites types: resources that bound owns become others, and type
// entries become those given in typs. What is not affected stays shared.
type subst struct {
	v     *validator
	bound *scope // may be nil
	into  *scope // owner of the resources that replace bound ones
	res   map[*resource]*resource
	typs  map[*typ]*typ
	memo  map[any]any
}

func newSubst(v *validator, bound, into *scope) *subst {
	return &subst{
		v: v, bound: bound, into: into,
		res:  map[*resource]*resource{},
		typs: map[*typ]*typ{},
		memo: map[any]any{},
	}
}

// open makes an instance of an instance type, or of another instance one that
// is known under a name of its own: its exported types are new entries, and
// resources of the instance type are fresh ones of this scope.
func (s *scope) open(t *instanceType) *instanceType {
	return newSubst(s.v, t.owner, s).reopen(t)
}

func (s *subst) reopen(t *instanceType) *instanceType {
	fresh := map[*typ]*typ{}
	s.renew(t, fresh)
	for old, entry := range fresh {
		content := s.content(old)
		content.name = old.name
		*entry = content
	}
	opened := *s.instance(t)
	opened.owner = nil
	return &opened
}

// renew gives every type that an instance exports a new entry.
func (s *subst) renew(t *instanceType, fresh map[*typ]*typ) {
	if !s.v.spend(1 + len(t.exports.list)) {
		return
	}
	for _, x := range t.exports.list {
		if x.typ != nil && s.typs[x.typ] == nil {
			s.v.spend(copyCost)
			entry := &typ{}
			s.typs[x.typ], fresh[x.typ] = entry, entry
		}
		if x.inst != nil {
			s.renew(x.inst, fresh)
		}
	}
}

// memoized returns the rewritten form of a type, which it works out once.
func memoized[T any](s *subst, t *T, rewrite func(*T) *T) *T {
	if t == nil || !s.v.spend(1) {
		return t
	}
	if done, ok := s.memo[t]; ok {
		return done.(*T)
	}
	out := rewrite(t)
	if out != t {
		s.v.spend(copyCost)
	}
	s.memo[t] = out
	return out
}

func (s *subst) resource(r *resource) *resource {
	if to, ok := s.res[r]; ok {
		return to
	}
	if r == nil || s.bound == nil || r.owner != s.bound {
		return r
	}
	fresh := &resource{owner: s.into, rep: core.I32}
	s.res[r] = fresh
	return fresh
}

func (s *subst) typ(t *typ) *typ {
	if to, ok := s.typs[t]; ok {
		return to
	}
	return memoized(s, t, func(t *typ) *typ {
		if c := s.content(t); c != *t {
			return &c
		}
		return t
	})
}

func (s *subst) content(t *typ) typ {
	return typ{
		name: t.name,
		val:  memoized(s, t.val, s.def),
		fn:   s.fn(t.fn),
		comp: s.component(t.comp),
		inst: s.instance(t.inst),
		res:  s.resource(t.res),
	}
}

func (s *subst) valType(t valType) valType {
	if t.typ != nil {
		t.typ = s.typ(t.typ)
	}
	return t
}

func (s *subst) fields(in []field) []field {
	s.v.spend(len(in))
	for i, f := range in {
		if t := s.valType(f.typ); t != f.typ {
			s.v.spend(partCost * len(in))
			out := append([]field(nil), in...)
			for ; i < len(in); i++ {
				out[i].typ = s.valType(in[i].typ)
			}
			return out
		}
	}
	return in
}

// same reports whether a rewritten slice is the one it was made of.
func same[T any](a, b []T) bool { return len(a) == 0 || &a[0] == &b[0] }

func (s *subst) def(d *defType) *defType {
	c := *d
	c.fields = s.fields(d.fields)
	c.elem, c.err, c.key = s.valType(d.elem), s.valType(d.err), s.valType(d.key)
	if d.res != nil {
		c.res = s.typ(d.res)
	}
	if same(c.fields, d.fields) && c.elem == d.elem && c.err == d.err && c.key == d.key && c.res == d.res {
		return d
	}
	return &c
}

func (s *subst) fn(f *funcType) *funcType {
	return memoized(s, f, func(f *funcType) *funcType {
		c := *f
		c.params, c.result = s.fields(f.params), s.valType(f.result)
		if same(c.params, f.params) && c.result == f.result {
			return f
		}
		return &c
	})
}

func (s *subst) instance(t *instanceType) *instanceType {
	return memoized(s, t, func(t *instanceType) *instanceType {
		c := *t
		c.exports.list = s.externs(t.exports.list)
		if same(c.exports.list, t.exports.list) {
			return t
		}
		return &c
	})
}

func (s *subst) component(t *componentType) *componentType {
	return memoized(s, t, func(t *componentType) *componentType {
		c := *t
		c.imports.list, c.exports.list = s.externs(t.imports.list), s.externs(t.exports.list)
		if same(c.imports.list, t.imports.list) && same(c.exports.list, t.exports.list) {
			return t
		}
		return &c
	})
}

func (s *subst) externs(in []extern) []extern {
	s.v.spend(len(in))
	for i, x := range in {
		if e := s.entity(x.entity); e != x.entity {
			s.v.spend(2 * partCost * len(in))
			out := append([]extern(nil), in...)
			for ; i < len(in); i++ {
				out[i].entity = s.entity(in[i].entity)
			}
			return out
		}
	}
	return in
}

func (s *subst) entity(e entity) entity {
	e.fn = s.fn(e.fn)
	e.val = s.valType(e.val)
	if e.typ != nil {
		e.typ = s.typ(e.typ)
	}
	e.comp = s.component(e.comp)
	e.inst = s.instance(e.inst)
	return e
}
