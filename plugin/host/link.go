package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Link is the way to a store outside of this process. It bounds how long a call
// takes, notices when the store is gone, and has calls fail at once until it is
// back: one guest after the other would wait in vain otherwise.
type Link struct {
	name    string
	timeout time.Duration
	ping    func(context.Context) error
	log     *slog.Logger
	metrics *StoreMetrics

	up     atomic.Bool   // calls are made
	sound  atomic.Bool   // the last call was answered
	spells atomic.Uint64 // how often it has come up
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	spell   context.Context // ends when answers to calls can't come any more
	hangUp  context.CancelFunc
	told    bool      // that it is gone
	said    time.Time // that it refuses a call
	cause   error
	probing bool
	pause   time.Duration // before the next probe
	probes  sync.WaitGroup
}

// The pauses between probes double from the first to the longest.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

// NewLink makes the way to a store, which ping asks whether it is there. It waits
// for the first answer, but not for long. name is for logs and metrics.
func NewLink(name string, timeout time.Duration, ping func(context.Context) error, log *slog.Logger, m *StoreMetrics) *Link {
	l := &Link{name: name, timeout: timeout, ping: ping, log: log, metrics: m}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.spell, l.hangUp = context.WithCancel(l.ctx)
	l.metrics.connected(l, false)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.probe(); err != nil {
		l.lost(err)
	}
	return l
}

// Close has all calls fail from now on. It returns when no probe is under way.
func (l *Link) Close() {
	l.mu.Lock()
	l.cancel()
	l.up.Store(false)
	l.cause = errors.New("it is closed")
	l.mu.Unlock()
	l.probes.Wait()
	l.metrics.closed(l)
}

// answers are errors that show that the store is there.
var answers = []error{ErrNotFound, ErrEmpty, ErrFull, ErrTooMany, ErrCasMismatch, ErrBadArgument, ErrUnavailable}

// Do makes a call. The errors of f that are not this package's say that the store
// is gone; what f returns as ErrUnavailable is the store's own answer.
func (l *Link) Do(ctx context.Context, operation string, f func(context.Context) error) error {
	if !l.up.Load() {
		l.metrics.call(l.name, operation, ErrUnavailable, 0)
		return l.unavailable()
	}
	began, spells, spell := time.Now(), l.spells.Load(), l.current()
	bounded, cancel := context.WithTimeout(ctx, l.timeout)
	attached := context.AfterFunc(spell, cancel)
	err := f(bounded)
	timedOut := errors.Is(bounded.Err(), context.DeadlineExceeded)
	attached()
	cancel()
	switch {
	case err == nil || isAnswer(err):
		if !l.sound.Load() {
			l.found()
		}
		if errors.Is(err, ErrUnavailable) {
			l.complain(operation, err)
		}
	case ctx.Err() != nil: // whoever called has gone: that says nothing of the store
		err = fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	default:
		if timedOut {
			err = fmt.Errorf("no answer within %v", l.timeout)
		}
		l.mu.Lock()
		if l.spells.Load() == spells { // else it has been found again since
			l.lost(err)
		}
		l.mu.Unlock()
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	l.metrics.call(l.name, operation, err, time.Since(began))
	return err
}

func isAnswer(err error) bool {
	for _, answer := range answers {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// current is the context of the calls that are made now.
func (l *Link) current() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spell
}

// Disconnected says that there will be no answers to what was asked.
func (l *Link) Disconnected(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hangUp()
	l.spell, l.hangUp = context.WithCancel(l.ctx)
	l.lost(err)
}

func (l *Link) unavailable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Errorf("%w: %w", ErrUnavailable, l.cause)
}

// complaints are how far apart it is said that a store refuses calls.
const complaints = time.Minute

func (l *Link) complain(operation string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.said) < complaints {
		return
	}
	l.said = time.Now()
	l.log.Warn("the store refuses a call", "store", l.name, "operation", operation, "error", err)
}

// found takes note that a call was answered.
func (l *Link) found() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sound.Load() || !l.up.Load() {
		return
	}
	l.sound.Store(true)
	l.pause = 0
	if l.told {
		l.told = false
		l.log.Info("the store is back", "store", l.name)
	}
}

// lost has calls fail until a probe is answered. The lock is held.
func (l *Link) lost(err error) {
	if l.ctx.Err() != nil {
		return
	}
	l.up.Store(false)
	l.sound.Store(false)
	l.cause = err
	l.metrics.connected(l, false)
	if !l.told {
		l.told = true
		l.log.Warn("the store is not to be reached: calls fail until it is", "store", l.name, "error", err)
	}
	if !l.probing {
		l.probing = true
		l.probes.Go(l.search)
	}
}

// search probes until the store answers. The pauses go on growing while it is
// there and gone by turns.
func (l *Link) search() {
	for {
		l.mu.Lock()
		pause := l.pause
		l.pause = min(max(2*l.pause, firstPause), longestPause)
		l.mu.Unlock()
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		}
		l.mu.Lock()
		err := l.probe()
		if err == nil {
			l.probing = false
		} else {
			l.cause = err
		}
		l.mu.Unlock()
		if err == nil {
			return
		}
	}
}

// probe asks the store whether it is there, and lets calls through if it is. The
// lock is held, but for the question.
func (l *Link) probe() error {
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	err := l.ping(ctx)
	cancel()
	l.mu.Lock()
	if err == nil && l.ctx.Err() == nil {
		l.spells.Add(1)
		l.up.Store(true)
		l.metrics.connected(l, true)
	}
	return err
}
