package proxywasm

import (
	"bytes"
	"context"
	"log/slog"
)

// levels are the host's levels for those of proxy_log_level_t.
var levels = [...]slog.Level{
	slog.LevelDebug - 4, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError + 4,
}

const (
	levelInfo  = slog.LevelInfo
	levelError = slog.LevelError
)

// What a guest may log: in one exchange, or in one callback of a root context.
const (
	maxLine  = 64 << 10 // bytes; a longer line is cut
	maxLines = 1000
)

func log(c *call) Status {
	c.cx.log(levels[c.u32(0)], c.bytes(1))
	return OK
}

func logLevel(c *call) Status {
	logger := c.cx.logger()
	for i, level := range levels {
		if logger != nil && logger.Enabled(context.Background(), level) {
			c.num[0] = uint64(i)
			return OK
		}
	}
	c.num[0] = uint64(len(levels) - 1)
	return OK
}

func (cx *Context) logger() *slog.Logger {
	if cx.plugin == nil {
		return nil
	}
	return cx.plugin.spec.Log
}

// log logs a guest's message, unless the guest has said too much.
func (cx *Context) log(level slog.Level, message []byte) {
	logger, ctx := cx.logger(), context.Background()
	if logger == nil || !logger.Enabled(ctx, level) {
		return
	}
	if cx.lines++; cx.lines > maxLines {
		if cx.lines == maxLines+1 {
			cx.plugin.log(slog.LevelWarn, "the plugin logs too much: lines are left out", slog.Uint64("context", uint64(cx.id)))
		}
		return
	}
	attrs := [2]slog.Attr{slog.Uint64("context", uint64(cx.id))}
	n := 1
	if cx.stream != nil {
		attrs[1] = slog.Uint64("exchange", cx.stream.ex.ID)
		n = 2
	}
	logger.LogAttrs(ctx, level, string(message[:min(len(message), maxLine)]), attrs[:n]...)
}

// log logs what concerns a plugin and is not said by it.
func (p *Module) log(level slog.Level, message string, attrs ...slog.Attr) {
	if p.spec.Log != nil {
		p.spec.Log.LogAttrs(context.Background(), level, message, attrs...)
	}
}

// lines makes log lines of what a guest writes to a standard stream, which may
// come in small pieces.
type lines struct {
	level   slog.Level
	partial []byte
}

func (l *lines) write(cx *Context, text []byte) {
	for len(text) > 0 {
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		if room := maxLine - len(l.partial); len(line) > room {
			line, rest, ended = text[:room], text[room:], true
		}
		l.partial = append(l.partial, line...)
		if ended {
			l.end(cx)
		}
		text = rest
	}
}

func (l *lines) end(cx *Context) {
	if line := bytes.TrimSuffix(l.partial, []byte{'\r'}); len(line) > 0 {
		cx.log(l.level, line)
	}
	l.partial = l.partial[:0]
}

// flushLog logs what a callback began and did not end with a newline.
func (v *vm) flushLog() {
	if len(v.stdout.partial)+len(v.stderr.partial) > 0 {
		v.stdout.end(v.current)
		v.stderr.end(v.current)
	}
}
