package wasihttp

import (
	"log/slog"

	"github.com/extproc/extproc/abi"
)

// levels are those of wasi:logging, by case: trace, debug, info, warn, error,
// critical.
var levels = [...]slog.Level{
	slog.LevelDebug - 4, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError + 4,
}

func loggingLog(g *guest, c *abi.Call) error {
	level := slog.LevelInfo
	if n := c.Args[0].Num; n < uint64(len(levels)) {
		level = levels[n]
	}
	message := c.Args[2].Str
	if len(message) > maxLine {
		message = message[:maxLine]
	}
	context := c.Args[1].Str
	g.log(level, string(raw(message)), slog.String("context", string(raw(context[:min(len(context), maxLine)]))))
	return nil
}
