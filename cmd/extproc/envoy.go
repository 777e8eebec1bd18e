package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/extproc/extproc/envoy"
	"github.com/extproc/extproc/plugin"
)

func envoyCommand() *cobra.Command {
	var config, cache string
	var opts envoy.Options
	cmd := &cobra.Command{
		Use:   "envoy",
		Short: "Print the configuration of an Envoy that has its traffic seen by the plugins",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withPlugins(cmd.Context(), config, cache, func(set *plugin.Set) error {
				rest := routed(&opts, set)
				text, err := envoy.Bootstrap(opts, asked(rest)...)
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			})
		},
	}
	configFlag(cmd, &config)
	cacheFlag(cmd, &cache)
	flags := cmd.Flags()
	flags.StringVar(&opts.Listen, "listen", "0.0.0.0:10000", "where Envoy accepts requests")
	flags.StringVar(&opts.Upstream, "upstream", "127.0.0.1:8080", "the service behind Envoy")
	flags.BoolVar(&opts.UpstreamHTTP2, "upstream-http2", false, "the service behind Envoy speaks HTTP/2, as gRPC services do")
	flags.StringVar(&opts.ExtProc, "extproc", "127.0.0.1:9002", "where `extproc serve` listens: unix:///path or host:port")
	flags.DurationVar(&opts.MessageTimeout, "message-timeout", 0, "how long Envoy waits for an answer, as `extproc serve` is to be told; 0 for longer than any plugin may take")
	flags.DurationVar(&opts.MaxMessageTimeout, "max-message-timeout", 0, "how long Envoy may be asked to wait, as `extproc serve` is to be told; 0 for no asking")
	flags.StringVar(&opts.Admin, "admin", "127.0.0.1:9901", "where Envoy's admin interface listens; empty for none")
	return cmd
}

// routed adds the routes of a set that the proxy's configuration is to have, and
// returns the plugins of all other exchanges.
func routed(opts *envoy.Options, set *plugin.Set) []*plugin.Plugin {
	rest := slices.Clone(set.Default.Plugins)
	for _, r := range set.Routes {
		for _, m := range r.Attributes {
			opts.Attributes = append(opts.Attributes, m.Key)
		}
		if r.Prefix != "" {
			opts.Routes = append(opts.Routes, envoy.Route{Name: r.Name, Prefix: r.Prefix, Metadata: r.Metadata, Plugins: asked(r.Plugins)})
			continue
		}
		for _, p := range r.Plugins {
			if !slices.Contains(rest, p) {
				rest = append(rest, p)
			}
		}
	}
	return rest
}

// asked is what plugins ask of the proxy.
func asked(plugins []*plugin.Plugin) []envoy.Plugin {
	var all []envoy.Plugin
	for _, p := range plugins {
		all = append(all, envoy.Plugin{Needs: p.Needs(), FailStrategy: p.Spec.FailStrategy, Timeout: p.Spec.Limits.Timeout})
	}
	return all
}
