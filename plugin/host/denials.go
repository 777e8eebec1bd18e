package host

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// denials tells the operator what guests were denied, with a pause between two
// of a kind: a guest may ask as often as it likes.
type denials struct {
	log  *slog.Logger // nil: nobody listens
	mu   sync.Mutex
	last map[denial]time.Time
}

type denial struct {
	cluster string
	full    bool
}

const denialPause = 10 * time.Second

// report logs why a call to a cluster was denied.
func (d *denials) report(cluster string, err error) {
	if d.log == nil || errors.Is(err, ErrClosed) {
		return
	}
	kind := denial{cluster, errors.Is(err, ErrFull)}
	if errors.Is(err, ErrUnknownCluster) {
		kind.cluster = "" // the guest made it up: there may be any number
	}
	d.mu.Lock()
	now := time.Now()
	last, told := d.last[kind]
	silent := told && now.Sub(last) < denialPause
	if !silent {
		if d.last == nil {
			d.last = map[denial]time.Time{}
		}
		d.last[kind] = now
	}
	d.mu.Unlock()
	if !silent {
		d.log.Warn("a callout was denied", "callout", kind.cluster, "error", err)
	}
}
