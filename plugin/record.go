package plugin

import "time"

// Logger is a module that may want to hear of exchanges after they have ended.
type Logger interface {
	// Logs says whether it does.
	Logs() bool
	// Log is told of an exchange. It doesn't wait for the guest.
	Log(*Record)
}

// Outcome is how an exchange has ended.
type Outcome uint8

// The outcomes.
const (
	// Completed: the response went out as a whole, as far as the server knows.
	Completed Outcome = iota
	// Answered: a plugin has answered in the upstream's place.
	Answered
	// Rejected: a plugin has failed, and the exchange was refused.
	Rejected
	// Aborted: the client, the upstream or the proxy broke off.
	Aborted
)

// Record is what has become of an exchange. Nobody changes it.
type Record struct {
	// Exchange is as it ended: what arrived, what went on, and what the proxy and
	// plugins have told.
	Exchange Exchange
	Began    time.Time
	Took     time.Duration
	Outcome  Outcome
	// Messages are as they went on, by direction; nil if none did.
	Messages [2]*Sent
}

// Sent is a message as it went on.
type Sent struct {
	Headers, Trailers Headers
	// Bytes of the body, if the server has seen it.
	Bytes     uint64
	BytesSeen bool
}

// Sent is what has gone on of a message. bodySeen says whether the proxy showed
// the body.
func (m *Message) Sent(bodySeen bool) *Sent {
	s := &Sent{Headers: m.Original}
	if m.Released {
		s.Headers = m.Headers
	}
	body := &m.In
	if m.Released && (m.Plan == Replaced || !m.Arrived) {
		body, bodySeen = &m.Out, true
	}
	if bodySeen || m.NoBody {
		s.Bytes, s.BytesSeen = body.Total(), true
	}
	if body.Ended {
		s.Trailers = body.Trailers
	}
	return s
}

// Size is about how many bytes a record takes.
func (r *Record) Size() int {
	n := 1 << 10
	for _, s := range r.Messages {
		if s == nil {
			continue
		}
		for _, list := range []Headers{s.Headers, s.Trailers} {
			for _, f := range list {
				n += len(f.Name) + len(f.Value) + entrySize
			}
		}
	}
	return n
}
