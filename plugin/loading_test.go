package plugin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowABI compiles words apart from starting them. A file holds its name and, behind
// spaces, what becomes of it.
type slowABI struct {
	wordABI
	open   atomic.Int64  // compiled, and neither closed nor started
	gate   chan struct{} // what "waits" waits for, beside ctx
	mu     sync.Mutex
	starts []string
}

type slowWord struct {
	abi  *slowABI
	spec *Spec
	fate string
	done atomic.Bool
}

func (s *slowABI) Compile(ctx context.Context, wasm []byte, spec *Spec) (Compiled, error) {
	fate := string(wasm[8:])
	switch {
	case strings.Contains(fate, "waits"):
		select {
		case <-s.gate:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	case strings.Contains(fate, "broken"):
		return nil, errors.New("is broken")
	}
	s.open.Add(1)
	return &slowWord{abi: s, spec: spec, fate: fate}, nil
}

func (w *slowWord) end() {
	if w.done.Swap(true) {
		panic("ended twice")
	}
	w.abi.open.Add(-1)
}

func (w *slowWord) Start(context.Context) (Module, error) {
	w.end()
	w.abi.mu.Lock()
	defer w.abi.mu.Unlock()
	w.abi.starts = append(w.abi.starts, w.spec.Name)
	if strings.Contains(w.fate, "stays") {
		return nil, errors.New("does not start")
	}
	w.abi.loaded.Add(1)
	return &word{&w.abi.wordABI, w.fate}, nil
}

func (w *slowWord) Close(context.Context) error { w.end(); return nil }

// configOf writes files and makes the configuration of plugins a, b, c, ... of them.
func configOf(t *testing.T, files ...string) *Config {
	t.Helper()
	dir := t.TempDir()
	c := &Config{}
	for i, content := range files {
		name := string(rune('a' + i))
		url := filepath.Join(dir, strings.Fields(content)[0])
		write(t, url, "\x00asm\x0d\x00\x01\x00"+content)
		c.Plugins = append(c.Plugins, &Spec{Name: name, URL: url})
		c.Default.Plugins = append(c.Default.Plugins, name)
	}
	return c
}

// left fails if something was compiled or loaded and not given up.
func (s *slowABI) left(t *testing.T) {
	t.Helper()
	if open, live := s.open.Load(), s.loaded.Load()-s.closed.Load(); open != 0 || live != 0 {
		t.Errorf("%d are compiled still, and %d loaded", open, live)
	}
}

// TestStartOrder: guests start in the order of the configuration, however long each
// took to compile, and files of one name are read once.
func TestStartOrder(t *testing.T) {
	abi := &slowABI{gate: make(chan struct{})}
	c := configOf(t, "one waits", "two", "one waits", "three", "two")
	time.AfterFunc(30*time.Millisecond, func() { close(abi.gate) })
	set, err := LoadSet(t.Context(), c, []ABI{abi}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "c", "d", "e"}; !slices.Equal(abi.starts, want) {
		t.Errorf("started %v, want %v", abi.starts, want)
	}
	again, err := LoadSet(t.Context(), c, []ABI{abi}, set)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Plugins, set.Plugins) {
		t.Error("what has not changed was not taken over")
	}
	for _, s := range []*Set{set, again} {
		if err := s.Release(); err != nil {
			t.Error(err)
		}
	}
	abi.left(t)
}

// TestFirstError: the error is that of the first plugin that fails, whatever fails
// first. The others are called off, and nothing of them is left.
func TestFirstError(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // so many compile: one may wait, for another's failure
	for want, files := range map[string][]string{
		"one: word component: is broken":      {"one broken", "two waits", "three broken", "four stays"},
		"two: word component: does not start": {"one", "two stays", "three broken", "four waits"},
		"three: word component: is broken":    {"one", "two", "three broken", "four", "five broken"},
		"two: sha256 is":                      {"one", "two sum", "three broken"},
		"open three of old":                   {"one", "two", "three gone", "four broken"},
		"canceled":                            {"one waits", "two broken", "three waits"},
	} {
		for range 20 {
			abi := &slowABI{gate: make(chan struct{})}
			c := configOf(t, files...)
			for i, content := range files {
				switch {
				case strings.Contains(content, "sum"):
					c.Plugins[i].SHA256 = strings.Repeat("0", 64)
				case strings.Contains(content, "gone"):
					c.Plugins[i].URL += " of old"
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			if want == "canceled" {
				time.AfterFunc(time.Millisecond, cancel)
			}
			_, err := LoadSet(ctx, c, []ABI{abi}, nil)
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.ReplaceAll(err.Error(), filepath.Dir(c.Plugins[0].URL)+"/", "")
			if want == "canceled" && errors.Is(err, context.Canceled) {
				got = want // before it was read, or while it was compiled
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
			if strings.Contains(got, "\n") {
				t.Errorf("more than one error: %s", got)
			}
			abi.left(t)
			cancel()
		}
	}
}

// TestManyLoads: sets that are loaded, called off and released all the time leave
// nothing behind, and what two of them share lives until the last is gone.
func TestManyLoads(t *testing.T) {
	const loads = 2000
	abi := &slowABI{gate: make(chan struct{})}
	close(abi.gate)
	c := configOf(t, "one", "two", "one", "three", "four")
	var current *Set
	for i := range loads {
		changed := *c.Plugins[i%len(c.Plugins)]
		changed.Config = fmt.Append(nil, i)
		c.Plugins[i%len(c.Plugins)] = &changed
		ctx, cancel := context.WithCancel(t.Context())
		if i%3 == 1 {
			go cancel()
		}
		set, err := LoadSet(ctx, c, []ABI{abi}, current)
		cancel()
		if err != nil {
			if i%3 != 1 {
				t.Fatal(err)
			}
			continue
		}
		if current != nil {
			if err := current.Release(); err != nil {
				t.Fatal(err)
			}
		}
		current = set
		if live := abi.loaded.Load() - abi.closed.Load(); live != int64(len(c.Plugins)) {
			t.Fatalf("%d plugins are loaded, of %d", live, len(c.Plugins))
		}
	}
	if err := current.Release(); err != nil {
		t.Error(err)
	}
	abi.left(t)
}
