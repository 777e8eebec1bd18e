package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"
)

// logFlags say how to log.
type logFlags struct {
	format string
	level  string
}

func (f *logFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.format, "log-format", "text", "text or json")
	cmd.Flags().StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
}

func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{}
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, fmt.Errorf("--log-level: is %q, expected debug, info, warn or error", f.level)
	}
	opts.Level = level
	switch f.format {
	case "text":
		return slog.New(limitLog(slog.NewTextHandler(w, opts))), nil
	case "json":
		return slog.New(limitLog(slog.NewJSONHandler(w, opts))), nil
	}
	return nil, fmt.Errorf("--log-format: is %q, expected text or json", f.format)
}
