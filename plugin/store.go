package plugin

import "time"

// Store says where guests keep what they share. Values can be compared. The zero
// value is this process's memory.
type Store struct {
	// URL is where the store is, "" for this process's memory.
	URL string
}

// SharedData says how a plugin shares data.
type SharedData struct {
	// Lifetime is after what time something that the plugin has written is gone; 0 is
	// never.
	Lifetime time.Duration
}
