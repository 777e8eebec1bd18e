package server

import (
	"cmp"
	"time"

	"github.com/extproc/extproc/plugin"
)

// limits are those of the service for each exchange.
type limits struct {
	plugin.Bounds
	message, longest, idle, starvation time.Duration
	// streams is how many exchanges there may be, 0 for any number.
	streams int64
}

func newLimits(o Options) limits {
	return limits{
		Bounds:     plugin.Bounds{Queued: cmp.Or(o.Queued, 1<<20), Buffered: cmp.Or(o.Buffered, 16<<20)},
		message:    o.MessageTimeout,
		longest:    o.MaxMessageTimeout,
		starvation: starvation,
		streams:    int64(o.Streams),
		idle:       cmp.Or(o.Idle, 10*time.Minute),
	}
}
