package wasihttp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"

	"github.com/extproc/extproc/abi"
)

func cliEnvironment(g *guest, c *abi.Call) error {
	c.Result = pairs(c, g.mod.spec.Env)
	return nil
}

// cliArguments is empty, as there is no command line.
func cliArguments(g *guest, c *abi.Call) error { return emptyList(g, c) }

func cliStdin(_ *guest, c *abi.Call) error {
	c.ReturnOwn(&inputStream{})
	return nil
}

func cliStdout(g *guest, c *abi.Call) error {
	c.ReturnOwn(&outputStream{log: &g.stdout})
	return nil
}

func cliStderr(g *guest, c *abi.Call) error {
	c.ReturnOwn(&outputStream{log: &g.stderr})
	return nil
}

// exitError ends a guest that called exit.
type exitError struct{ code uint64 }

func (e *exitError) Error() string { return fmt.Sprintf("exit with code %d", e.code) }

// cliExit takes a result, whose error counts as 1, or a code.
func cliExit(_ *guest, c *abi.Call) error { return &exitError{c.Args[0].Num} }

const (
	maxLine  = 8 << 10 // bytes; a longer line is cut in pieces
	maxLines = 1000    // an exchange; the rest is counted
)

// lines makes log lines of what a guest writes to a standard stream.
type lines struct {
	name    string
	partial []byte
}

func (l *lines) write(g *guest, s string) {
	text := raw(s)
	for len(text) > 0 {
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		room := maxLine - len(l.partial)
		if len(line) > room {
			line, rest, ended = text[:room], text[room:], true
		}
		l.partial = append(l.partial, line...)
		if ended {
			l.end(g)
		}
		text = rest
	}
}

// end logs what was written since the last line.
func (l *lines) end(g *guest) {
	line := bytes.TrimSuffix(l.partial, []byte{'\r'})
	if len(line) > 0 {
		g.log(slog.LevelInfo, string(line), slog.String("stream", l.name))
	}
	l.partial = l.partial[:0]
}

// log logs a guest's message, unless the guest has said too much.
func (g *guest) log(level slog.Level, message string, attrs ...slog.Attr) {
	if g.logged++; g.logged > maxLines {
		return
	}
	logger, ctx := g.mod.spec.Log, context.Background()
	if logger == nil || !logger.Enabled(ctx, level) {
		return
	}
	if g.ex != nil {
		attrs = append(attrs, slog.Uint64("exchange", g.ex.ID))
	}
	logger.LogAttrs(ctx, level, message, attrs...)
}

// endLog logs what the guest began and did not end with a newline, and how
// much was left out.
func (g *guest) endLog() {
	g.stdout.end(g)
	g.stderr.end(g)
	if left := g.logged - maxLines; left > 0 && g.mod.spec.Log != nil {
		g.mod.spec.Log.Warn("the plugin logged too much in one exchange: lines were left out", "lines", left)
	}
	g.logged = 0
}
