package host

import "sync"

// Subscribers are those in this process who want to hear of a queue. The zero
// value has none.
type Subscribers struct {
	mu   sync.Mutex
	list []*subscriber
}

type subscriber struct{ notify func() }

// Add adds one. leave removes it again, and says whether it was there still and
// others are left.
func (s *Subscribers) Add(notify func()) (leave func() bool) {
	own := &subscriber{notify}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, own)
	return func() bool { return s.remove(own) }
}

func (s *Subscribers) remove(own *subscriber) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.list {
		if other == own {
			s.list = append(s.list[:i:i], s.list[i+1:]...)
			return len(s.list) > 0
		}
	}
	return false
}

// Notify tells the latest one, as Envoy does.
func (s *Subscribers) Notify() {
	s.mu.Lock()
	var notify func()
	if n := len(s.list); n > 0 {
		notify = s.list[n-1].notify
	}
	s.mu.Unlock()
	if notify != nil {
		notify()
	}
}
