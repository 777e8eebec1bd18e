package host

import (
	"container/heap"
	"errors"
	"sync"
	"time"
)

// What services answer when they can't do what was asked.
var (
	ErrNotFound    = errors.New("not found")
	ErrEmpty       = errors.New("the queue is empty")
	ErrFull        = errors.New("the limit is reached")
	ErrCasMismatch = errors.New("somebody else has changed the value")
	ErrBadArgument = errors.New("bad argument")
)

// DataLimits bounds the shared data of one vm_id.
type DataLimits struct {
	Bytes   int // of keys and values, and entryCost for each of them
	Entries int
}

// DefaultDataLimits are in force unless others are given.
var DefaultDataLimits = DataLimits{Bytes: 64 << 20, Entries: 100_000}

// entryCost is what an entry takes beside its key and value, about.
const entryCost = 128

// SharedData is a key-value store that the guests of a vm_id share. It is safe
// for concurrent use. It lives as long as the process, so that a guest that is
// reloaded finds what it left.
type SharedData struct {
	limits DataLimits
	now    func() time.Time

	mu      sync.RWMutex
	spaces  map[string]*space // by vm_id
	version uint32
	expired uint64
}

// space is the data of one vm_id.
type space struct {
	entries map[string]*entry
	expiry  expiries
	bytes   int
}

type entry struct {
	key     string
	value   []byte // never changed, only replaced
	cas     uint32
	expires time.Time // zero: never
	index   int       // in expiries, -1 if it never expires
}

// NewSharedData makes an empty store. Limits that are 0 are the default ones.
func NewSharedData(limits DataLimits) *SharedData {
	if limits.Bytes == 0 {
		limits.Bytes = DefaultDataLimits.Bytes
	}
	if limits.Entries == 0 {
		limits.Entries = DefaultDataLimits.Entries
	}
	return &SharedData{limits: limits, now: time.Now, spaces: map[string]*space{}}
}

// Get is a key's value and its version, which is never 0. The value is not to be
// changed.
func (d *SharedData) Get(vmID, key string) (value []byte, cas uint32, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s := d.spaces[vmID]
	if s == nil {
		return nil, 0, false
	}
	e := s.entries[key]
	if e == nil || e.over(d.now) {
		return nil, 0, false
	}
	return e.value, e.cas, true
}

// Set changes a key's value, of which it takes a copy. If cas is not 0 and the
// key has a value of another version, that one stays and the error is
// ErrCasMismatch; a key without a value is set whatever cas says, as in Envoy.
// ErrFull says that the limits don't allow for the value.
func (d *SharedData) Set(vmID, key string, value []byte, cas uint32) error {
	return d.SetFor(vmID, key, value, cas, 0)
}

// SetFor is Set for a value that is gone after a time; 0 is never.
func (d *SharedData) SetFor(vmID, key string, value []byte, cas uint32, lifetime time.Duration) error {
	if len(key)+len(value)+entryCost > d.limits.Bytes {
		return ErrFull
	}
	fresh := append(make([]byte, 0, len(value)), value...)
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.space(vmID)
	d.expire(s)
	e := s.entries[key]
	if e != nil && cas != 0 && cas != e.cas {
		return ErrCasMismatch
	}
	grown := len(key) + len(value) + entryCost
	if e != nil {
		grown = len(value) - len(e.value)
	}
	if grown > 0 && s.bytes+grown > d.limits.Bytes || e == nil && len(s.entries) >= d.limits.Entries {
		return ErrFull
	}
	if e == nil {
		e = &entry{key: key, index: -1}
		s.entries[key] = e
	}
	s.bytes += grown
	e.value, e.cas = fresh, d.nextVersion()
	s.expiry.remove(e)
	if e.expires = (time.Time{}); lifetime > 0 {
		e.expires = d.now().Add(lifetime)
		heap.Push(&s.expiry, e)
	}
	return nil
}

// Remove takes a key and its value away. The errors are ErrNotFound and, if cas
// is not 0, ErrCasMismatch.
func (d *SharedData) Remove(vmID, key string, cas uint32) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.spaces[vmID]
	if s == nil {
		return ErrNotFound
	}
	d.expire(s)
	e := s.entries[key]
	switch {
	case e == nil:
		return ErrNotFound
	case cas != 0 && cas != e.cas:
		return ErrCasMismatch
	}
	s.remove(e)
	return nil
}

// Keys lists the keys that have a value, in no order.
func (d *SharedData) Keys(vmID string) []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s := d.spaces[vmID]
	if s == nil {
		return nil
	}
	keys := make([]string, 0, len(s.entries))
	for key, e := range s.entries {
		if !e.over(d.now) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Forget drops everything that the guests of a vm_id shared.
func (d *SharedData) Forget(vmID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.spaces, vmID)
}

func (d *SharedData) space(vmID string) *space {
	s := d.spaces[vmID]
	if s == nil {
		s = &space{entries: map[string]*entry{}}
		d.spaces[vmID] = s
	}
	return s
}

// nextVersion is the same counter for all keys, so that a key that was removed
// and set again doesn't repeat a version.
func (d *SharedData) nextVersion() uint32 {
	if d.version++; d.version == 0 {
		d.version = 1
	}
	return d.version
}

// expire drops what is over.
func (d *SharedData) expire(s *space) {
	for len(s.expiry) > 0 && s.expiry[0].over(d.now) {
		s.remove(s.expiry[0])
		d.expired++
	}
}

func (s *space) remove(e *entry) {
	s.expiry.remove(e)
	delete(s.entries, e.key)
	s.bytes -= len(e.key) + len(e.value) + entryCost
}

func (e *entry) over(now func() time.Time) bool {
	return !e.expires.IsZero() && !now().Before(e.expires)
}

// expiries is a heap of entries, the first to expire on top.
type expiries []*entry

func (x expiries) Len() int           { return len(x) }
func (x expiries) Less(i, j int) bool { return x[i].expires.Before(x[j].expires) }
func (x expiries) Swap(i, j int) {
	x[i], x[j] = x[j], x[i]
	x[i].index, x[j].index = i, j
}

// Push implements heap.Interface.
func (x *expiries) Push(e any) {
	e.(*entry).index = len(*x)
	*x = append(*x, e.(*entry))
}

// Pop implements heap.Interface.
func (x *expiries) Pop() any {
	last := len(*x) - 1
	e := (*x)[last]
	(*x)[last] = nil
	*x = (*x)[:last]
	e.index = -1
	return e
}

func (x *expiries) remove(e *entry) {
	if e.index >= 0 {
		heap.Remove(x, e.index)
	}
}
