package host

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

// DataLimits bounds the data of one space.
type DataLimits struct {
	Bytes   int // of keys and values, and entryCost for each of them
	Entries int
}

// DefaultDataLimits are in force unless others are given.
var DefaultDataLimits = DataLimits{Bytes: 64 << 20, Entries: 100_000}

func (l DataLimits) orDefault() DataLimits {
	return DataLimits{Bytes: cmp.Or(l.Bytes, DefaultDataLimits.Bytes), Entries: cmp.Or(l.Entries, DefaultDataLimits.Entries)}
}

// entryCost is what an entry takes beside its key and value, about.
const entryCost = 128

// MemoryData is data in this process. It lives as long as the process, so that a
// guest that is reloaded finds what it left. When a space is full, what would
// expire soonest makes room; what never expires stays.
type MemoryData struct {
	now func() time.Time

	mu       sync.RWMutex
	limits   DataLimits
	spaces   map[string]*space
	revision uint64
	expired  uint64
	evicted  uint64
}

// space is the data of one space.
type space struct {
	entries map[string]*entry
	expiry  expiries
	bytes   int
	passing int // of bytes, those that will expire
}

type entry struct {
	Entry
	key     string
	expires time.Time // zero: never
	index   int       // in expiries, -1 if it never expires
}

// NewMemoryData makes an empty store. Limits that are 0 are the default ones.
func NewMemoryData(limits DataLimits) *MemoryData {
	m := &MemoryData{now: time.Now, spaces: map[string]*space{}}
	m.limit(limits)
	return m
}

// limit changes the limits. What is there already stays.
func (m *MemoryData) limit(limits DataLimits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limits = limits.orDefault()
}

// Bucket implements Data.
func (m *MemoryData) Bucket(space string, lifetime time.Duration) Bucket {
	return &memoryBucket{m, space, lifetime}
}

// Forget implements Data.
func (m *MemoryData) Forget(space string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.spaces, space)
}

// dataCount is what there is, and what has been.
type dataCount struct {
	entries, bytes   int
	expired, evicted uint64
}

func (m *MemoryData) count() dataCount {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := dataCount{expired: m.expired, evicted: m.evicted}
	for _, s := range m.spaces {
		c.entries += len(s.entries)
		c.bytes += s.bytes
	}
	return c
}

type memoryBucket struct {
	*MemoryData
	name     string
	lifetime time.Duration
}

// Get implements Bucket.
func (b *memoryBucket) Get(_ context.Context, key string) (Entry, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if s := b.spaces[b.name]; s != nil {
		if e := s.entries[key]; e != nil && !e.over(b.now) {
			return e.Entry, nil
		}
	}
	return Entry{}, ErrNotFound
}

// Put implements Bucket.
func (b *memoryBucket) Put(_ context.Context, key string, value []byte, on Condition) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	fresh := append(make([]byte, 0, len(value)), value...)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.put(key, fresh, on)
}

func (b *memoryBucket) put(key string, value []byte, on Condition) error {
	s := b.open()
	e := s.entries[key]
	var revision uint64
	if e != nil {
		revision = e.Revision
	}
	if !on.Met(revision) {
		return ErrCasMismatch
	}
	if !b.room(s, e, len(key), len(value)) {
		return ErrFull
	}
	if e != nil {
		s.remove(e)
	} else {
		e = &entry{key: key, index: -1}
	}
	b.revision++
	e.Entry, e.expires = Entry{value, b.revision}, time.Time{}
	if b.lifetime > 0 {
		e.expires = b.now().Add(b.lifetime)
	}
	s.add(e)
	return nil
}

// room makes room for a value, in place of that of old if there is one.
func (b *memoryBucket) room(s *space, old *entry, key, value int) bool {
	size, more := key+value+entryCost, 1
	if old != nil {
		size, more = value-len(old.Value), 0
	}
	bytes, entries := s.bytes+size-b.limits.Bytes, len(s.entries)+more-b.limits.Entries // too many
	// The limits may have been higher.
	if size <= 0 {
		bytes = 0
	}
	if more == 0 {
		entries = 0
	}
	passing, mortal := s.passing, len(s.expiry)
	if old != nil && old.index >= 0 { // it doesn't make room for itself
		passing, mortal = passing-old.size(), mortal-1
	}
	if bytes > passing || entries > mortal {
		return false
	}
	for bytes > 0 || entries > 0 {
		first := s.expiry[0]
		if first == old {
			first = s.expiry.second()
		}
		bytes, entries = bytes-first.size(), entries-1
		s.remove(first)
		b.evicted++
	}
	return true
}

// Remove implements Bucket.
func (b *memoryBucket) Remove(_ context.Context, key string, on Condition) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.open()
	e := s.entries[key]
	switch {
	case e == nil:
		return ErrNotFound
	case !on.Met(e.Revision):
		return ErrCasMismatch
	}
	s.remove(e)
	return nil
}

// Add implements Bucket.
func (b *memoryBucket) Add(_ context.Context, key string, by int64) (int64, error) {
	if err := CheckKey(key); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var now []byte
	if e := b.open().entries[key]; e != nil {
		now = e.Value
	}
	sum, err := Sum(now, by)
	if err != nil {
		return 0, err
	}
	if err := b.put(key, strconv.AppendInt(nil, sum, 10), Always); err != nil {
		return 0, err
	}
	return sum, nil
}

// Sum adds to a number as Bucket.Add keeps it; nil is 0.
func Sum(value []byte, by int64) (int64, error) {
	if value == nil {
		return by, nil
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || by > 0 && n+by < n || by < 0 && n+by > n || strconv.FormatInt(n, 10) != string(value) {
		return 0, ErrBadArgument
	}
	return n + by, nil
}

// Keys implements Bucket. Others don't wait until the keys are in order.
func (b *memoryBucket) Keys(_ context.Context, from string, most int) ([]string, error) {
	keys := b.keys(from)
	slices.Sort(keys)
	return keys[:min(len(keys), most)], nil
}

func (b *memoryBucket) keys(from string) []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.spaces[b.name]
	if s == nil {
		return nil
	}
	var keys []string
	for key, e := range s.entries {
		if key >= from && !e.over(b.now) {
			keys = append(keys, key)
		}
	}
	return keys
}

// open is the space, without what is over.
func (b *memoryBucket) open() *space {
	s := b.spaces[b.name]
	if s == nil {
		s = &space{entries: map[string]*entry{}}
		b.spaces[b.name] = s
	}
	for len(s.expiry) > 0 && s.expiry[0].over(b.now) {
		s.remove(s.expiry[0])
		b.expired++
	}
	return s
}

func (s *space) add(e *entry) {
	s.entries[e.key] = e
	s.bytes += e.size()
	if !e.expires.IsZero() {
		s.passing += e.size()
		heap.Push(&s.expiry, e)
	}
}

func (s *space) remove(e *entry) {
	delete(s.entries, e.key)
	s.bytes -= e.size()
	if e.index >= 0 {
		s.passing -= e.size()
		heap.Remove(&s.expiry, e.index)
	}
}

func (e *entry) size() int { return len(e.key) + len(e.Value) + entryCost }

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

// second is the second to expire, of at least two.
func (x expiries) second() *entry {
	if len(x) > 2 && x.Less(2, 1) {
		return x[2]
	}
	return x[1]
}
