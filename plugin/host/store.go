package host

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What services answer when they can't do what was asked.
var (
	ErrNotFound    = errors.New("not found")
	ErrEmpty       = errors.New("the queue is empty")
	ErrFull        = errors.New("the limit is reached")
	ErrTooMany     = errors.New("there are as many as there may be")
	ErrCasMismatch = errors.New("somebody else has changed the value")
	ErrBadArgument = errors.New("bad argument")
	ErrUnavailable = errors.New("the store is unavailable")
)

// Bounds of what guests may use as names.
const (
	MaxKey       = 1024
	MaxQueueName = 256
)

// Store is where guests keep what they share: in this process, or in a service
// that all replicas of a server use.
type Store struct {
	Data   Data
	Queues Queues
	// Timeout is the longest that a call of one of the above waits; 0 says that they
	// answer at once.
	Timeout time.Duration
	// Close ends the store. Calls answer ErrUnavailable from then on.
	Close func() error
}

// Data is what is kept under keys. It is safe for concurrent use.
type Data interface {
	// Bucket is the data of a space, which is a vm_id or whatever else a
	// configuration names: guests don't choose it. What is written through it is
	// gone after lifetime; 0 is never.
	Bucket(space string, lifetime time.Duration) Bucket
	// Forget says that nobody here uses a space any more. What others may use stays.
	Forget(space string)
}

// Bucket is the data of a space. Calls end when ctx does, and may say
// ErrUnavailable: what was to be written may have been written or not then. Keys
// have up to MaxKey bytes of any kind.
type Bucket interface {
	// Get is a key's value, or ErrNotFound. It is never an old one.
	Get(ctx context.Context, key string) (Entry, error)
	// Put sets a key's value, of which it keeps nothing. The errors are
	// ErrCasMismatch, ErrFull and ErrBadArgument.
	Put(ctx context.Context, key string, value []byte, on Condition) error
	// Remove takes a key and its value away. The errors are ErrNotFound and
	// ErrCasMismatch.
	Remove(ctx context.Context, key string, on Condition) error
	// Add adds to a number, which is kept as decimal digits, and returns the sum. A
	// key without a value counts as 0; one that is no number, or a sum that no
	// int64 holds, is ErrBadArgument.
	Add(ctx context.Context, key string, by int64) (int64, error)
	// Keys lists up to most keys in order, from one on, which need not exist.
	Keys(ctx context.Context, from string, most int) ([]string, error)
}

// Entry is a value and its revision, which is never 0 and never comes again for
// the same key. The value is not to be changed.
type Entry struct {
	Value    []byte
	Revision uint64
}

// Condition is a revision that a key must have to be written, or one of those
// below.
type Condition uint64

const (
	// Always: whatever the revision is, and if there is no value.
	Always Condition = 0
	// Absent: only if there is no value.
	Absent Condition = 1<<64 - 1
)

// Met says whether the condition holds for a revision, which is 0 if there is no
// value.
func (on Condition) Met(revision uint64) bool {
	switch on {
	case Always:
		return true
	case Absent:
		return revision == 0
	}
	return uint64(on) == revision
}

// Queues are named queues of byte strings, over which guests of different
// plugins and spaces talk to each other. They are safe for concurrent use.
type Queues interface {
	// Open is the queue of that name, which has 1 to MaxQueueName bytes. It is made
	// if there is none; ErrTooMany says that there are enough in the space.
	Open(ctx context.Context, space, name string) (Queue, error)
	// Find is a queue that somebody has opened, or ErrNotFound.
	Find(ctx context.Context, space, name string) (Queue, error)
	// Forget says that nobody here uses a space any more. What others may use stays.
	Forget(space string)
}

// Queue is a queue, first in, first out. Calls end when ctx does, and may say
// ErrUnavailable, or ErrNotFound when the queue is gone.
type Queue interface {
	// Enqueue appends an item, of which it keeps nothing. If it can't be told
	// whether the item was taken, the error is ErrUnavailable. ErrFull says that
	// there are too many or too large ones already.
	Enqueue(ctx context.Context, data []byte) error
	// Dequeue takes the oldest item, or says ErrEmpty. It may overlook one that was
	// added a moment ago; subscribers hear of that one.
	Dequeue(ctx context.Context) (Item, error)
	// Subscribe has notify called when there may be items: at once if there are
	// some, and when one is added or comes back. Of all subscribers one hears of it,
	// of those in this process the latest. notify may be called on any goroutine and
	// must not block.
	Subscribe(notify func()) (unsubscribe func())
}

// Item is an item that was taken from a queue. Unless it is acknowledged it comes
// again, at the front: when it is released, or a while after the process that took
// it has gone.
type Item interface {
	// Data is not to be changed.
	Data() []byte
	// Acknowledge says that the item is done with and shall not come again.
	Acknowledge(ctx context.Context) error
	// Release gives the item back, and waits for that as other calls do. It does
	// nothing after Acknowledge, and may be called more than once.
	Release()
}

// CheckKey says what is wrong with a key to be written.
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("%w: a key of %d bytes, expected at most %d", ErrBadArgument, len(key), MaxKey)
	}
	return nil
}

// CheckQueueName says what is wrong with the name of a queue to be opened.
func CheckQueueName(name string) error {
	if name == "" || len(name) > MaxQueueName {
		return fmt.Errorf("%w: a queue's name of %d bytes, expected 1 to %d", ErrBadArgument, len(name), MaxQueueName)
	}
	return nil
}
