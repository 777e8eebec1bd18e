package plugin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// quiet is how long files must have been left alone before they are read, so
// that one that is being written is not read half.
const quiet = 200 * time.Millisecond

// same says whether a plugin is what spec and a file of a digest would load.
func (p *Plugin) same(spec *Spec, digest [sha256.Size]byte) bool {
	a, b := *p.Spec, *spec
	a.Log, b.Log = nil, nil
	return p.digest == digest && reflect.DeepEqual(a, b)
}

// Reloader keeps the current set as the configuration file and the plugins'
// files say. Load first, then Watch.
type Reloader struct {
	Path string
	ABIs []ABI
	Log  *slog.Logger
	// Loaded, if not nil, hears of every attempt: the error of a failed one.
	Loaded func(error)

	current Current
	force   chan struct{} // see Reload
	once    sync.Once
	last    atomic.Pointer[Attempt]
	files   []string // what the last attempt read
	loaded  string   // their state before it
}

// Current is where exchanges find their plugins.
func (r *Reloader) Current() *Current { return &r.current }

// Attempt is an attempt to load a configuration.
type Attempt struct {
	When time.Time
	// Err is why it failed; nil if it didn't.
	Err error
	// Loaded is when the configuration in use was loaded; zero if there is none.
	Loaded time.Time
}

// Last is the last attempt; zero before the first.
func (r *Reloader) Last() Attempt {
	if a := r.last.Load(); a != nil {
		return *a
	}
	return Attempt{}
}

// Load reads the configuration and makes its plugins the current ones. If it
// fails, the old ones stay.
func (r *Reloader) Load(ctx context.Context) error {
	err := r.load(ctx)
	a := &Attempt{When: time.Now(), Err: err, Loaded: r.Last().Loaded}
	if err == nil {
		a.Loaded = a.When
	}
	r.last.Store(a)
	if r.Loaded != nil {
		r.Loaded(err)
	}
	return err
}

func (r *Reloader) load(ctx context.Context) error {
	r.files = append(r.files[:0], r.Path)
	r.loaded = state(r.files)
	config, err := ReadConfig(r.Path, r.Log)
	if err != nil {
		return err
	}
	r.files = append(r.files, config.Files...)
	for _, spec := range config.Plugins {
		r.files = append(append(r.files, spec.URL), spec.Files...)
	}
	r.loaded = state(r.files)
	old := r.current.Acquire()
	if old != nil {
		defer old.Release()
	}
	set, err := LoadSet(ctx, config, r.ABIs, old)
	if err != nil {
		return err
	}
	set.closed = func(err error) { r.Log.Error("closing plugins", "error", err) }
	if old == nil || !slices.Equal(old.Plugins, set.Plugins) {
		r.Log.Info("plugins loaded", "config", r.Path, "plugins", len(set.Plugins))
	}
	// What goes wrong in closing the old set does not concern the new one, and
	// is in the log.
	_ = r.current.Swap(set)
	return nil
}

// Reload has Watch load everything again, changed or not.
func (r *Reloader) Reload() {
	select {
	case r.forced() <- struct{}{}:
	default: // it is to do so already
	}
}

func (r *Reloader) forced() chan struct{} {
	r.once.Do(func() { r.force = make(chan struct{}, 1) })
	return r.force
}

// reload is Load, whose error is logged.
func (r *Reloader) reload(ctx context.Context) {
	if err := r.Load(ctx); err != nil {
		r.Log.Error("the new configuration is not used, the old one stays", "error", err)
	}
}

// Watch reloads when the configuration or a plugin's file has changed, until
// ctx ends. Folders are watched rather than files: editors and Kubernetes put
// new files in the place of old ones.
func (r *Reloader) Watch(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close()
	r.follow(w)
	// Something may have changed since the files were read.
	timer := time.NewTimer(quiet)
	waiting := true
	seen := r.loaded
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.forced():
			r.Log.Info("reloading as told")
			r.reload(ctx)
			r.follow(w)
			continue
		case <-w.Events:
		case err := <-w.Errors:
			r.Log.Warn("watching files", "error", err)
		case <-timer.C:
			waiting = false
			now := state(r.files)
			if now == r.loaded {
				continue
			}
			if now == seen {
				r.reload(ctx)
				r.follow(w)
				continue
			}
			seen = now // still being written: look again
		}
		if !waiting {
			timer.Reset(quiet)
			waiting = true
		}
	}
}

// follow watches the folders of the files, and those that links lead to.
func (r *Reloader) follow(w *fsnotify.Watcher) {
	folders := map[string]bool{}
	for _, file := range r.files {
		folders[filepath.Dir(file)] = true
		if real, err := filepath.EvalSymlinks(file); err == nil {
			folders[filepath.Dir(real)] = true
		}
	}
	watched := w.WatchList()
	for _, dir := range watched {
		if !folders[dir] {
			_ = w.Remove(dir) // it may be gone
		}
	}
	for dir := range folders {
		if slices.Contains(watched, dir) {
			continue
		}
		if err := w.Add(dir); err != nil {
			r.Log.Warn("changes will not be seen", "folder", dir, "error", err)
		}
	}
}

// state is what shows that one of the files has changed.
func state(files []string) string {
	var s strings.Builder
	for _, file := range files {
		real, _ := filepath.EvalSymlinks(file)
		info, err := os.Stat(file)
		if err != nil {
			fmt.Fprintf(&s, "%s: %v\n", file, err)
			continue
		}
		fmt.Fprintf(&s, "%s %s %d %d\n", file, real, info.Size(), info.ModTime().UnixNano())
	}
	return s.String()
}
