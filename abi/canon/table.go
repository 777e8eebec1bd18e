package canon

// EntryKind is what an entry of a handle table is.
type EntryKind uint8

// The kinds of entry. All but the first two carry their state in Obj.
const (
	freeEntry EntryKind = iota
	ResourceEntry
	WaitableEntry
	WaitableSetEntry
	ErrorContextEntry
)

// Entry is one entry of a handle table. For a resource handle Rep is what the
// resource's owner knows it by and Obj what a host resource stands for.
type Entry struct {
	Kind     EntryKind
	Own      bool // resource: the handle owns, it does not borrow
	Rep      uint32
	Resource *Resource
	Obj      any

	lends uint32 // resource: calls that have it on loan
	scope *Call  // borrow: the call it must be dropped in
}

// Table is the handle table of one component instance, shared by all its
// resource types (CanonicalABI.md, Table State). Index 0 is never valid; freed
// indices are reused, the last one freed first. It is not for concurrent use.
type Table struct {
	entries []Entry // entries[0] is unused; Rep links the free ones
	free    uint32  // the first free entry, 0 when there is none
	max     uint32
	live    int
}

// keepEntries is the largest table Reset keeps for the next use.
const keepEntries = 4096

// NewTable returns an empty table for at most limit handles; 0 means as many as
// the specification allows.
func NewTable(limit uint32) *Table {
	if limit == 0 || limit > MaxTableLength {
		limit = MaxTableLength
	}
	return &Table{entries: make([]Entry, 1, 16), max: limit}
}

// Len is the number of live entries.
func (t *Table) Len() int { return t.live }

// Add puts e in the table and returns its index. It traps when the table is full.
func (t *Table) Add(e Entry) (uint32, error) {
	i, p, err := t.place()
	if err == nil {
		*p = e
	}
	return i, err
}

// place makes room for an entry, which the caller is to fill: what it finds there
// is arbitrary.
func (t *Table) place() (uint32, *Entry, error) {
	i := t.free
	if i != 0 {
		t.free = t.entries[i].Rep
	} else {
		if i = uint32(len(t.entries)); i > t.max {
			return 0, nil, trapf("handle table full: limit of %d handles", t.max)
		}
		t.entries = append(t.entries, Entry{})
	}
	t.live++
	return i, &t.entries[i], nil
}

// Get returns the entry at i, valid until the table changes.
func (t *Table) Get(i uint32) (*Entry, error) {
	if t == nil || i >= uint32(len(t.entries)) || t.entries[i].Kind == freeEntry {
		return nil, trapf("unknown handle index %d", i)
	}
	return &t.entries[i], nil
}

// Remove takes the entry at i out of the table.
func (t *Table) Remove(i uint32) (Entry, error) {
	p, err := t.Get(i)
	if err != nil {
		return Entry{}, err
	}
	e := *p
	t.vacate(i, p)
	return e, nil
}

// vacate frees the entry p at i.
func (t *Table) vacate(i uint32, p *Entry) {
	*p = Entry{Rep: t.free}
	t.free = i
	t.live--
}

// handle returns the entry at i if it is a handle to r. Only handles to resources
// have one.
func (t *Table) handle(r *Resource, i uint32) (*Entry, error) {
	if t != nil && i < uint32(len(t.entries)) {
		if e := &t.entries[i]; e.Resource == r {
			return e, nil
		}
	}
	return nil, t.noHandle(r, i)
}

// noHandle says why there is no handle to r at i.
func (t *Table) noHandle(r *Resource, i uint32) error {
	e, err := t.Get(i)
	switch {
	case err != nil:
		return err
	case e.Kind != ResourceEntry:
		return trapf("handle index %d used with the wrong type, expected %s but found no resource", i, r.Name)
	}
	return trapf("handle index %d used with the wrong type, expected %s but found a different %s", i, r.Name, e.Resource.Name)
}

// New is canon resource.new: it adds an owning handle. Obj is nil for a resource
// that a guest defines.
func (t *Table) New(r *Resource, rep uint32, obj any) (uint32, error) {
	i, e, err := t.place()
	if err == nil {
		*e = Entry{Kind: ResourceEntry, Own: true, Rep: rep, Resource: r, Obj: obj}
	}
	return i, err
}

// Rep is canon resource.rep: what the handle i to r stands for.
func (t *Table) Rep(r *Resource, i uint32) (rep uint32, obj any, err error) {
	e, err := t.handle(r, i)
	if err != nil {
		return 0, nil, err
	}
	return e.Rep, e.Obj, nil
}

// Drop is canon resource.drop: it removes the handle i to r. When own is true the
// caller must destroy the resource that rep and obj stand for.
func (t *Table) Drop(r *Resource, i uint32) (own bool, rep uint32, obj any, err error) {
	e, err := t.handle(r, i)
	if err != nil {
		return false, 0, nil, err
	}
	if e.lends != 0 {
		return false, 0, nil, trapf("cannot remove owned resource while borrowed: handle index %d", i)
	}
	own, rep, obj = e.Own, e.Rep, e.Obj
	if !own {
		e.scope.borrows--
	}
	t.vacate(i, e)
	return own, rep, obj, nil
}

// Owned calls visit for each owning handle still in the table, so that whoever
// ends the instance can destroy what it owned. Visit must not change the table.
func (t *Table) Owned(visit func(r *Resource, rep uint32, obj any)) {
	for i := range t.entries {
		if e := &t.entries[i]; e.Kind == ResourceEntry && e.Own {
			visit(e.Resource, e.Rep, e.Obj)
		}
	}
}

// Reset makes the table as new. It destroys nothing: see Owned.
func (t *Table) Reset() {
	clear(t.entries)
	if cap(t.entries) > keepEntries {
		t.entries = make([]Entry, 1, 16)
	}
	t.entries, t.free, t.live = t.entries[:1], 0, 0
}

// liftOwn is lift_own: the handle leaves the table. v must be zero.
func (cx *Call) liftOwn(r *Resource, i uint32, v *Value) error {
	t := cx.Options.Table
	e, err := t.handle(r, i)
	if err != nil {
		return err
	}
	if e.lends != 0 {
		return trapf("cannot remove owned resource while borrowed: handle index %d", i)
	}
	if !e.Own {
		return trapf("cannot pass on ownership of a borrowed resource: handle index %d", i)
	}
	v.Num, v.Obj = uint64(e.Rep), e.Obj
	t.vacate(i, e)
	return nil
}

// liftBorrow is lift_borrow: the handle stays and is on loan until the call ends.
// v must be zero.
func (cx *Call) liftBorrow(r *Resource, i uint32, v *Value) error {
	e, err := cx.Options.Table.handle(r, i)
	if err != nil {
		return err
	}
	e.lends++
	cx.lenders = append(cx.lenders, i)
	v.Num, v.Obj = uint64(e.Rep), e.Obj
	return nil
}

// lowerOwn is lower_own.
func (cx *Call) lowerOwn(r *Resource, v *Value) (uint32, error) {
	t := cx.Options.Table
	if !fitsResource(t, r, v) {
		return 0, unfit(t, r, v)
	}
	return t.New(r, uint32(v.Num), v.Obj)
}

// lowerBorrow is lower_borrow.
func (cx *Call) lowerBorrow(r *Resource, v *Value) (uint32, error) {
	t := cx.Options.Table
	if !fitsResource(t, r, v) {
		return 0, unfit(t, r, v)
	}
	if r.Owner != nil && r.Owner == cx.Options.Instance {
		return uint32(v.Num), nil
	}
	i, err := t.Add(Entry{Kind: ResourceEntry, Rep: uint32(v.Num), Resource: r, Obj: v.Obj, scope: cx})
	if err == nil {
		cx.borrows++
	}
	return i, err
}

// fitsResource reports whether v can be a handle to r in t.
func fitsResource(t *Table, r *Resource, v *Value) bool {
	return t != nil && v.Num == uint64(uint32(v.Num)) && (v.Obj != nil || r.Owner != nil)
}

// unfit says why it can't.
func unfit(t *Table, r *Resource, v *Value) error {
	switch {
	case t == nil:
		return misfit("resource %s: the call has no handle table", r.Name)
	case v.Num > 1<<32-1:
		return misfit("resource %s: rep %d is not a u32", r.Name, v.Num)
	}
	return misfit("resource %s: a host resource needs Obj", r.Name)
}
