package server

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/extproc/extproc/plugin"
)

// errNoRoom: all exchanges together hold as much of bodies as they may, and this
// one can't go on without more.
var errNoRoom = errors.New("the server holds as much of bodies as it may")

// memory is what the service holds of bodies for all exchanges. An exchange that
// holds some takes no more while there is no room, so that the proxy has to wait;
// one that holds none, as most do, goes on.
type memory struct {
	most int64
	used atomic.Int64

	mu   sync.Mutex
	room chan struct{} // closed when there is room again, nil while nobody waits
}

// starvation is how long an exchange waits for room: it may be that all wait for
// each other.
const starvation = 2 * time.Second

func (m *memory) full() bool { return m.used.Load() >= m.most }

// add takes note that an exchange holds more, or less.
func (m *memory) add(n int64) {
	after := m.used.Add(n)
	if n > 0 || after >= m.most || after-n < m.most {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.room != nil {
		close(m.room)
		m.room = nil
	}
}

// wait is readable once there is room.
func (m *memory) wait() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.room == nil {
		m.room = make(chan struct{})
	}
	room := m.room
	if !m.full() { // there is some by now
		close(m.room)
		m.room = nil
	}
	return room
}

// account takes note of what the exchange holds.
func (p *process) account() {
	n := int64(p.chain.Held())
	for i := range p.halves {
		n += int64(len(p.halves[i].gathered))
	}
	if n != p.held {
		p.memory.add(n - p.held)
		p.held = n
	}
}

// room is nil if the exchange may take more, and becomes readable when it may.
func (p *process) room() <-chan struct{} {
	if p.held == 0 || !p.memory.full() || p.chain.Over() {
		p.starved = 0
		return nil
	}
	if p.starved == 0 {
		p.starved = plugin.Now().In(p.limits.starvation)
		p.metrics.starved.Inc()
	}
	return p.memory.wait()
}
