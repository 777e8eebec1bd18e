package plugin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// maxWasm is the size of the largest file that is loaded.
const maxWasm = 512 << 20

// closeLimit is how long the closing of a module may take.
const closeLimit = 10 * time.Second

// Plugin is a loaded plugin: a module and its configuration.
type Plugin struct {
	Spec   *Spec
	Module Module
	// What exchanges have taught about the guest: it has replaced the body of a
	// response, or has asked for it before it let the headers go on. Such bodies
	// are better asked for ahead.
	ReadsResponse, ReadsResponseFirst atomic.Bool
	// ABI is the kind of guest, Loaded when it was loaded.
	ABI    string
	Loaded time.Time

	// Logger is told of exchanges that have ended; nil if the guest doesn't want to
	// hear of any.
	Logger Logger

	digest   [sha256.Size]byte
	refs     atomic.Int64
	renewals renewals
}

// NewPlugin is a plugin whose module is loaded already. The caller holds one
// reference, as after Load.
func NewPlugin(spec *Spec, module Module) *Plugin {
	p := &Plugin{Spec: spec, Module: module}
	if l, ok := module.(Logger); ok && l.Logs() {
		p.Logger = l
	}
	p.refs.Store(1)
	return p
}

// Load reads a plugin's file and loads it with the first ABI that knows it. An
// error names the file, what was found and what was expected.
func Load(ctx context.Context, spec *Spec, abis []ABI) (*Plugin, error) {
	l := beginLoading(ctx, []*Spec{spec}, abis, nil)
	p, err := l.drafts[0].plugin(ctx)
	return p, errors.Join(err, l.end(ctx))
}

// SHA256 is the digest of the plugin's file, in hex.
func (p *Plugin) SHA256() string { return hex.EncodeToString(p.digest[:]) }

// Needs says what the plugin must be sent: what its guest needs, and what its
// configuration asks for.
func (p *Plugin) Needs() Needs {
	n := p.Module.Needs()
	if p.Spec.Attributes != nil {
		n.Attributes = byDirection(p.Spec.Attributes)
	}
	n.Reads = append(n.Reads[:len(n.Reads):len(n.Reads)], p.Spec.ReadsMetadata...)
	n.Writes = append(n.Writes[:len(n.Writes):len(n.Writes)], p.Spec.WritesMetadata...)
	return n
}

// retain takes a further reference.
func (p *Plugin) retain() { p.refs.Add(1) }

// release gives a reference back; the last one closes the module.
func (p *Plugin) release() error {
	if p.refs.Add(-1) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	return p.Module.Close(ctx)
}

func readWasm(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no regular file, expected a .wasm file", file)
	}
	var wasm bytes.Buffer
	// Room for all of it, and for ReadFrom to see its end.
	wasm.Grow(int(min(info.Size(), maxWasm)) + bytes.MinRead)
	if _, err := wasm.ReadFrom(io.LimitReader(f, maxWasm+1)); err != nil {
		return nil, err
	}
	if wasm.Len() > maxWasm {
		return nil, fmt.Errorf("%s: is larger than %d MiB", file, maxWasm>>20)
	}
	return wasm.Bytes(), nil
}

// The first eight bytes of WebAssembly: magic, version, layer.
var (
	magic           = []byte("\x00asm")
	moduleHeader    = []byte("\x00asm\x01\x00\x00\x00")
	componentHeader = []byte("\x00asm\x0d\x00\x01\x00")
)

// detect finds the ABI of a file. The errors say what the file is instead.
func detect(wasm []byte, abis []ABI) (ABI, error) {
	if !bytes.HasPrefix(wasm, magic) {
		return nil, fmt.Errorf("no WebAssembly: found %s, expected it to begin with 00 61 73 6d", looks(wasm))
	}
	var names []string
	for _, abi := range abis {
		if abi.Detect(wasm) {
			return abi, nil
		}
		names = append(names, abi.Name())
	}
	found := "WebAssembly of an unknown version"
	switch {
	case bytes.HasPrefix(wasm, moduleHeader):
		found = "a core module of no known kind"
	case bytes.HasPrefix(wasm, componentHeader):
		found = "a component of no known world"
	case len(wasm) < 8:
		found = "a file cut off in its header"
	default:
		found += fmt.Sprintf(" (% x)", wasm[4:8])
	}
	return nil, fmt.Errorf("found %s, expected a %s", found, strings.Join(names, " or a "))
}

// looks says what a file that is no WebAssembly begins with.
func looks(file []byte) string {
	if len(file) == 0 {
		return "an empty file"
	}
	head := fmt.Sprintf("% x", file[:min(8, len(file))])
	for _, known := range []struct{ prefix, name string }{
		{"\x7fELF", "an ELF binary"},
		{"\x1f\x8b", "a gzip archive"},
		{"\x28\xb5\x2f\xfd", "a zstd archive"},
		{"PK\x03\x04", "a zip archive"},
		{"(module", "a module as text"},
		{"(component", "a component as text"},
		{"package ", "source text"},
		{"<", "markup"},
	} {
		if bytes.HasPrefix(bytes.TrimLeft(file[:min(64, len(file))], " \t\r\n"), []byte(known.prefix)) {
			return known.name + " (" + head + ")"
		}
	}
	return head
}

// ErrStarting says that no exchange can be served.
var ErrStarting = errors.New("no plugins are loaded")
