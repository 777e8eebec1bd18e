package server

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/extproc/extproc/plugin"
)

var errTest = errors.Join(plugin.ErrTrap, errors.New("unreachable executed"))

// ready is a wait that is over at once.
func ready() *plugin.Bell {
	b := plugin.NewBell()
	b.Ring()
	return b
}

// ticks are what a guest waits for between two writes.
var ticks = make(chan struct{}, 3)

func (s *script) tick() {
	for {
		select {
		case <-ticks:
			return
		default:
			s.sleep(5 * time.Millisecond)
		}
	}
}

// lateWork counts what guests have done after their exchange.
var lateWork atomic.Int64

// scripts are the guests by name; a request names its own in x-do.
var scripts = map[string]func(*script) error{
	"attributes": readsAttributes,
	"metadata":   setsMetadata,
	"details":    answersInDetail,
	"reroute":    reroutes,
	"pass": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"headers": func(s *script) error {
		q := &s.ex.Request
		release(q, with(replace(q.Original, "x-set", "new", "accept", "a/b"), "x-many", "1", "x-many", "2"), plugin.Untouched)
		r := s.upstream()
		release(r, with(replace(r.Original, ":status", "201"), "set-cookie", "a=1", "set-cookie", "b=2"), plugin.Untouched)
		return nil
	},
	"path": func(s *script) error {
		q := &s.ex.Request
		release(q, replace(q.Original, ":path", "/headers/new", ":method", "PUT", ":authority", "other.test"), plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"stream-request": func(s *script) error {
		q := &s.ex.Request
		release(q, q.Original, plugin.Replaced)
		s.transform(q)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"stream-response": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Replaced)
		s.transform(r)
		return nil
	},
	"stream-both": func(s *script) error {
		q, r := &s.ex.Request, &s.ex.Response
		release(q, q.Original, plugin.Replaced)
		q.WantBody = true
		for !q.Out.Ended || !r.Out.Ended {
			if r.Arrived && !r.Released {
				r.WantBody = true
				release(r, r.Original, plugin.Replaced)
			}
			for _, m := range []*plugin.Message{q, r} {
				for m.Out.Len() < 256<<10 && m.In.Len() > 0 {
					m.Out.Push(m.In.Pop())
				}
				if m.Released && m.In.Ended && m.In.Len() == 0 {
					end(m, m.In.Trailers)
				}
			}
			if !q.Out.Ended || !r.Out.Ended {
				s.yield(nil)
			}
		}
		return nil
	},
	"read-request": func(s *script) error {
		q := &s.ex.Request
		body := s.whole(q)
		release(q, with(q.Original, "x-length", strings.Repeat("i", len(body))), plugin.Replaced)
		s.write(q, []byte(capitals(body)))
		end(q, q.In.Trailers)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"read-response": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		body := s.whole(r)
		release(r, replace(with(r.Original, "x-read", "1"), ":status", "202"), plugin.Replaced)
		s.write(r, []byte(capitals(body)+"!"))
		end(r, r.In.Trailers)
		return nil
	},
	"check-response": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		if strings.Contains(s.whole(r), "secret") {
			release(r, replace(r.Original, ":status", "403"), plugin.Replaced)
			end(r, nil)
			return nil
		}
		return errTest
	},
	"new-bodies": func(s *script) error {
		q := &s.ex.Request
		release(q, q.Original, plugin.Replaced)
		s.write(q, []byte("from the guest"))
		end(q, nil)
		r := s.upstream()
		release(r, r.Original, plugin.Replaced)
		s.write(r, []byte("from the guest too"))
		end(r, nil)
		return nil
	},
	"ask-first": func(s *script) error {
		q := &s.ex.Request
		q.WantBody = true
		s.until(func() bool { return q.In.Ended })
		release(q, q.Original, plugin.Replaced)
		r := s.upstream()
		s.write(q, []byte("late"))
		end(q, nil)
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"no-bodies": func(s *script) error {
		q := &s.ex.Request
		release(q, q.Original, plugin.Replaced)
		end(q, nil)
		r := s.upstream()
		release(r, r.Original, plugin.Replaced)
		end(r, nil)
		return nil
	},
	"cut-request": func(s *script) error {
		q := &s.ex.Request
		release(q, q.Original, plugin.Replaced)
		for chunk := range s.chunks(q) {
			s.write(q, chunk[:1])
			break
		}
		end(q, nil)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"own-request": func(s *script) error {
		q := &s.ex.Request
		var own plugin.Headers
		for _, f := range q.Original {
			if f.Name[0] == ':' {
				own = append(own, f)
			}
		}
		release(q, with(own, "x-own", "1"), plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"local": func(s *script) error {
		s.respond("403", "forbidden", "content-type", "text/x", "set-cookie", "a=1", "set-cookie", "b=2", "content-length", "3")
		return nil
	},
	"teapot": func(s *script) error {
		s.respond("418", "")
		return nil
	},
	"local-large": func(s *script) error {
		s.respond("200", strings.Repeat("x", 3<<20))
		return nil
	},
	"local-late": func(s *script) error {
		s.respond("403", s.whole(&s.ex.Request))
		return nil
	},
	"local-echo": func(s *script) error {
		q, r := &s.ex.Request, &s.ex.Response
		release(r, with(nil, ":status", "200"), plugin.Replaced)
		for chunk := range s.chunks(q) {
			s.write(r, chunk)
		}
		end(r, nil)
		return nil
	},
	"local-events": func(s *script) error {
		r := &s.ex.Response
		release(r, with(nil, ":status", "200", "content-type", "text/event-stream", "content-length", "3", "x-bad", "a\nb"), plugin.Replaced)
		for i := range 3 {
			s.write(r, fmt.Appendf(nil, "data: %d", i))
			s.until(func() bool { return r.Out.Len() == 0 })
		}
		end(r, nil)
		return nil
	},
	"local-ticks": func(s *script) error {
		r := &s.ex.Response
		release(r, with(nil, ":status", "200"), plugin.Replaced)
		for range cap(ticks) {
			s.tick()
			s.write(r, []byte("tick\n"))
		}
		s.tick()
		s.write(r, []byte("end"))
		end(r, nil)
		return nil
	},
	"local-long": func(s *script) error {
		r := &s.ex.Response
		release(r, with(nil, ":status", "200"), plugin.Replaced)
		value, _ := s.ex.Request.Original.Get("x-writes")
		n, _ := strconv.Atoi(string(value))
		for range n {
			s.write(r, make([]byte, 64<<10))
			s.yield(ready())
		}
		end(r, nil)
		return nil
	},
	"local-trailers": func(s *script) error {
		r := &s.ex.Response
		release(r, with(nil, ":status", "200", "trailer", "x-sum"), plugin.Replaced)
		s.write(r, []byte("abc"))
		end(r, with(nil, "x-sum", "1", ":no", "2"))
		return nil
	},
	"local-breaks": func(s *script) error {
		r := &s.ex.Response
		release(r, with(nil, ":status", "200"), plugin.Replaced)
		s.write(r, []byte("abc"))
		s.until(func() bool { return r.Out.Len() == 0 })
		return errTest
	},
	"local-reads-late": func(s *script) error {
		r := &s.ex.Response
		release(r, with(nil, ":status", "200"), plugin.Replaced)
		s.write(r, []byte("abc"))
		s.until(func() bool { return r.Out.Len() == 0 })
		s.write(r, []byte(s.whole(&s.ex.Request)))
		end(r, nil)
		return nil
	},
	"local-after-send": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		s.sleep(30 * time.Millisecond)
		s.respond("403", "too late")
		return nil
	},
	"callout": callsOut(20 * time.Millisecond),
	"callout-slow": func(s *script) error {
		pause := 300 * time.Millisecond
		if value, ok := s.ex.Request.Original.Get("x-pause"); ok {
			pause, _ = time.ParseDuration(string(value))
		}
		return callsOut(pause)(s)
	},
	"callout-long": func(s *script) error {
		s.sleep(time.Minute)
		return errTest
	},
	"callout-reading": func(s *script) error {
		s.ex.Request.WantBody = true
		s.sleep(200 * time.Millisecond)
		s.whole(&s.ex.Request)
		return errTest
	},
	"trap": func(*script) error { return errTest },
	"trap-reading": func(s *script) error {
		for range s.chunks(&s.ex.Request) {
			break
		}
		return errTest
	},
	"trap-in-response": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		s.upstream()
		return errTest
	},
	"trap-in-body": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Replaced)
		for chunk := range s.chunks(r) {
			s.write(r, chunk)
			s.until(func() bool { return r.Out.Len() == 0 })
			return errTest
		}
		return nil
	},
	"trap-after-all": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return errTest
	},
	"late-work": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		s.sleep(30 * time.Millisecond)
		lateWork.Add(1)
		return nil
	},
	"late-work-local": func(s *script) error {
		s.respond("403", "no")
		s.sleep(30 * time.Millisecond)
		lateWork.Add(1)
		return nil
	},
	"many": func(s *script) error {
		q := &s.ex.Request
		h := replace(q.Original)
		h = slices.DeleteFunc(h, func(f plugin.Field) bool { return strings.HasPrefix(f.Name, "x-old-") })
		for i := range 70 {
			h = with(h, fmt.Sprintf("x-new-%d", i), "1")
		}
		release(q, h, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"undecided": func(*script) error { return nil },
	"unfinished": func(s *script) error {
		release(&s.ex.Request, s.ex.Request.Original, plugin.Replaced)
		return nil
	},
	"hold": func(s *script) error {
		for {
			s.yield(nil)
		}
	},
	"hoard": func(s *script) error {
		s.ex.Request.WantBody = true
		for {
			s.yield(nil)
		}
	},
	"too-many": func(s *script) error {
		q := &s.ex.Request
		h := q.Original
		for i := range 120 {
			h = with(h, "x-"+strings.Repeat("a", i+1), "1")
		}
		release(q, h, plugin.Untouched)
		r := s.upstream()
		release(r, r.Original, plugin.Untouched)
		return nil
	},
	"illegal": func(s *script) error {
		q := &s.ex.Request
		release(q, with(replace(q.Original, "content-length", "3", "transfer-encoding", "x", "host", "evil"),
			"x-bad", "a\nb", "", "x", "x bad", "y", ":evil", "z", "x-good", "1"), plugin.Untouched)
		r := s.upstream()
		release(r, with(r.Original, "x-bad", "a\x00b", ":path", "/"), plugin.Untouched)
		return nil
	},
}

// callsOut waits for something else before it lets each message go on.
func callsOut(pause time.Duration) func(*script) error {
	return func(s *script) error {
		s.sleep(pause)
		q := &s.ex.Request
		release(q, with(q.Original, "x-called", "1"), plugin.Untouched)
		r := s.upstream()
		s.sleep(pause)
		release(r, with(r.Original, "x-called", "2"), plugin.Untouched)
		return nil
	}
}

// rouses waits for the proxy alone, and is woken all the same. It is none of the scripts,
// as it answers at any time, which no model of an exchange foresees.
func rouses(s *script) error {
	soon := func() *plugin.Bell {
		b := plugin.NewBell()
		time.AfterFunc(20*time.Millisecond, b.Ring)
		return b
	}
	q, r := &s.ex.Request, &s.ex.Response
	s.idle(soon())
	release(q, with(q.Original, "x-woken", "1"), plugin.Untouched)
	for s.idle(ready()); !r.Arrived; {
		s.idle(plugin.NewBell())
	}
	s.idle(soon())
	release(r, with(r.Original, "x-woken", "2"), plugin.Untouched)
	return nil
}
