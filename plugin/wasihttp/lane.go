package wasihttp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/extproc/extproc/plugin"
	"github.com/extproc/extproc/plugin/host"
)

// laneWidth is how many tasks of a handler run at once: the instances are for
// exchanges first.
const laneWidth = 4

// Tasks that fail are followed by the next ever later.
const (
	backoffBase = time.Second
	backoffMost = time.Minute
)

// lane has the tasks of one handler carried out, in the order in which they came.
type lane struct {
	mod    *Module
	width  int
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	due      []job
	running  int
	failures int         // in a row
	pause    *time.Timer // while nothing is begun after a failure
	closed   bool
	empty    chan struct{} // closed when a closed lane has nothing more to do
}

// job is a task that waits for its turn.
type job struct {
	task
	// wanted says whether it is still to be carried out; nil is yes.
	wanted func() bool
	// done is called once it was carried out or dropped.
	done func()
}

func newLane(m *Module) *lane {
	l := &lane{mod: m, width: laneWidth, empty: make(chan struct{})}
	if most := m.spec.Limits.Instances / 2; most > 0 {
		l.width = min(l.width, most)
	} else if m.spec.Limits.Instances > 0 {
		l.width = 1
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// post adds a job. It returns false when the plugin is being closed, and the job
// is dropped.
func (l *lane) post(j job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.due = append(l.due, j)
	l.spread()
	return true
}

// spread begins what may be begun. The lock is held.
func (l *lane) spread() {
	for range min(len(l.due), l.width-l.running) {
		if l.pause != nil {
			return
		}
		l.running++
		go l.work()
	}
}

// work carries out jobs until none may be begun.
func (l *lane) work() {
	for {
		j, ok := l.take()
		if !ok {
			return
		}
		if j.wanted == nil || j.wanted() {
			l.note(j.handler, l.carryOut(j.task))
		}
		if j.done != nil {
			j.done() // after the failure was noted: what this posts has to wait too
		}
	}
}

func (l *lane) take() (job, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.due) == 0 || l.pause != nil {
		l.running--
		if l.closed && l.running == 0 {
			close(l.empty)
		}
		return job{}, false
	}
	j := l.due[0]
	l.due[0] = job{}
	l.due = l.due[1:]
	return j, true
}

func (l *lane) carryOut(t task) error {
	ctx, cancel := context.WithTimeoutCause(l.ctx, taskLimit, fmt.Errorf("did not return within %v", taskLimit))
	defer cancel()
	return l.mod.run(ctx, t)
}

// note takes note of how a task has ended: failures are logged and counted, and
// have the next one wait.
func (l *lane) note(id handlerID, err error) {
	result := host.TaskDone
	if err != nil {
		result = host.TaskFailed
	}
	l.mod.services.Tasks.Count(l.mod.spec.Name, handlers[id].name, result)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.failures = 0
		return
	}
	if l.closed || errors.Is(err, plugin.ErrPoolClosed) {
		return
	}
	base, most := l.mod.spec.VM.Backoff.Base, l.mod.spec.VM.Backoff.Most
	if base <= 0 {
		base = backoffBase
	}
	if most <= 0 {
		most = max(backoffMost, base)
	}
	next := min(base<<min(l.failures, 16), most)
	l.failures++
	if l.pause == nil {
		l.pause = time.AfterFunc(next, l.resume)
	}
	l.mod.logWarn("a handler failed", "handler", handlers[id].name, "error", err, "next", next)
}

// resume ends a pause.
func (l *lane) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pause = nil
	l.spread()
}

// close lets what is due be carried out until ctx ends, and nothing more come.
// With drop it is not carried out.
func (l *lane) close(ctx context.Context, drop bool) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	if drop || l.pause != nil {
		clear(l.due)
		l.due = nil
	}
	if l.pause != nil {
		l.pause.Stop()
	}
	if l.running == 0 {
		close(l.empty)
	}
	l.mu.Unlock()
	if drop {
		l.cancel()
	}
	select {
	case <-l.empty:
	case <-ctx.Done():
	}
	l.cancel()
}
