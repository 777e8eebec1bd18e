package main

import (
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/extproc/extproc/server"
)

// limitFlags are the flags that bound what the service takes on.
type limitFlags struct {
	messageTimeout, maxMessageTimeout, idleTimeout time.Duration
	bodies                                         int64
	streams, message                               int
}

func (f *limitFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.DurationVar(&f.messageTimeout, "message-timeout", 0, "the proxy's message_timeout, to answer before it by the plugin's policy; 0 if it is not known")
	flags.DurationVar(&f.maxMessageTimeout, "max-message-timeout", 0, "the proxy's max_message_timeout, to be asked for while a plugin waits for a callout; 0 if there is none")
	flags.Int64Var(&f.bodies, "max-body-memory", 1<<30, "bytes of bodies that are held for all exchanges together")
	flags.IntVar(&f.streams, "max-streams", 0, "how many exchanges may be under way; 0 is any number")
	flags.IntVar(&f.message, "max-message-size", 64<<20, "bytes of the largest message that is taken: a buffered body comes as one")
	flags.DurationVar(&f.idleTimeout, "idle-timeout", 10*time.Minute, "how long nothing may happen in an exchange; 0 is for ever")
}

func (f *limitFlags) options(log *slog.Logger, tracer trace.Tracer) server.Options {
	o := server.Options{
		Log: log, Tracer: tracer, MessageTimeout: f.messageTimeout, MaxMessageTimeout: f.maxMessageTimeout, Idle: f.idleTimeout, Bodies: f.bodies, Streams: f.streams,
	}
	if o.Idle == 0 {
		o.Idle = -1
	}
	return o
}
