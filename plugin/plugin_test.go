package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// wordABI is an ABI for tests: a component whose content is its name.
type wordABI struct{ loaded, closed atomic.Int64 }

func (*wordABI) Name() string { return "word component" }
func (*wordABI) Detect(wasm []byte) bool {
	return strings.HasPrefix(string(wasm), "\x00asm\x0d\x00\x01\x00")
}
func (w *wordABI) Load(_ context.Context, wasm []byte, _ *Spec) (Module, error) {
	if string(wasm[8:]) == "bad" {
		return nil, errors.New("import wasi:x/y function z: found nothing, expected one of a, b")
	}
	w.loaded.Add(1)
	return &word{w, string(wasm[8:])}, nil
}

type word struct {
	abi  *wordABI
	text string
}

func (*word) Start(*Exchange) (Guest, error) { return nil, errors.New("not to be run") }
func (*word) Needs() Needs                   { return Needs{} }
func (w *word) Close(context.Context) error  { w.abi.closed.Add(1); return nil }

const component = "\x00asm\x0d\x00\x01\x00"

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLoadErrors: one line names the file, what was found and what was expected.
func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p.wasm")
	for _, tc := range []struct{ name, file, sha, want string }{
		{"empty", "", "", "p.wasm: no WebAssembly: found an empty file, expected it to begin with 00 61 73 6d"},
		{"text", "hello", "", "p.wasm: no WebAssembly: found 68 65 6c 6c 6f, expected it to begin with 00 61 73 6d"},
		{"wat", " (module)", "", "p.wasm: no WebAssembly: found a module as text (20 28 6d 6f 64 75 6c 65), expected it to begin with 00 61 73 6d"},
		{"elf", "\x7fELF\x02\x01\x01", "", "p.wasm: no WebAssembly: found an ELF binary (7f 45 4c 46 02 01 01), expected it to begin with 00 61 73 6d"},
		{"short", "\x00asm", "", "p.wasm: found a file cut off in its header, expected a word component"},
		{"core", "\x00asm\x01\x00\x00\x00", "", "p.wasm: found a core module of no known kind, expected a word component"},
		{"version", "\x00asm\x02\x00\x00\x00", "", "p.wasm: found WebAssembly of an unknown version (02 00 00 00), expected a word component"},
		{"bad", component + "bad", "", "p.wasm: word component: import wasi:x/y function z: found nothing, expected one of a, b"},
		{"sha", component, strings.Repeat("0", 64), "p.wasm: sha256 is f00c04d5a4bd2cdfbc5e1dd4ee5af0bbcc73aab9f85f3f7f9acfe5e4d8e7ddd0, expected " + strings.Repeat("0", 64)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			write(t, path, tc.file)
			_, err := Load(t.Context(), &Spec{URL: path, SHA256: tc.sha}, []ABI{&wordABI{}})
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.TrimPrefix(err.Error(), dir+"/")
			if tc.sha != "" {
				_, rest, _ := strings.Cut(tc.want, ", expected")
				if !strings.HasPrefix(got, "p.wasm: sha256 is ") || !strings.HasSuffix(got, rest) {
					t.Errorf("got %s", got)
				}
				return
			}
			if got != tc.want {
				t.Errorf("got %s\nwant %s", got, tc.want)
			}
		})
	}
	for _, url := range []string{filepath.Join(dir, "none"), dir} {
		if _, err := Load(t.Context(), &Spec{URL: url}, nil); err == nil || !strings.Contains(err.Error(), url) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestSetLifetime: a replaced set is closed when its last exchange has ended.
func TestSetLifetime(t *testing.T) {
	abi := &wordABI{}
	make1 := func() *Set { return NewSet(NewPlugin(&Spec{}, &word{abi, ""})) }
	var c Current
	if c.Acquire() != nil {
		t.Error("a set before there is one")
	}
	first := make1()
	_ = c.Swap(first)
	a, b := c.Acquire(), c.Acquire()
	_ = c.Swap(make1())
	equal(t, a, first)
	equal(t, abi.closed.Load(), int64(0))
	_ = a.Release()
	equal(t, abi.closed.Load(), int64(0))
	_ = b.Release()
	equal(t, abi.closed.Load(), int64(1))
	_ = c.Close()
	equal(t, abi.closed.Load(), int64(2))
	if c.Acquire() != nil {
		t.Error("a set after the end")
	}
}

// TestCurrentRace: no set is closed under an exchange, whatever is swapped meanwhile.
func TestCurrentRace(t *testing.T) {
	abi := &wordABI{}
	var c Current
	stop := make(chan struct{})
	var ended atomic.Int64
	_ = c.Swap(NewSet(NewPlugin(&Spec{}, &word{abi, ""})))
	for range 4 {
		go func() {
			defer ended.Add(1)
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := c.Acquire()
				if s.refs.Load() < 1 {
					t.Error("a closed set is current")
				}
				_ = s.Release()
			}
		}()
	}
	for range 10_000 {
		_ = c.Swap(NewSet(NewPlugin(&Spec{}, &word{abi, ""})))
	}
	close(stop)
	eventually(t, func() bool { return ended.Load() == 4 })
	_ = c.Close()
	equal(t, abi.closed.Load(), int64(10_001))
}

func eventually(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !what(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about in a minute")
		}
	}
}

// TestReload: changes of any of the files are taken up, bad ones are not, and
// what has not changed is not loaded again.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	config, wasm := filepath.Join(dir, "extproc.yaml"), filepath.Join(dir, "p.wasm")
	write(t, config, "plugins: [{pluginName: a, url: p.wasm}]")
	write(t, wasm, component+"one")
	abi := &wordABI{}
	var failed atomic.Int64
	r := &Reloader{Path: config, ABIs: []ABI{abi}, Log: quietLog, Loaded: func(err error) {
		if err != nil {
			failed.Add(1)
		}
	}}
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() { watched <- r.Watch(ctx) }()
	text := func() string {
		s := r.Current().Acquire()
		defer s.Release()
		return fmt.Sprint(s.Plugins[0].Module.(*word).text, " ", s.Plugins[0].Spec.Priority)
	}
	is := func(want string) func() bool { return func() bool { return text() == want } }

	eventually(t, is("one 0"))
	write(t, wasm, component+"two")
	eventually(t, is("two 0"))
	fails := func(write func()) { // once or more: in the middle of it, too, if that takes long
		t.Helper()
		before := failed.Load()
		write()
		eventually(t, func() bool { return failed.Load() > before })
	}
	fails(func() { write(t, wasm, component+"bad") })
	equal(t, text(), "two 0")
	fails(func() { write(t, config, "plugins: [{pluginName: a, url: q.wasm, priority: 1}]") }) // not there yet
	equal(t, text(), "two 0")
	write(t, filepath.Join(dir, "q.wasm"), component+"three")
	eventually(t, is("three 1"))

	// As Kubernetes does it: the file is a link through a link that is replaced.
	for _, v := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, v), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, v, "p.wasm"), component+v)
	}
	symlink(t, dir, "v1")
	write(t, config, "plugins: [{pluginName: a, url: data/p.wasm}]")
	eventually(t, is("v1 0"))
	symlink(t, dir, "v2")
	eventually(t, is("v2 0"))

	loaded := abi.loaded.Load()
	write(t, config, "# only a remark\nplugins: [{pluginName: a, url: data/p.wasm}]")
	time.Sleep(5 * quiet)
	equal(t, abi.loaded.Load(), loaded)

	cancel()
	if err := <-watched; err != nil {
		t.Error(err)
	}
	_ = r.Current().Close()
	equal(t, abi.closed.Load(), abi.loaded.Load())
}

func symlink(t *testing.T, dir, to string) {
	t.Helper()
	tmp := filepath.Join(dir, "tmp")
	if err := os.Symlink(to, tmp); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
}
