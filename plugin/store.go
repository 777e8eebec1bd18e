package plugin

import "time"

// Store says where guests keep what they share. Values can be compared. The zero
// value is this process's memory.
type Store struct {
	// URL is where the store is, without who is to be let in; "" for this process's
	// memory. Of NATS it may be several, with commas between.
	URL string
	// Timeout is the longest that a call waits, 0 the default.
	Timeout time.Duration
	// Prefix begins all names that are used there, so that a server can be shared.
	Prefix string

	Username, Password string
	// Credentials is what a credentials file of NATS holds.
	Credentials string
	TLS         TLS

	// Replicas is how many servers of NATS keep what is stored; 0 is one.
	Replicas int
	// Redelivery is after what time an item comes again whose taker is gone, 0 the
	// default.
	Redelivery time.Duration
	Limits     StoreLimits
}

// StoreLimits bounds what is kept for one vm_id. 0 is the default.
type StoreLimits struct {
	Entries int
	Bytes   uint64 // of keys and values
	Queues  int
	Items   int    // in one queue
	Queued  uint64 // bytes in all queues
}

// What a store has unless its configuration says otherwise.
const (
	DefaultStoreTimeout    = time.Second
	DefaultStorePrefix     = "extproc"
	DefaultStoreRedelivery = 30 * time.Second
)

// SharedData says how a plugin shares data.
type SharedData struct {
	// Lifetime is after what time something that the plugin has written is gone; 0 is
	// never.
	Lifetime time.Duration
}
