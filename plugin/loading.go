package plugin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// loading is the making of a set. Files are read and compiled by several workers,
// and guests start one after the other: as one may look for what another has left
// when it started, such as a queue, their order is that of the configuration.
type loading struct {
	abis    []ABI
	old     map[string]*Plugin // by name
	drafts  []*draft           // in the order of the configuration
	cancel  context.CancelFunc
	workers sync.WaitGroup
}

// draft is a plugin on its way into a set.
type draft struct {
	spec *Spec
	// ready is closed once the following are set.
	ready    chan struct{}
	old      *Plugin // to be taken over
	abi      ABI
	compiled Compiled
	digest   [sha256.Size]byte
	err      error
}

// beginLoading begins to read and compile. A file is read once, whatever the number
// of its plugins. old, if not nil, is where plugins are that may be taken over.
func beginLoading(ctx context.Context, specs []*Spec, abis []ABI, old *Set) *loading {
	l := &loading{abis: abis, old: map[string]*Plugin{}}
	if old != nil {
		for _, p := range old.Plugins {
			l.old[p.Spec.Name] = p
		}
	}
	users := map[string][]*draft{}
	var files []string
	for _, spec := range specs {
		d := &draft{spec: spec, ready: make(chan struct{})}
		l.drafts = append(l.drafts, d)
		if users[spec.URL] == nil {
			files = append(files, spec.URL)
		}
		users[spec.URL] = append(users[spec.URL], d)
	}
	// The largest take longest and go first, lest one of them be left for the end.
	slices.SortStableFunc(files, func(a, b string) int { return cmp.Compare(size(b), size(a)) })
	queue := make(chan string, len(files))
	for _, file := range files {
		queue <- file
	}
	close(queue)
	ctx, l.cancel = context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	if old != nil {
		workers = max(workers/2, 1) // the old plugins have exchanges to serve
	}
	for range min(workers, len(files)) {
		l.workers.Go(func() {
			for file := range queue {
				l.prepare(ctx, file, users[file])
			}
		})
	}
	return l
}

// size is that of a file, 0 if there is none: what is wrong with it is found by who
// reads it.
func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// prepare readies the plugins of a file.
func (l *loading) prepare(ctx context.Context, file string, users []*draft) {
	var wasm []byte
	err := context.Cause(ctx)
	if err == nil {
		wasm, err = readWasm(file)
	}
	digest := sha256.Sum256(wasm)
	for _, d := range users {
		if d.digest, d.err = digest, err; err == nil {
			d.err = d.prepare(ctx, wasm, l)
		}
		close(d.ready)
	}
}

func (d *draft) prepare(ctx context.Context, wasm []byte, l *loading) (err error) {
	if found := hex.EncodeToString(d.digest[:]); d.spec.SHA256 != "" && found != d.spec.SHA256 {
		return fmt.Errorf("%s: sha256 is %s, expected %s", d.spec.URL, found, d.spec.SHA256)
	}
	if p := l.old[d.spec.Name]; p != nil && p.same(d.spec, d.digest) {
		d.old = p
		return nil
	}
	if d.abi, err = detect(wasm, l.abis); err != nil {
		return fmt.Errorf("%s: %w", d.spec.URL, err)
	}
	compiler, ok := d.abi.(Compiler)
	if !ok {
		d.compiled = uncompiled{d.abi, wasm, d.spec}
		return nil
	}
	if d.compiled, err = compiler.Compile(ctx, wasm, d.spec); err != nil {
		return d.failed(err)
	}
	return nil
}

func (d *draft) failed(err error) error {
	return fmt.Errorf("%s: %s: %w", d.spec.URL, d.abi.Name(), err)
}

// plugin is what has become of a draft: the caller holds one reference.
func (d *draft) plugin(ctx context.Context) (*Plugin, error) {
	<-d.ready
	if d.err != nil {
		return nil, d.err
	}
	if d.old != nil {
		d.old.retain()
		return d.old, nil
	}
	compiled := d.compiled
	d.compiled = nil
	module, err := compiled.Start(ctx)
	if err != nil {
		return nil, d.failed(err)
	}
	p := NewPlugin(d.spec, module)
	p.digest, p.ABI, p.Loaded = d.digest, d.abi.Name(), time.Now()
	return p, nil
}

// end calls off what is not done yet and frees what nobody has started.
func (l *loading) end(ctx context.Context) error {
	l.cancel()
	l.workers.Wait()
	var errs []error
	for _, d := range l.drafts {
		if d.compiled != nil {
			errs = append(errs, d.compiled.Close(context.WithoutCancel(ctx)))
		}
	}
	return errors.Join(errs...)
}

// uncompiled is a plugin of an ABI that does all at once.
type uncompiled struct {
	abi  ABI
	wasm []byte
	spec *Spec
}

// Start implements Compiled.
func (u uncompiled) Start(ctx context.Context) (Module, error) {
	return u.abi.Load(ctx, u.wasm, u.spec)
}

// Close implements Compiled.
func (uncompiled) Close(context.Context) error { return nil }
