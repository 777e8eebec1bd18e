package rpc

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Method begins a call on a stream.
type Method func(*Stream) Call

// Call is the server's side of one call. It goes on in turns, so that one that waits
// for its client holds no goroutine.
type Call interface {
	// Turn goes on with the call until it is over, and err is its status: nil is OK,
	// an error of package status is itself, one of a context has its code, any other is
	// UNKNOWN. Or until it can't go on without its client. It is called again when
	// there is something to Poll and when Wake was called. A turn that is going to wait
	// for anything else calls Detach before.
	Turn() (over bool, err error)
}

// Handler is a call in a single turn, which may wait in Recv and elsewhere.
type Handler func(*Stream) error

// Method makes a method of a handler.
func (h Handler) Method() Method { return func(s *Stream) Call { return handling{h, s} } }

type handling struct {
	handler Handler
	stream  *Stream
}

func (h handling) Turn() (bool, error) {
	h.stream.Detach()
	return true, h.handler(h.stream)
}

// job is what a goroutine is needed for.
type job interface{ do() }

// workers are goroutines that have nothing to do, with stacks that have grown to what
// calls need: it costs more to grow a new one than most calls do.
type workers struct {
	jobs chan job
	idle atomic.Int32
	over chan struct{} // closed when none are to be kept any more
}

// maxIdle is how many are kept.
const maxIdle = 64

// do does a job on another goroutine.
func (w *workers) do(j job) {
	select {
	case w.jobs <- j: // somebody has waited for it
	default:
		go w.work(j)
	}
}

func (w *workers) work(j job) {
	for {
		j.do()
		if w.idle.Add(1) > maxIdle {
			w.idle.Add(-1)
			return
		}
		select {
		case j = <-w.jobs:
			w.idle.Add(-1)
		case <-w.over:
			w.idle.Add(-1)
			return
		}
	}
}

// reading is the role of the goroutine that reads a connection. It runs calls, too,
// in turns. While one of them waits, or takes long, the role goes to another
// goroutine; the one that had it sees that when it comes back.
//
// All of it is of conn.mu.
type reading struct {
	role    uint64 // how often it has changed hands
	waiting bool   // for the client: the role stays where it is
	due     []*Stream
	pace
	guard
}

// pace is how long turns take. Quick ones run one after the other where they are
// read; others run side by side, each on a goroutine of its own.
type pace struct {
	average time.Duration
	turns   int
	aside   bool
}

const (
	// quick is how long a turn may take on average to be run by the reader: starting
	// another goroutine costs up to a tenth of it.
	quick = 100 * time.Microsecond
	// sampled is of how many turns of the reader one is timed.
	sampled = 8
)

// timed says whether a turn is to be timed.
func (p *pace) timed() bool {
	p.turns++
	return p.aside || p.turns%sampled == 0
}

// took takes note of a turn. One in which the goroutine had to wait for a processor
// does not count for more than a slow one.
func (p *pace) took(d time.Duration) {
	p.average += (min(d, 4*quick) - p.average) / 8
	switch {
	case p.average > quick:
		p.aside = true
	case p.average < quick/2:
		p.aside = false
	}
}

// guard looks after the reader while there is something to do: one that is at the
// same turn, or write, for long is relieved of its role.
type guard struct {
	timer *time.Timer
	armed bool
	beats uint64 // moves on with all that the reader does
	seen  uint64
	alert int // how many looks more are close to each other
}

// A turn that is twice as long as the pause between two looks is noticed. A look costs
// as much as an exchange, since Go wakes a thread for it. So they are close to each
// other only for ten seconds after somebody had to be relieved.
const (
	glance      = 16 * time.Millisecond
	alertGlance = 2 * time.Millisecond
	alertLooks  = int(10 * time.Second / alertGlance)
)

// pause is how long until the next look.
func (g *guard) pause() time.Duration {
	if g.alert > 0 {
		return alertGlance
	}
	return glance
}

// arm has the guard look from now on.
func (c *conn) arm() {
	if c.armed || c.closed {
		return
	}
	c.armed = true
	if c.timer == nil {
		c.timer = time.AfterFunc(c.pause(), c.look)
	} else {
		c.timer.Reset(c.pause())
	}
}

func (c *conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.beats != c.seen:
		c.alert = max(c.alert-1, 0)
	case c.waiting || c.closed:
		c.armed = false
		return
	default:
		c.handOver(c.role)
		c.alert = alertLooks
	}
	c.seen = c.beats
	c.timer.Reset(c.pause())
}

// handOver gives the role of the reader to another goroutine, if it still is what
// its holder took it for.
func (c *conn) handOver(role uint64) {
	if role == c.role && !c.closed {
		c.role++
		c.beats++
		c.srv.do(reader{c, c.role})
	}
}

// reader is a goroutine that reads a connection, as long as the role is its.
type reader struct {
	*conn
	role uint64
}

// do implements job.
func (r reader) do() {
	if err := r.read(); err != nil {
		r.over(err)
	}
}

// read reads until the connection ends, which is the error, or the role is lost.
// Between two frames it runs the calls that have become due. It writes what they
// answered before it waits, so that one write takes many answers.
func (r reader) read() error {
	c, role := r.conn, r.role
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.runDue(role) {
		if !c.whole() {
			c.flush() // which lets go of the lock
			if c.role != role {
				break
			}
		}
		c.waiting = true
		c.mu.Unlock()
		f, err := c.readFrame()
		c.mu.Lock()
		c.waiting = false
		c.beats++
		c.arm()
		if err = c.takeRead(f, err); err != nil {
			return err
		}
	}
	return nil
}

// whole says whether a frame is there to be read without waiting.
func (c *conn) whole() bool {
	const header = 9 // RFC 9113, 4.1
	if c.source.Buffered() < header {
		return false
	}
	b, _ := c.source.Peek(header) // they are there
	return c.source.Buffered() >= header+(int(b[0])<<16|int(b[1])<<8|int(b[2]))
}

// runDue runs the calls that are due. False says that somebody else is the reader
// now.
func (c *conn) runDue(role uint64) bool {
	for c.role == role && len(c.due) > 0 {
		if c.aside {
			c.spread()
			break
		}
		s := c.due[0]
		c.due = slices.Delete(c.due, 0, 1)
		s.role = role
		s.turns(c.timed())
		c.beats++
	}
	return c.role == role
}

// spread has the calls that are due run elsewhere.
func (c *conn) spread() {
	for _, s := range c.due {
		c.srv.do(s)
	}
	clear(c.due)
	c.due = c.due[:0]
}

// do implements job: the turns that are due.
func (s *Stream) do() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.turns(true)
}

// turns runs turns until there is nothing to have another for. The lock is held, but
// not meanwhile.
func (s *Stream) turns(timed bool) {
	c := s.c
	for {
		s.news = false
		var began time.Time
		if timed {
			began = time.Now()
		}
		c.mu.Unlock()
		over, err := s.turn()
		c.mu.Lock()
		if timed && !s.detached {
			c.took(time.Since(began))
		}
		switch {
		case over:
			c.serving--
			if !s.gone {
				c.finish(s, err)
			}
			c.changed.Broadcast()
			return
		case !s.news:
			s.turning, s.role, s.detached = false, 0, false
			return
		}
	}
}

// turn runs one turn. A stream that is over is never run again.
func (s *Stream) turn() (over bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.c.srv.opts.Log.Error("a call panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			over, err = true, status.Error(codes.Internal, "internal error")
		}
	}()
	if s.call == nil {
		s.call = s.method(s)
	}
	return s.call.Turn()
}

// rouse makes a turn of the call due, unless it has one: then there is another after
// it. Who is not the reader calls spread after it.
func (s *Stream) rouse() {
	if s.wake != nil {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	s.news = true
	if s.started && !s.turning {
		s.turning = true
		s.c.due = append(s.c.due, s)
	}
}

// Wake has the call take a turn.
func (s *Stream) Wake() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.rouse()
	s.c.spread()
}

// Detach is called in a turn that is going to wait: others of the connection go on
// meanwhile.
func (s *Stream) Detach() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.detach()
}

func (s *Stream) detach() {
	if s.role != 0 {
		s.c.handOver(s.role)
		s.role = 0
	}
	s.detached = true
}
