package main

import (
	"fmt"
	"math"
	"regexp"
	"slices"
)

// load is a kind of traffic.
type load struct {
	HTTP2       bool `json:"http2"`
	Concurrency int  `json:"concurrency"`
	// Body is the size of the body that is sent and comes back; 0 is a GET.
	Body int `json:"body,omitempty"`
	// Half is a load of half of what the yardstick can take. Requests come at this Rate,
	// per second, whether or not the last one was answered; else as fast as they are.
	Half bool    `json:"half,omitempty"`
	Rate float64 `json:"offered_per_second,omitempty"`
	// share is how many of the wanted requests are made: their number would make some
	// loads last too long.
	share float64
}

func (l load) String() string {
	text := "HTTP/1.1"
	if l.HTTP2 {
		text = "HTTP/2"
	}
	switch {
	case l.Half && l.Rate > 0:
		return fmt.Sprintf("%s, half of saturation: %.0f requests/s", text, l.Rate)
	case l.Half:
		return text + ", half of saturation"
	}
	text += fmt.Sprintf(", concurrency %d", l.Concurrency)
	switch {
	case l.Body >= 1<<20:
		text += fmt.Sprintf(", %d MB", l.Body>>20)
	case l.Body > 0:
		text += fmt.Sprintf(", %d KB", l.Body>>10)
	}
	return text
}

const (
	// saturating is as many requests under way as keep all processors busy.
	saturating = 64
	// paced is how many connections make a load of a given rate. Each has its turn in
	// some tens of milliseconds: only who takes longer than that delays the next.
	paced = 128
)

// headerLoads are requests without bodies.
func headerLoads() (list []load) {
	for _, http2 := range []bool{false, true} {
		list = append(list,
			load{HTTP2: http2, Concurrency: 1, share: 0.25},
			load{HTTP2: http2, Concurrency: saturating, share: 1},
			load{HTTP2: http2, Concurrency: paced, Half: true, share: 0.5})
	}
	return list
}

// bodyLoads are bodies both ways; that of the largest takes a thousand times longer
// than a GET.
func bodyLoads() []load {
	return []load{
		{HTTP2: true, Concurrency: 8, Body: 1 << 10, share: 0.5},
		{HTTP2: true, Concurrency: 8, Body: 64 << 10, share: 0.1},
		{HTTP2: true, Concurrency: 8, Body: 1 << 20, share: 0.01},
	}
}

// saturates is a load that half of is another.
func (l load) saturates(half load) bool {
	return half.Half && !l.Half && l.HTTP2 == half.HTTP2 && l.Concurrency == saturating && l.Body == half.Body
}

// same says whether two loads differ in nothing but their rates and shares.
func (l load) same(other load) bool {
	l.Rate, l.share, other.Rate, other.share = 0, 0, 0, 0
	return l == other
}

// loadsOf are the loads whose names fit, and those that must be known for them.
func loadsOf(list []load, fit *regexp.Regexp) (wanted []load) {
	for _, l := range list {
		if fit.MatchString(l.String()) || slices.ContainsFunc(list, func(half load) bool {
			return l.saturates(half) && fit.MatchString(half.String())
		}) {
			wanted = append(wanted, l)
		}
	}
	return wanted
}

// pacedBy gives loads of half of saturation their rate: by the yardstick, so that all
// are offered the same.
func pacedBy(results []*result, halves []load) []load {
	for i, half := range halves {
		for _, r := range results {
			if r.Contestant == yardstick && r.Load.saturates(half) {
				halves[i].Rate = math.Round(r.Median.PerSecond / 2)
			}
		}
	}
	return halves
}
