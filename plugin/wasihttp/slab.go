package wasihttp

// slab makes things of one kind and reuses those given back, so that exchanges
// seldom allocate and long ones don't grow.
type slab[T any] struct {
	free []*T
	live int // taken and not given back
}

func (s *slab[T]) take() *T {
	s.live++
	if n := len(s.free); n > 0 {
		v := s.free[n-1]
		s.free = s.free[:n-1]
		return v
	}
	return new(T)
}

const slabKeeps = 64

func (s *slab[T]) give(v *T) {
	s.live--
	if len(s.free) < slabKeeps {
		var zero T
		*v = zero
		s.free = append(s.free, v)
	}
}
