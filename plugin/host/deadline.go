package host

import (
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/extproc/extproc/plugin"
)

// Timeouts are those of a call's parts; 0 is none.
type Timeouts struct {
	// Connect is for a connection, TLS included.
	Connect time.Duration
	// FirstByte is from then on, or from the last piece of the request's body that
	// was taken, until the response begins.
	FirstByte time.Duration
	// BetweenBytes is for each further piece of the response.
	BetweenBytes time.Duration
}

// defaultTimeouts are in force where neither guest nor configuration say anything:
// Envoy's for a connection and an idle stream, and what a whole call may take.
var defaultTimeouts = Timeouts{Connect: 5 * time.Second, FirstByte: time.Minute, BetweenBytes: 5 * time.Minute}

// timeouts are those that hold for a call: the shorter of the guest's and the
// configured ones.
func timeouts(guest Timeouts, c *plugin.Cluster) Timeouts {
	least := Timeouts{shortest(guest.Connect, c.ConnectTimeout), shortest(guest.FirstByte, c.FirstByteTimeout), shortest(guest.BetweenBytes, c.BetweenBytesTimeout)}
	for _, t := range []struct {
		to        *time.Duration
		otherwise time.Duration
	}{
		{&least.Connect, defaultTimeouts.Connect}, {&least.FirstByte, defaultTimeouts.FirstByte}, {&least.BetweenBytes, defaultTimeouts.BetweenBytes},
	} {
		if *t.to == 0 {
			*t.to = t.otherwise
		}
	}
	return least
}

// shortest is the shortest of the durations that are not 0; 0 if none is.
func shortest(all ...time.Duration) time.Duration {
	var least time.Duration
	for _, d := range all {
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

// deadline cancels a call unless it is paused in time. The zero value never does.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	after time.Duration
	ended bool
}

func (c *call) deadline(d time.Duration, code string) *deadline {
	if d <= 0 {
		return &deadline{}
	}
	return &deadline{after: d, timer: time.AfterFunc(d, func() { c.cancel(&Error{Code: code}) })}
}

// pause stops the time until it is restarted.
func (d *deadline) pause() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// restart begins the time anew.
func (d *deadline) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.ended {
		d.timer.Reset(d.after)
	}
}

// end is pause for good.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	d.pause()
}

// roundTrip sends a request and waits for the headers of the response. first is
// the deadline for them; nil is none.
func (c *call) roundTrip(transport *http.Transport, req *http.Request, connect, first *deadline) (*http.Response, error) {
	first.pause()
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		connect.end()
		first.restart()
	}}
	resp, err := transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(c.ctx, trace)))
	connect.end()
	first.end()
	return resp, err
}
