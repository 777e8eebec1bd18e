package main

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/extproc/extproc/server"
)

// limitFlags are the flags that bound what the service takes on.
type limitFlags struct {
	messageTimeout, idleTimeout time.Duration
}

func (f *limitFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.DurationVar(&f.messageTimeout, "message-timeout", 0, "the proxy's message_timeout, to answer before it by the plugin's policy; 0 if it is not known")
	flags.DurationVar(&f.idleTimeout, "idle-timeout", 10*time.Minute, "how long nothing may happen in an exchange; 0 is for ever")
}

func (f *limitFlags) options(log *slog.Logger, metrics prometheus.Registerer) server.Options {
	o := server.Options{Log: log, Metrics: metrics, MessageTimeout: f.messageTimeout, Idle: f.idleTimeout}
	if o.Idle == 0 {
		o.Idle = -1
	}
	return o
}
