package plugin

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// made is what the pools of these tests pool.
type made struct {
	n    int32
	used atomic.Bool
}

type factory struct {
	made, closed atomic.Int32
	fail         atomic.Bool
}

var errMade = errors.New("can't be made")

func (f *factory) config(warm, most int) PoolConfig[*made] {
	return PoolConfig[*made]{
		New: func(context.Context) (*made, error) {
			if f.fail.Load() {
				return nil, errMade
			}
			return &made{n: f.made.Add(1)}, nil
		},
		Close: func(*made) { f.closed.Add(1) },
		Warm:  warm, Max: most,
	}
}

func newPool(t *testing.T, f *factory, warm, most int) *Pool[*made] {
	t.Helper()
	p, err := NewPool(t.Context(), f.config(warm, most))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func lease(t *testing.T, p *Pool[*made]) *made {
	t.Helper()
	v, err := p.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPoolStartsEagerly(t *testing.T) {
	var f factory
	f.fail.Store(true)
	if _, err := NewPool(t.Context(), f.config(1, 0)); !errors.Is(err, errMade) {
		t.Errorf("error %v", err)
	}
	f.fail.Store(false)
	p := newPool(t, &f, 3, 2)
	if f.made.Load() != 2 || p.Live() != 2 {
		t.Errorf("%d made of at most 2", f.made.Load())
	}
}

func TestPoolReuses(t *testing.T) {
	var f factory
	p := newPool(t, &f, 1, 0)
	a, b := lease(t, p), lease(t, p)
	p.Return(a)
	p.Return(b)
	if lease(t, p) != b || lease(t, p) != a {
		t.Error("the one used last is not leased first")
	}
}

func TestPoolWaits(t *testing.T) {
	var f factory
	p := newPool(t, &f, 1, 1)
	a := lease(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Lease(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	got := make(chan *made)
	go func() { v, _ := p.Lease(context.Background()); got <- v }()
	go func() { v, _ := p.Lease(context.Background()); got <- v }()
	time.Sleep(10 * time.Millisecond)
	p.Return(a)
	if v := <-got; v != a {
		t.Error("another than the one that was given back")
	} else {
		p.Discard(v)
	}
	if v := <-got; v == a || v == nil {
		t.Error("not replaced")
	}
	if f.closed.Load() != 1 || p.Live() != 1 {
		t.Errorf("%d closed, %d live", f.closed.Load(), p.Live())
	}
}

func TestPoolRefills(t *testing.T) {
	var f factory
	p := newPool(t, &f, 2, 0)
	p.Discard(lease(t, p))
	for p.Live() != 2 || f.made.Load() != 3 {
		time.Sleep(time.Millisecond)
	}
	f.fail.Store(true)
	a, b := lease(t, p), lease(t, p)
	p.Discard(a)
	p.Discard(b)
	for p.Live() != 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := p.Lease(t.Context()); !errors.Is(err, errMade) {
		t.Errorf("error %v", err)
	}
	f.fail.Store(false)
	lease(t, p)
}

func TestPoolCloses(t *testing.T) {
	var f factory
	p := newPool(t, &f, 2, 2)
	a, b := lease(t, p), lease(t, p)
	waiting := make(chan error)
	go func() { _, err := p.Lease(context.Background()); waiting <- err }()
	time.Sleep(10 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed while two are in use: %v", err)
	}
	if err := <-waiting; !errors.Is(err, ErrPoolClosed) {
		t.Errorf("error %v", err)
	}
	p.Return(a)
	p.Discard(b)
	if f.closed.Load() != 2 || p.Live() != 0 {
		t.Errorf("%d closed, %d live", f.closed.Load(), p.Live())
	}
	if _, err := p.Lease(t.Context()); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("error %v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPoolConcurrently(t *testing.T) {
	var f factory
	p := newPool(t, &f, 1, 4)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := range 500 {
				ctx, cancel := context.WithCancel(t.Context())
				if (n+i)%5 == 0 {
					go cancel()
				}
				v, err := p.Lease(ctx)
				cancel()
				if err != nil {
					continue
				}
				if v.used.Swap(true) {
					t.Error("leased twice")
				}
				v.used.Store(false)
				if (n+i)%7 == 0 {
					p.Discard(v)
				} else {
					p.Return(v)
				}
			}
		})
	}
	wg.Wait()
	if n := p.Live(); n > 4 {
		t.Errorf("%d live, at most 4 wanted", n)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if f.made.Load() != f.closed.Load() {
		t.Errorf("%d made, %d closed", f.made.Load(), f.closed.Load())
	}
}
